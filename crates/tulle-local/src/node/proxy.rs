//! What a proxy is told about its pod, and what every pod gets to know about its account.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use tulle_api::kubernetes::{Service, ServiceAccount};
use tulle_base::agent::{AgentConfig, DiscoveryConfig, DnsConfig, InheritedListener, NodeConfig, NodeType};

use super::build::{Cluster, Problem};
use super::files::VolumeFile;
use super::running::Running;
use super::token::Claims;
use super::variables::Fields;
use super::volumes::{DEFAULT_AUDIENCE, DEFAULT_LIFETIME};
use crate::cluster::endpoints::NODE_NAME;
use crate::cluster::families::cluster_ips;
use crate::cluster::inject::{ROOT_VOLUME, TOKEN_VOLUME, owner_path, workload_name};
use crate::container::spec::FIRST_PASSED_FD;
use crate::net::{Addresses, Family};
use crate::redirect::DNS_PORT;

/// Name of the file with the agent's configuration.
const AGENT_FILE: &str = "agent.json";
/// Namespace and name of the control plane's service.
const DISCOVERY: (&str, &str) = ("istio-system", "istiod");
const DISCOVERY_PORT: u16 = 15012;
/// Volume with the socket for identities.
const SOCKET_VOLUME: &str = "workload-socket";

/// The agent's configuration as a file, and the sockets for a gateway.
pub(super) fn agent(
    fields: &Fields<'_>,
    cluster: &Cluster<'_>,
    gateway: bool,
    dir: &Path,
) -> Result<(VolumeFile, Vec<Arc<OwnedFd>>), Problem> {
    let (namespace, name) = DISCOVERY;
    let discovery =
        cluster.view.get::<Service>(namespace, name).map(|(_, s)| cluster_ips(s)).unwrap_or_default();
    if discovery.is_empty() {
        return Err(Problem::waits("istio-proxy", "the control plane has no address"));
    }
    let volume = |name: &str, file: &str| dir.join("volumes").join(name).join(file);
    let sockets: Vec<(SocketAddr, Arc<OwnedFd>)> =
        if gateway { cluster.gateway_sockets.to_vec() } else { Vec::new() };
    let dns = dns(cluster.addresses);
    let running = Running::of(cluster.view, fields.pod);
    let config = AgentConfig {
        node: node(fields, gateway, &running),
        trust_domain: "cluster.local".into(),
        discovery: DiscoveryConfig {
            host: "istiod.istio-system.svc".into(),
            addresses: discovery.into_iter().map(|ip| SocketAddr::new(ip, DISCOVERY_PORT)).collect(),
        },
        ca_root: volume(ROOT_VOLUME, "root-cert.pem"),
        token: volume(TOKEN_VOLUME, "istio-token"),
        // Istio's name for the volume that a pod shares with its proxy for this.
        workload_socket: (fields.spec.volumes.iter().any(|v| v.name == SOCKET_VOLUME))
            .then(|| volume(SOCKET_VOLUME, "socket")),
        audit_log: Some(dir.join("proxy-state").join("audit.log")),
        audit_sinks: Vec::new(),
        cert_ttl_seconds: cluster.cert_ttl.as_secs(),
        dns: (!gateway && running.captures_dns()).then_some(dns),
        concurrency: running.concurrency.map(threads),
        connection_limits: running.limits.clone(),
        inherited_listeners: sockets
            .iter()
            .zip(FIRST_PASSED_FD..)
            .map(|((address, _), fd)| InheritedListener { address: *address, fd })
            .collect(),
        state_dir: Some(dir.join("proxy-state")),
        drain_seconds: running.drain.map_or(5, |d| d.as_secs_f64().ceil() as u64),
        app_probes: BTreeMap::new(),
        readiness_probe: None,
        run_as_uid: None,
        stats: running.stats.clone(),
        merge_metrics: running.merge_metrics != Some(false),
        mark_sockets: true,
    };
    let bytes = serde_json::to_vec_pretty(&config).map_err(|e| Problem::new("istio-proxy", e.to_string()))?;
    let file = VolumeFile { path: AGENT_FILE.into(), bytes, mode: 0o600 };
    Ok((file, sockets.into_iter().map(|(_, fd)| fd).collect()))
}

/// The proxy's DNS: where redirection brings questions to the node's.
fn dns(addresses: Addresses) -> DnsConfig {
    let at = |ip: IpAddr, port| SocketAddr::new(ip, port);
    let mut listen = addresses.all().map(|n| at(n.family().loopback(), DNS_PORT));
    DnsConfig {
        listen: listen.next().unwrap_or_else(|| at(Family::V4.loopback(), DNS_PORT)),
        also_listen: listen.collect(),
        upstreams: vec![at(addresses.first.node, 53)],
        capture: true,
    }
}

/// Worker threads: 0 is one per core.
fn threads(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

fn node(fields: &Fields<'_>, gateway: bool, running: &Running) -> NodeConfig {
    let meta = &fields.pod.meta;
    let locality =
        meta.labels.get("topology.istio.io/locality").or_else(|| meta.labels.get("istio-locality"));
    NodeConfig {
        kind: if gateway { NodeType::Router } else { NodeType::Sidecar },
        pod: meta.name.clone(),
        namespace: meta.namespace.clone(),
        ip: fields.ips.first.to_string(),
        more_ips: fields.ips.second.iter().map(ToString::to_string).collect(),
        service_account: fields.spec.account().to_owned(),
        workload: workload_name(fields.pod),
        owner: owner_path(fields.pod),
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
        cluster_id: "Kubernetes".into(),
        mesh_id: if running.mesh_id.is_empty() { "cluster.local".into() } else { running.mesh_id.clone() },
        network: meta.labels.get("topology.istio.io/network").cloned().unwrap_or_default(),
        locality: locality.map(|l| l.replace('.', "/")).unwrap_or_default(),
        auto_register_group: String::new(),
        node_name: NODE_NAME.into(),
        dns_domain: "cluster.local".into(),
        metadata: running.metadata(),
    }
}

/// `token` and `namespace` for client libraries of the Kubernetes API.
pub(super) fn account_files(fields: &Fields<'_>, cluster: &Cluster<'_>) -> Result<Vec<VolumeFile>, Problem> {
    let meta = &fields.pod.meta;
    let account = fields.spec.account();
    let Some((object, _)) = cluster.view.get::<ServiceAccount>(&meta.namespace, account) else {
        return Err(Problem::waits("serviceAccountName", format!("ServiceAccount {account} does not exist")));
    };
    let claims = Claims {
        namespace: &meta.namespace,
        account,
        account_uid: &object.meta.uid,
        pod: &meta.name,
        pod_uid: &meta.uid,
        audience: DEFAULT_AUDIENCE,
        now: cluster.now,
        lifetime: DEFAULT_LIFETIME,
    };
    let token =
        cluster.signer.sign(&claims).map_err(|e| Problem::new("serviceAccountName", e.to_string()))?;
    let file = |path: &str, text: String| VolumeFile { path: path.into(), bytes: text.into(), mode: 0o644 };
    Ok(vec![file("token", token), file("namespace", meta.namespace.clone())])
}
