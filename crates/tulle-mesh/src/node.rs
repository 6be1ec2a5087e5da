//! Nodes: where workloads run.

use tulle_base::Locality;

/// A machine of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where it stands, as its labels say.
    pub locality: Locality,
}
