//! From the node agent's file to a plan: who the proxy is towards the control plane, and the ports of Istio's proxies.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tulle_base::agent::{AgentConfig, NodeConfig, NodeType};
use tulle_base::{Locality, SpiffeId};
use tulle_identity::secrets::{MESH_ROOTS, OWN_CERTIFICATE};
use tulle_identity::{CertificateSource, Secrets};
use tulle_proto::Message as _;
use tulle_proto::envoy::bootstrap::Bootstrap;
use tulle_proto::envoy::core;
use tulle_proto::envoy::google::value::Kind;
use tulle_proto::envoy::google::{Struct, Value};

use super::fds::{self, FdError};
use super::plan::{IdentityPlan, MeshServer, PROXY_MARK, Plan, XdsPlan, XdsServer};
use crate::admin::Exposed;
use tulle_telemetry::audit::Sink;

/// Version of Istio whose dialect we speak, as control planes read it (`ISTIO_VERSION`).
pub const ISTIO_VERSION: &str = "1.29.0";

/// What an agent configuration says that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// An inherited descriptor is not an open socket.
    #[error(transparent)]
    Descriptor(#[from] FdError),
    /// Security events cannot be told where it says.
    #[error("audit_sinks: {0}")]
    Audit(String),
}

impl Plan {
    /// The plan of a sidecar or gateway. Takes over the inherited sockets, so it can be called once.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn from_agent(config: AgentConfig) -> Result<Self, AgentError> {
        let secrets = Secrets::default();
        let AgentConfig {
            node,
            trust_domain,
            discovery,
            ca_root,
            token,
            workload_socket,
            audit_log,
            audit_sinks,
            cert_ttl_seconds,
            dns,
            concurrency,
            connection_limits,
            inherited_listeners,
            state_dir,
            drain_seconds,
            app_probes,
            readiness_probe,
            run_as_uid: _, // For people; sockets are marked whoever we are.
            stats,
            merge_metrics,
            mark_sockets,
        } = config;
        let inherited = inherited_listeners
            .iter()
            .map(|l| Ok((l.address, fds::inherited(l.fd)?)))
            .collect::<Result<Vec<_>, FdError>>()?;
        let server = MeshServer {
            host: discovery.host.clone(),
            addresses: discovery.addresses.clone(),
            roots: ca_root,
            known: secrets.bundle(MESH_ROOTS),
            own: CertificateSource::one(secrets.certificate(OWN_CERTIFICATE)),
        };
        let identity = IdentityPlan {
            id: SpiffeId::new(trust_domain, node.namespace.clone(), node.service_account.clone()),
            ca: server.clone(),
            token,
            ttl: Duration::from_secs(cert_ttl_seconds),
            socket: workload_socket,
        };
        let dns = dns.filter(|d| d.capture);
        let xds_node = xds_node(&node, dns.is_some());
        Ok(Self {
            xds_node: xds_node.to_wire().into(),
            bootstrap: Bootstrap { node: Some(xds_node), ..Bootstrap::default() }.to_wire().into(),
            listeners: Vec::new(),
            clusters: Vec::new(),
            static_secrets: Vec::new(),
            secrets,
            xds: Some(XdsPlan {
                authority: format!("{}:15012", discovery.host),
                server: XdsServer::Mesh(server),
                listeners: true,
                clusters: true,
                names: dns.is_some(),
                trust: true,
            }),
            ports: ports(&node),
            dns,
            identity: Some(identity),
            inherited,
            state_dir,
            drain: Duration::from_secs(drain_seconds),
            mark: mark_sockets.then_some(PROXY_MARK),
            limits: connection_limits,
            workers: concurrency.unwrap_or_else(|| default_workers(node.kind)),
            app_probes,
            readiness_probe,
            istio_stats: true,
            stats,
            merge_metrics,
            audit: audit_sinks
                .iter()
                .map(|s| Sink::parse(s))
                .collect::<Result<Vec<_>, _>>()
                .map_err(AgentError::Audit)?
                .into_iter()
                .chain(audit_log.map(Sink::File))
                .collect(),
            environment: std::collections::BTreeMap::new(),
            node,
        })
    }
}

/// One worker beside an application, all cores for a gateway.
fn default_workers(kind: NodeType) -> usize {
    match kind {
        NodeType::Sidecar => 1,
        NodeType::Router => std::thread::available_parallelism().map_or(1, Into::into),
    }
}

/// The proxy's own ports: on all addresses of each of the pod's families, but for the one that changes things.
fn ports(node: &NodeConfig) -> Vec<(SocketAddr, Exposed)> {
    let v6 = |ip: &str| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
    let mut any = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    if node.ips().any(v6) {
        any.push(Ipv6Addr::UNSPECIFIED.into());
    }
    let shown = [(15090, Exposed::Prometheus), (15020, Exposed::Status), (15021, Exposed::Health)];
    let admin = (SocketAddr::from((Ipv4Addr::LOCALHOST, 15000)), Exposed::Admin);
    let shown = any.iter().flat_map(|ip| shown.map(|(port, what)| (SocketAddr::new(*ip, port), what)));
    std::iter::once(admin).chain(shown).collect()
}

