//! BackendTLSPolicies: TLS of gateways towards backends.

use tulle_base::Host;

use super::ObjectName;
use crate::meta::Meta;

/// A BackendTLSPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendTls {
    /// The document behind it.
    pub meta: Meta,
    /// The services that it is for, each on all ports or on the one of this name.
    pub targets: Vec<(Host, Option<String>)>,
    /// Targets that are no Services.
    pub other_targets: Vec<ObjectName>,
    /// Server name.
    pub hostname: String,
    /// Names that the server may show; its host name alone if there are none.
    pub names: Vec<String>,
    /// Objects with the authorities; `None` for the system's.
    pub authorities: Option<Vec<ObjectName>>,
}
