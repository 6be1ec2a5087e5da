//! What a worker is told once, at its start.

use tulle_base::agent::NodeConfig;
use tulle_identity::Secrets;

/// Settings of all workers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many workers; at least one is started.
    pub workers: usize,
    /// Who we are: own labels of metrics, peer metadata told to others, request headers.
    pub node: NodeConfig,
    /// Certificates and trust bundles by SDS name.
    pub secrets: Secrets,
    /// Mark of upstream sockets (`SO_MARK`, 1337 in the mesh), by which the redirection lets our own traffic pass; needs
    /// CAP_NET_ADMIN. `None` marks nothing.
    pub mark: Option<u32>,
    /// Most downstream connections per worker; beyond it new ones are reset at once. Default 100,000.
    pub max_connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 1,
            node: NodeConfig::default(),
            secrets: Secrets::default(),
            mark: None,
            max_connections: 100_000,
        }
    }
}
