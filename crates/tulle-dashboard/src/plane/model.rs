//! What there is: services, workloads, and what applies to them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// The mesh at one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Counts changes.
    pub version: u64,
    /// Trust domain.
    pub trust_domain: String,
    /// The namespace whose policies hold for everybody.
    pub root_namespace: String,
    /// Services by `NAMESPACE/NAME`.
    pub services: BTreeMap<String, Service>,
    /// Workloads by `NAMESPACE/NAME`.
    pub workloads: BTreeMap<String, Workload>,
}

/// Names a resource of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reference {
    /// `KIND/NAMESPACE/NAME`, or `KIND.GROUP/…` where the kind is ambiguous; what paths take.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Namespace, empty for what belongs to none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Reference {
    /// A reference. Kinds that two groups have (`Gateway`) are Istio's when their group is not said.
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let space = if namespace.is_empty() { "-" } else { namespace };
        let id = match (kind, group) {
            ("Gateway", "gateway.networking.k8s.io") => format!("{kind}.{group}/{space}/{name}"),
            _ => format!("{kind}/{space}/{name}"),
        };
        Self {
            id,
            kind: kind.to_owned(),
            group: group.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Kind, group if one is said, namespace and name of an id.
    pub fn parts(id: &str) -> Option<(&str, Option<&str>, &str, &str)> {
        let mut parts = id.split('/');
        let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || kind.is_empty() || name.is_empty() {
            return None;
        }
        let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
        Some((kind, group, if namespace == "-" { "" } else { namespace }, name))
    }
}

/// What is special about a service, a workload or an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Badge {
    /// Limits of connections or outlier detection are configured.
    CircuitBreaker,
    /// Outside of the mesh.
    External,
    /// Errors or delays are injected.
    Fault,
    /// It is reached from a gateway, or is one.
    Gateway,
    /// Requests are copied elsewhere.
    Mirror,
    /// Pods without a proxy.
    MissingSidecar,
    /// Requests are limited.
    RateLimit,
    /// Retries are configured.
    Retry,
    /// Routes depend on what a request says.
    Routing,
    /// Requests are split over several destinations.
    Split,
    /// A timeout is configured.
    Timeout,
}

/// A service, or one host of a ServiceEntry.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// `NAMESPACE/NAME`.
    pub id: String,
    /// Namespace.
    pub namespace: String,
    /// Name; of a ServiceEntry the host.
    pub name: String,
    /// Fully qualified host.
    pub host: String,
    /// `service` or `entry`.
    pub kind: &'static str,
    /// Ports.
    pub ports: Vec<Port>,
    /// The workloads behind it.
    pub workloads: BTreeSet<String>,
    /// What is special.
    pub badges: BTreeSet<Badge>,
    /// The resources that say something of it.
    pub resources: BTreeSet<Reference>,
    /// Its endpoints.
    #[serde(skip)]
    pub endpoints: Vec<Endpoint>,
    /// Routes whose host it is, and routes that lead to it.
    #[serde(skip)]
    pub routes: Vec<Route>,
    /// Named parts of its endpoints.
    #[serde(skip)]
    pub subsets: Vec<Subset>,
    /// Whether a breaker is configured: limits, or outlier detection.
    #[serde(skip)]
    pub breaks: bool,
    /// What applies and why, in the order in which a request meets it.
    #[serde(skip)]
    pub configuration: Vec<Applied>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Number.
    pub port: u16,
    /// What it speaks.
    pub protocol: String,
}

/// An address behind a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Endpoint {
    /// `ADDRESS:PORT`.
    pub address: String,
    /// The service's port that leads there.
    pub port: u16,
    /// The pod, empty if it is none.
    pub pod: String,
    /// The workload, if it is one of the mesh's.
    pub workload: Option<String>,
    /// Its version.
    pub version: String,
    /// Whether it takes new requests, as the control plane knows.
    pub ready: bool,
    /// `region/zone`.
    pub zone: String,
    /// Weight.
    pub weight: u32,
}

