//! From an Envoy bootstrap to a plan.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tulle_base::agent::StatsShown;
use tulle_engine::compile::{self, CompileError, Files};
use tulle_engine::runtime::Bootstrap;
use tulle_engine::runtime::bootstrap::{Admin, ConfigSource, DynamicResources, XdsSource};
use tulle_engine::runtime::net::Address;
use tulle_identity::Secrets;
use tulle_proto::Message as _;
use tulle_proto::envoy;

use super::agent::node_of_bootstrap;
use super::plan::{Plan, XdsPlan, XdsServer};
use crate::admin::Exposed;

/// Why a bootstrap cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The bytes are no bootstrap.
    #[error("not an encoded bootstrap: {0}")]
    Decode(#[from] prost::DecodeError),
    /// Fields that are wrong or not supported; all of them.
    #[error("{}", .0.problems.iter().map(|(path, problem)| format!("{path}: {problem}")).collect::<Vec<_>>().join("\n"))]
    Compile(CompileError),
    /// A source of configuration that this build has no client for.
    #[error("{path}: {problem}")]
    Source {
        /// The field.
        path: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Reads files that a bootstrap names.
#[derive(Clone, Copy, Debug)]
struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

impl Plan {
    /// The plan of a proxy that runs an encoded bootstrap on `workers` threads (0: one per core).
    ///
    /// # Errors
    /// [`BootstrapError`] with everything that is wrong or not supported.
    pub fn from_bootstrap(encoded: bytes::Bytes, workers: usize) -> Result<Self, BootstrapError> {
        let mut message = envoy::bootstrap::Bootstrap::from_wire(&encoded)?;
        let (compiled, notes) = compile::bootstrap(&message, &Disk).map_err(BootstrapError::Compile)?;
        for note in &notes {
            tracing::warn!(field = %note.field, "{}", note.message);
        }
        let node = message.node.get_or_insert_default();
        if node.user_agent_name.is_empty() {
            node.user_agent_name = "tulle".to_owned();
        }
        let xds_node = node.to_wire().into();
        let node = node_of_bootstrap(node);
        let Bootstrap {
            node: _, // Read from the message above, metadata included.
            listeners,
            clusters,
            secrets,
            dynamic,
            admin,
            stats_flush_interval: _, // Counters are read when somebody asks; there are no sinks.
            stats_tags: _,           // Refused by the compiler where they would change names.
            header_prefix: _,        // Compiled into the connection managers.
            local_cluster: _,        // Compiled into the balancers.
            limits,
        } = &*compiled;
        let ports = admin.iter().filter_map(admin_port).collect();
        Ok(Self {
            node,
            xds_node,
            bootstrap: encoded,
            listeners: listeners.clone(),
            clusters: clusters.clone(),
            static_secrets: secrets.clone(),
            secrets: Secrets::default(),
            xds: xds_plan(dynamic)?,
            ports,
            dns: None,
            identity: None,
            inherited: Vec::new(),
            state_dir: None,
            drain: Duration::from_secs(5),
            mark: None,
            limits: limits.clone(),
            workers: if workers == 0 { cores() } else { workers },
            app_probes: std::collections::BTreeMap::new(),
            readiness_probe: None,
            istio_stats: false,
            stats: StatsShown::default(),
            merge_metrics: false,
            audit: Vec::new(),
            environment: std::collections::BTreeMap::new(),
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn admin_port(admin: &Admin) -> Option<(SocketAddr, Exposed)> {
    let Admin { address, access_logs: _ } = admin; // The admin port is not logged; the compiler notes it.
    match address {
        Address::Ip(address) => Some((*address, Exposed::Admin)),
        Address::Name(..) | Address::Pipe(_) => None,
    }
}

/// All dynamic resources come over one delta ADS stream.
fn xds_plan(dynamic: &DynamicResources) -> Result<Option<XdsPlan>, BootstrapError> {
    let DynamicResources { ads, lds, cds } = dynamic;
    let listeners = from_ads(lds.as_ref(), "dynamic_resources.lds_config")?;
    let clusters = from_ads(cds.as_ref(), "dynamic_resources.cds_config")?;
    let Some(XdsSource { delta, cluster, authority, metadata, initial_fetch_timeout: _ }) = ads else {
        if listeners || clusters {
            return Err(BootstrapError::Source {
                path: "dynamic_resources.ads_config",
                problem: "missing, but lds_config or cds_config refers to it",
            });
        }
        return Ok(None);
    };
    if !delta {
        return Err(BootstrapError::Source {
            path: "dynamic_resources.ads_config.api_type",
            problem: "only DELTA_GRPC is supported",
        });
    }
    if !metadata.is_empty() {
        return Err(BootstrapError::Source {
            path: "dynamic_resources.ads_config.grpc_services[0].initial_metadata",
            problem: "not supported",
        });
    }
    Ok(Some(XdsPlan {
        server: XdsServer::Cluster(Arc::clone(cluster)),
        authority: authority.to_string(),
        listeners,
        clusters,
        names: false,
        trust: false,
    }))
}

fn from_ads(source: Option<&ConfigSource>, path: &'static str) -> Result<bool, BootstrapError> {
    match source {
        None => Ok(false),
        Some(ConfigSource::Ads) => Ok(true),
        Some(ConfigSource::Api(_)) => Err(BootstrapError::Source {
            path,
            problem: "a stream of its own is not supported; write ads: {}",
        }),
        Some(ConfigSource::File(_)) => Err(BootstrapError::Source {
            path,
            problem: "path_config_source is not supported; write ads: {}",
        }),
    }
}