/// The xDS node as Istio's proxies present themselves.
pub fn xds_node(node: &NodeConfig, dns_capture: bool) -> core::Node {
    let NodeConfig {
        kind: _, // Part of the id.
        pod,
        namespace,
        ip: _, // Part of the id, and of all addresses.
        more_ips: _,
        service_account,
        workload,
        owner,
        labels,
        annotations,
        cluster_id,
        mesh_id,
        network,
        locality,
        auto_register_group,
        node_name,
        dns_domain: _, // Part of the id.
        metadata: further,
    } = node;
    let ips = node.ips().collect::<Vec<_>>().join(",");
    let mut metadata: BTreeMap<&str, Value> = [
        ("NAME", pod),
        ("NAMESPACE", namespace),
        ("SERVICE_ACCOUNT", service_account),
        ("WORKLOAD_NAME", workload),
        ("OWNER", owner),
        ("CLUSTER_ID", cluster_id),
        ("MESH_ID", mesh_id),
        ("NETWORK", network),
        ("INSTANCE_IPS", &ips),
        ("NODE_NAME", node_name),
        ("AUTO_REGISTER_GROUP", auto_register_group),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key, text(value)))
    .collect();
    metadata.insert("ISTIO_VERSION", text(ISTIO_VERSION));
    metadata.insert("INTERCEPTION_MODE", text("REDIRECT"));
    metadata.insert("LABELS", map(labels));
    metadata.insert("ANNOTATIONS", map(annotations));
    for (key, value) in further {
        metadata.entry(key).or_insert_with(|| text(value));
    }
    if dns_capture {
        metadata.insert("DNS_CAPTURE", text("true"));
        metadata.insert("DNS_AUTO_ALLOCATE", text("true"));
    }
    core::Node {
        id: node.id(),
        cluster: node.cluster(),
        metadata: Some(Struct { fields: metadata.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() }),
        locality: (!locality.is_empty()).then(|| {
            let Locality { region, zone, sub_zone } = Locality::parse(locality);
            core::Locality { region, zone, sub_zone }
        }),
        user_agent_name: "tulle".to_owned(),
        user_agent_version_type: Some(core::node::UserAgentVersionType::UserAgentVersion(
            env!("CARGO_PKG_VERSION").to_owned(),
        )),
        client_features: vec!["envoy.lb.does_not_support_overprovisioning".to_owned()],
        ..core::Node::default()
    }
}

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

fn map(values: &BTreeMap<String, String>) -> Value {
    let fields = values.iter().map(|(k, v)| (k.clone(), text(v))).collect();
    Value { kind: Some(Kind::StructValue(Struct { fields })) }
}

/// The workers' view of a node that was written in a bootstrap: what Istio's metadata keys say, as far as they are there.
pub(crate) fn node_of_bootstrap(node: &core::Node) -> NodeConfig {
    let get = |key: &str| {
        let fields = node.metadata.as_ref().map(|m| &m.fields);
        match fields.and_then(|f| f.get(key)).and_then(|v| v.kind.as_ref()) {
            Some(Kind::StringValue(value)) => value.clone(),
            _ => String::new(),
        }
    };
    let labels =
        match node.metadata.as_ref().and_then(|m| m.fields.get("LABELS")).and_then(|v| v.kind.as_ref()) {
            Some(Kind::StructValue(labels)) => labels
                .fields
                .iter()
                .filter_map(|(key, value)| match &value.kind {
                    Some(Kind::StringValue(value)) => Some((key.clone(), value.clone())),
                    _ => None,
                })
                .collect(),
            _ => BTreeMap::new(),
        };
    let kind = if node.id.starts_with("router~") { NodeType::Router } else { NodeType::Sidecar };
    let locality = node
        .locality
        .as_ref()
        .map(|l| Locality { region: l.region.clone(), zone: l.zone.clone(), sub_zone: l.sub_zone.clone() })
        .unwrap_or_default();
    let ips = get("INSTANCE_IPS");
    let mut ips = ips.split(',').map(|ip| ip.trim().to_owned());
    NodeConfig {
        kind,
        pod: get("NAME"),
        namespace: get("NAMESPACE"),
        ip: ips.next().unwrap_or_default(),
        more_ips: ips.collect(),
        service_account: get("SERVICE_ACCOUNT"),
        workload: get("WORKLOAD_NAME"),
        owner: get("OWNER"),
        labels,
        annotations: BTreeMap::new(),
        cluster_id: get("CLUSTER_ID"),
        mesh_id: get("MESH_ID"),
        network: get("NETWORK"),
        locality: locality.to_string(),
        auto_register_group: get("AUTO_REGISTER_GROUP"),
        node_name: get("NODE_NAME"),
        dns_domain: "cluster.local".to_owned(),
        metadata: BTreeMap::new(),
    }
}

/// Keeps the names of a node together for `/server_info`.
pub(crate) fn describe(node: &NodeConfig) -> Arc<str> {
    if node.pod.is_empty() { "bootstrap".into() } else { node.id().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_written_as_istio_writes_it() {
        let node = NodeConfig {
            pod: "cart-1".into(),
            namespace: "shop".into(),
            ip: "10.244.0.7".into(),
            more_ips: vec!["fd00::7".into()],
            service_account: "cart".into(),
            workload: "cart".into(),
            labels: [("app".to_owned(), "cart".to_owned())].into(),
            locality: "r/z".into(),
            dns_domain: "cluster.local".into(),
            ..NodeConfig::default()
        };
        let xds = xds_node(&node, true);
        assert_eq!(xds.id, "sidecar~10.244.0.7~cart-1.shop~shop.svc.cluster.local");
        assert_eq!(xds.cluster, "cart.shop");
        assert_eq!(xds.user_agent_name, "tulle");
        let back = node_of_bootstrap(&xds);
        assert_eq!((back.ip, back.more_ips), (node.ip, node.more_ips));
        assert_eq!((back.pod, back.labels, back.locality), (node.pod, node.labels, node.locality));
    }
}
