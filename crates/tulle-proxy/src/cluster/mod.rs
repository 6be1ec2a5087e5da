//! Clusters as a worker has them: endpoints with their connections, and how one is chosen.

pub(crate) mod checks;
pub(crate) mod connecting;
pub(crate) mod host;
pub(crate) mod local;
pub(crate) mod outlier;
pub(crate) mod sweep;

pub(crate) use host::{Host, PoolKey};
pub(crate) use local::LocalCluster;