/// A rule of a document with routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// `RESOURCE#INDEX`.
    pub id: String,
    /// The rule within the document, such as `http[2]`, or its name.
    pub name: String,
    /// The document.
    pub resource: Option<Reference>,
    /// Index of the rule.
    pub rule: usize,
    /// Hosts that it is for.
    pub hosts: Vec<String>,
    /// `mesh`, or names of gateways.
    pub gateways: Vec<String>,
    /// Conditions, any of which suffices; none means every request.
    #[serde(rename = "match")]
    pub matches: Vec<String>,
    /// Where to.
    pub destinations: Vec<Target>,
    /// What else becomes of a request: a redirect, or an answer.
    pub action: Option<String>,
    /// Seconds for the whole request.
    pub timeout: Option<f64>,
    /// Retries.
    pub retries: Option<Retries>,
    /// Faults.
    pub fault: Option<Fault>,
    /// Copies.
    pub mirror: Option<Mirror>,
}

/// A destination with its share.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Target {
    /// The service, if it is known.
    pub service: Option<String>,
    /// Host.
    pub host: String,
    /// Subset; empty for all.
    pub subset: String,
    /// Port of the service.
    pub port: Option<u16>,
    /// Weight.
    pub weight: u32,
    /// The workloads there.
    pub workloads: BTreeSet<String>,
}

/// Retries of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Tries besides the first.
    pub attempts: u32,
    /// Seconds for each.
    pub per_try_timeout: Option<f64>,
    /// On what.
    pub on: String,
}

/// Faults of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fault {
    /// Errors.
    pub abort: Option<Abort>,
    /// Delays.
    pub delay: Option<Delay>,
}

/// Injected errors.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Abort {
    /// HTTP status, or gRPC status.
    pub status: String,
    /// Share of the requests, in percent.
    pub percentage: f64,
}

/// Injected delays.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delay {
    /// Seconds.
    pub seconds: f64,
    /// Share of the requests, in percent.
    pub percentage: f64,
}

/// Copies of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Mirror {
    /// Where to.
    pub destination: Target,
    /// Share of the requests, in percent.
    pub percentage: f64,
}

/// A named part of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Subset {
    /// Name.
    pub name: String,
    /// Labels of its endpoints, as `key=value`.
    pub labels: Vec<String>,
    /// Its workloads.
    pub workloads: BTreeSet<String>,
}

/// One thing that applies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Applied {
    /// What: `Timeout`, `Retries`, …
    pub what: &'static str,
    /// As what.
    pub value: String,
    /// The field or the default that says so.
    pub why: String,
    /// The resource that says so; none for defaults.
    pub resource: Option<Reference>,
    /// The rule within it.
    pub rule: Option<usize>,
}

/// What makes requests: pods of one owner.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// `NAMESPACE/NAME`.
    pub id: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Canonical name.
    pub app: String,
    /// Canonical revision.
    pub version: String,
    /// Service account.
    pub service_account: String,
    /// Its identity.
    pub principal: String,
    /// The services that it is behind.
    pub services: BTreeSet<String>,
    /// What is special.
    pub badges: BTreeSet<Badge>,
    /// Its pods.
    #[serde(skip)]
    pub pods: Vec<Pod>,
    /// What of mutual TLS it asks of clients.
    #[serde(skip)]
    pub peering: Peering,
    /// What applies to what it gets and why.
    #[serde(skip)]
    pub configuration: Vec<Applied>,
    /// The policies for it.
    #[serde(skip)]
    pub policies: Vec<Reference>,
}

/// What of mutual TLS a workload asks of clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Peering {
    /// `STRICT`, `PERMISSIVE` or `DISABLE`.
    pub mode: &'static str,
    /// Who says so; none for the default.
    pub resource: Option<Reference>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// Address.
    pub ip: String,
    /// Node.
    pub node: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it has a proxy.
    pub injected: bool,
}
