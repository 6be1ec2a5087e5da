//! Services, EndpointSlices and Pods.

use serde_json::Value;
use tulle_api::Object;
use tulle_api::kubernetes as k8s;
use tulle_api::value::IntOrString;
use tulle_base::{Host, Labels, Locality, Selector};

use super::cx::Cx;
use crate::config::MeshConfig;
use crate::destination::locality;
use crate::item::{Authorities, Certificate, Namespace};
use crate::meta::NsName;
use crate::node::Node;
use crate::port::Protocol;
use crate::service::{Distribution, Registry, Resolution, Service, ServicePort, TargetPort};
use crate::slice::{Slice, SliceEndpoint};
use crate::visibility::ExportTo;
use crate::workload::{Workload, canonical_name, canonical_revision, workload_name};

/// The service of a Service. `None` for ExternalName, which is a DNS alias: requests for it are for its target.
pub(super) fn service(
    cx: &mut Cx<'_>,
    object: &Object,
    spec: &k8s::Service,
    mesh: &MeshConfig,
) -> Option<Service> {
    let k8s::Service {
        selector,
        ports,
        service_type,
        cluster_ip,
        cluster_ips,
        external_name: _,
        publish_not_ready_addresses,
        traffic_distribution,
        internal_traffic_policy,
        external_ips,
        // What follows has no effect inside the mesh; the reader says so where it is no matter of course.
        external_traffic_policy: _,
        session_affinity: _,
        session_affinity_config: _,
        load_balancer_ip: _,
        load_balancer_class: _,
        load_balancer_source_ranges: _,
        allocate_load_balancer_node_ports: _,
        health_check_node_port: _,
        ip_families: _,
        ip_family_policy: _,
    } = spec;
    if *service_type == Some(k8s::ServiceType::ExternalName) {
        cx.not_applied(true, "spec.type", "calls to an ExternalName service go where DNS sends them");
        return None;
    }
    let distribution = distribution(cx, object, traffic_distribution);
    let mut addresses: Vec<String> =
        if cluster_ips.is_empty() { vec![cluster_ip.clone()] } else { cluster_ips.clone() };
    let headless = addresses.iter().any(|a| a == "None");
    addresses.retain(|a| !a.is_empty() && a != "None");
    let export = object.meta.annotations.get("networking.istio.io/exportTo");
    let export = export.map(|e| e.split(',').map(str::trim).filter(|e| !e.is_empty()).collect::<Vec<_>>());
    Some(Service {
        hostname: Host::new(&format!("{}.{}.svc.{}", cx.meta.name(), cx.meta.namespace(), cx.domain)),
        registry: Registry::Kubernetes,
        resolution: if headless { Resolution::Passthrough } else { Resolution::Static },
        addresses,
        external_addresses: external_ips.iter().cloned().chain(load_balancer(object)).collect(),
        auto_allocated: false,
        ports: ports.iter().filter_map(port).collect(),
        selector: (!selector.is_empty()).then(|| Selector(selector.clone())),
        endpoints: Vec::new(),
        exports_by_default: export.as_ref().is_none_or(Vec::is_empty),
        export_to: ExportTo::parse_or(
            export.unwrap_or_default(),
            &mesh.service_export_to,
            cx.meta.namespace(),
        ),
        mesh_external: false,
        subject_alt_names: Vec::new(),
        labels: object.meta.labels.clone(),
        publish_not_ready: publish_not_ready_addresses.unwrap_or(false),
        host_ports: host_ports(object),
        distribution,
        node_local: internal_traffic_policy == "Local",
        meta: cx.meta.clone(),
    })
}

/// The addresses that a load balancer has given to the Service.
fn load_balancer(object: &Object) -> impl Iterator<Item = String> + '_ {
    let all = object.status.as_ref().and_then(|s| s.pointer("/loadBalancer/ingress")?.as_array());
    let ip = |at: &Value| at.get("ip").and_then(Value::as_str).map(str::to_owned);
    all.into_iter().flatten().filter_map(ip)
}

fn host_ports(object: &Object) -> std::collections::BTreeMap<u16, String> {
    let written = object.meta.annotations.get("local.tulle.dev/host-ports").map_or("", String::as_str);
    let pairs = written.split(',').filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(port, at)| Some((port.trim().parse().ok()?, at.trim().to_owned()))).collect()
}

/// Which endpoints are near enough: the field, else the annotation that Istio had before it.
pub(super) fn distribution(cx: &mut Cx<'_>, object: &Object, field: &str) -> Distribution {
    const ANNOTATION: &str = "networking.istio.io/traffic-distribution";
    let written = object.meta.annotations.get(ANNOTATION).map(String::as_str).unwrap_or_default();
    let (text, path) = match field {
        "" => (written, format!("metadata.annotations[{ANNOTATION}]")),
        _ => (field, "spec.trafficDistribution".to_owned()),
    };
    Distribution::parse(text).unwrap_or_else(|| {
        let message = format!("{text:?} is unknown, so any endpoint is asked");
        cx.warn(&path, message, "write PreferSameZone or PreferSameNode");
        Distribution::Any
    })
}

