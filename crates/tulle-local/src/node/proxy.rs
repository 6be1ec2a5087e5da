//! What a proxy is told about its pod, and what every pod gets to know about its account.

use std::collections::BTreeMap;
use std::net::SocketAddr;
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
use crate::cluster::inject::{ROOT_VOLUME, TOKEN_VOLUME, owner_path, workload_name};
use crate::container::spec::FIRST_PASSED_FD;
use crate::redirect::DNS_PORT;

/// Name of the file with the agent's configuration.
const AGENT_FILE: &str = "agent.json";
/// Namespace and name of the control plane's service.
const DISCOVERY: (&str, &str) = ("istio-system", "istiod");
const DISCOVERY_PORT: u16 = 15012;

/// The agent's configuration as a file, and the sockets for a gateway.
pub(super) fn agent(
    fields: &Fields<'_>,
    cluster: &Cluster<'_>,
    gateway: bool,
    dir: &Path,
) -> Result<(VolumeFile, Vec<Arc<OwnedFd>>), Problem> {
    let (namespace, name) = DISCOVERY;
    let discovery = cluster.view.get::<Service>(namespace, name).and_then(|(_, s)| s.cluster_ip.parse().ok());
    let Some(discovery) = discovery else {
        return Err(Problem::waits("istio-proxy", "the control plane has no address"));
    };
    let volume = |name: &str, file: &str| dir.join("volumes").join(name).join(file);
    let mut sockets: Vec<(SocketAddr, Arc<OwnedFd>)> = Vec::new();
    if gateway {
        sockets.extend(cluster.gateway_sockets.iter().map(|(a, fd)| (*a, Arc::clone(fd))));
        sockets.sort_by_key(|(a, _)| *a);
    }
    let dns = DnsConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], DNS_PORT)),
        upstreams: vec![SocketAddr::new(cluster.addresses.node.into(), 53)],
        capture: true,
    };
    let running = Running::of(cluster.view, fields.pod);
    let config = AgentConfig {
        node: node(fields, gateway),
        trust_domain: "cluster.local".into(),
        discovery: DiscoveryConfig {
            host: "istiod.istio-system.svc".into(),
            addresses: vec![SocketAddr::new(discovery, DISCOVERY_PORT)],
        },
        ca_root: volume(ROOT_VOLUME, "root-cert.pem"),
        token: volume(TOKEN_VOLUME, "istio-token"),
        cert_ttl_seconds: cluster.cert_ttl.as_secs(),
        dns: (!gateway).then_some(dns),
        concurrency: running.concurrency.map(threads),
        inherited_listeners: sockets
            .iter()
            .zip(FIRST_PASSED_FD..)
            .map(|((address, _), fd)| InheritedListener { address: *address, fd })
            .collect(),
        state_dir: Some(dir.join("proxy-state")),
        drain_seconds: running.drain.map_or(5, |d| d.as_secs_f64().ceil() as u64),
        app_probes: BTreeMap::new(),
        run_as_uid: None,
        mark_sockets: true,
    };
    let bytes = serde_json::to_vec_pretty(&config).map_err(|e| Problem::new("istio-proxy", e.to_string()))?;
    let file = VolumeFile { path: AGENT_FILE.into(), bytes, mode: 0o600 };
    Ok((file, sockets.into_iter().map(|(_, fd)| fd).collect()))
}

/// Worker threads: 0 is one per core.
fn threads(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

fn node(fields: &Fields<'_>, gateway: bool) -> NodeConfig {
    let meta = &fields.pod.meta;
    let locality =
        meta.labels.get("topology.istio.io/locality").or_else(|| meta.labels.get("istio-locality"));
    NodeConfig {
        kind: if gateway { NodeType::Router } else { NodeType::Sidecar },
        pod: meta.name.clone(),
        namespace: meta.namespace.clone(),
        ip: fields.ip.to_string(),
        service_account: fields.spec.account().to_owned(),
        workload: workload_name(fields.pod),
        owner: owner_path(fields.pod),
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
        cluster_id: "Kubernetes".into(),
        mesh_id: "cluster.local".into(),
        network: meta.labels.get("topology.istio.io/network").cloned().unwrap_or_default(),
        locality: locality.map(|l| l.replace('.', "/")).unwrap_or_default(),
        node_name: NODE_NAME.into(),
        dns_domain: "cluster.local".into(),
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