/// The node of a Node.
pub(super) fn node(object: &Object) -> Node {
    let label = |key: &str| object.meta.labels.get(key).cloned();
    let or = |key: &str, older: &str| label(key).or_else(|| label(older)).unwrap_or_default();
    let locality = Locality {
        region: or(locality::REGION, "failure-domain.beta.kubernetes.io/region"),
        zone: or(locality::ZONE, "failure-domain.beta.kubernetes.io/zone"),
        sub_zone: label(locality::SUBZONE).unwrap_or_default(),
    };
    Node { name: object.meta.name.clone(), locality }
}

fn port(p: &k8s::ServicePort) -> Option<ServicePort> {
    let k8s::ServicePort { name, port, target_port, protocol, app_protocol, node_port: _ } = p;
    let number = u16::try_from(*port).ok().filter(|p| *p > 0)?;
    let target = match target_port {
        None => TargetPort::Number(number),
        Some(IntOrString::Int(n)) => {
            u16::try_from(*n).ok().filter(|n| *n > 0).map_or(TargetPort::Number(number), TargetPort::Number)
        }
        Some(IntOrString::String(s)) => match s.parse() {
            Ok(n) => TargetPort::Number(n),
            Err(_) => TargetPort::Name(s.clone()),
        },
    };
    let app = Some(app_protocol.as_str()).filter(|a| !a.is_empty());
    let transport = protocol.map_or("TCP", k8s::TransportProtocol::as_str);
    Some(ServicePort {
        name: name.clone(),
        number,
        target,
        protocol: Protocol::select(transport, app, name, number),
    })
}

/// A Namespace. Its name is among its labels, as it is on every cluster.
pub(super) fn namespace(object: &Object) -> Namespace {
    let name = object.meta.name.clone();
    let mut labels = object.meta.labels.clone();
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
    Namespace { name, labels }
}

/// The certificate of a Secret; `None` for Secrets that hold something else.
pub(super) fn certificate(object: &Object, spec: &k8s::Secret) -> Option<Certificate> {
    let value = |names: [&str; 2]| {
        let one = |name: &str| {
            let plain = spec.string_data.get(name).map(String::as_bytes);
            plain.or_else(|| spec.data.get(name).map(|b| b.0.as_slice())).filter(|v| !v.is_empty())
        };
        one(names[0]).or_else(|| one(names[1]))
    };
    let (chain, key) = (value(["tls.crt", "cert"]), value(["tls.key", "key"]));
    if chain.is_none() && key.is_none() && spec.secret_type != "kubernetes.io/tls" {
        return None;
    }
    let pem = |bytes: Option<&[u8]>, label: &str| {
        bytes.is_some_and(|b| {
            let text = String::from_utf8_lossy(b);
            text.lines().any(|l| l.starts_with("-----BEGIN ") && l.trim_end().ends_with(label))
        })
    };
    let problem = if !pem(chain, "CERTIFICATE-----") {
        Some("it has no certificate in PEM in tls.crt".to_owned())
    } else if !pem(key, "PRIVATE KEY-----") {
        Some("it has no private key in PEM in tls.key".to_owned())
    } else {
        None
    };
    let name = NsName::new(object.meta.namespace.clone(), object.meta.name.clone());
    Some(Certificate { name, problem })
}

/// The authorities of a ConfigMap; `None` for one that holds something else.
pub(super) fn authorities(object: &Object, spec: &k8s::ConfigMap) -> Option<Authorities> {
    let pem = spec.data.get("ca.crt")?;
    let certificates = pem.lines().any(|l| l.trim() == "-----BEGIN CERTIFICATE-----");
    let name = NsName::new(object.meta.namespace.clone(), object.meta.name.clone());
    certificates.then(|| Authorities { name, pem: pem.clone() })
}

/// The slice of an EndpointSlice; `None` when it names no service, or no IP addresses.
pub(super) fn slice(object: &Object, spec: &k8s::EndpointSlice) -> Option<Slice> {
    let k8s::EndpointSlice { address_type, endpoints, ports } = spec;
    if *address_type == Some(k8s::AddressType::Fqdn) {
        return None;
    }
    let service = object.meta.labels.get("kubernetes.io/service-name")?;
    let ports = ports.iter().filter_map(|p| {
        let k8s::EndpointPort { name, port, protocol: _, app_protocol: _ } = p; // the service's port says these
        Some((name.clone(), u16::try_from((*port)?).ok().filter(|p| *p > 0)?))
    });
    Some(Slice {
        service: NsName::new(object.meta.namespace.clone(), service.clone()),
        ports: ports.collect(),
        endpoints: endpoints.iter().map(|e| slice_endpoint(&object.meta.namespace, e)).collect(),
    })
}

fn slice_endpoint(namespace: &str, e: &k8s::Endpoint) -> SliceEndpoint {
    let k8s::Endpoint {
        addresses,
        conditions,
        hostname: _, // names of single pods are their DNS names, made from the pods
        target_ref,
        node_name,
        zone,
        hints: _, // hints are for consumers without a view of their own
        deprecated_topology: _,
    } = e;
    let ready = conditions.as_ref().is_none_or(|c| c.ready.unwrap_or(true));
    let pod = target_ref.as_ref().filter(|t| t.kind == "Pod").map(|t| {
        let ns = if t.namespace.is_empty() { namespace } else { &t.namespace };
        NsName::new(ns, t.name.clone())
    });
    SliceEndpoint { addresses: addresses.clone(), ready, pod, zone: zone.clone(), node: node_name.clone() }
}

/// The workload of a Pod; `None` once its containers have ended.
pub(super) fn workload(cx: &mut Cx<'_>, object: &Object, spec: &k8s::PodSpec) -> Option<Workload> {
    let status = object.status.as_ref().unwrap_or(&Value::Null);
    let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default();
    if matches!(text("phase"), "Succeeded" | "Failed") {
        return None;
    }
    let meta = &object.meta;
    let controller =
        meta.owner_references.iter().find(|o| o.controller == Some(true)).or(meta.owner_references.first());
    let owner = controller.map(|o| (o.kind.as_str(), o.name.as_str()));
    let workload = workload_name(&meta.name, &meta.labels, owner);
    let service_account = [&spec.service_account_name, &spec.service_account]
        .into_iter()
        .find(|s| !s.is_empty())
        .map_or("default", String::as_str);
    let written = super::settings::of_pod(cx, object);
    Some(Workload {
        pod: NsName::new(meta.namespace.clone(), meta.name.clone()),
        ips: ips(status),
        canonical_name: canonical_name(&meta.labels, &workload).to_owned(),
        canonical_revision: canonical_revision(&meta.labels).to_owned(),
        mtls_ready: mtls_ready(object, spec),
        locality: own_locality(&meta.labels),
        network: meta.labels.get("topology.istio.io/network").cloned().unwrap_or_default(),
        node: spec.node_name.clone(),
        ready: is_ready(status),
        named_ports: named_ports(spec),
        topology: written.topology,
        proxy: written.settings,
        service_account: service_account.to_owned(),
        workload_name: workload,
        labels: meta.labels.clone(),
    })
}

fn ips(status: &Value) -> Vec<String> {
    let primary = status.get("podIP").and_then(Value::as_str).unwrap_or_default().to_owned();
    let others = status.get("podIPs").and_then(Value::as_array).into_iter().flatten();
    let others = others.filter_map(|ip| ip.get("ip").and_then(Value::as_str)).map(str::to_owned);
    let mut all = vec![primary];
    all.extend(others);
    all.retain(|ip| !ip.is_empty());
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|ip| seen.insert(ip.clone()));
    all
}

fn is_ready(status: &Value) -> bool {
    let conditions = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.into_iter().any(|c| {
        let is = |key: &str, value: &str| c.get(key).and_then(Value::as_str) == Some(value);
        is("type", "Ready") && is("status", "True")
    })
}

/// Whether a sidecar was injected: the label says so, or the annotation that injection writes, or the container. A pod that
/// wants no injection and has the container all the same is a gateway, whose listeners are what Gateways say.
fn mtls_ready(object: &Object, spec: &k8s::PodSpec) -> bool {
    match object.meta.labels.get("security.istio.io/tlsMode").map(String::as_str) {
        Some(mode) => mode == "istio",
        None => {
            let wanted = object.meta.labels.get("sidecar.istio.io/inject").is_none_or(|v| v != "false");
            object.meta.annotations.contains_key("sidecar.istio.io/status")
                || wanted
                    && spec.containers.iter().chain(&spec.init_containers).any(|c| c.name == "istio-proxy")
        }
    }
}

/// Where the pod says that it runs; its node says it otherwise.
fn own_locality(labels: &Labels) -> Locality {
    match labels.get("istio-locality").or_else(|| labels.get("topology.istio.io/locality")) {
        // Label values cannot hold slashes, so Istio writes dots.
        Some(text) => Locality::parse(&text.replace('.', "/")),
        None => Locality::default(),
    }
}

fn named_ports(spec: &k8s::PodSpec) -> std::collections::BTreeMap<String, u16> {
    let ports = spec.containers.iter().chain(&spec.init_containers).flat_map(|c| &c.ports);
    let named = ports.filter(|p| !p.name.is_empty());
    named.filter_map(|p| Some((p.name.clone(), u16::try_from(p.container_port).ok()?))).collect()
}
