//! EnvoyFilter: patches of what proxies are told.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use tulle_base::{Labels, Selector};
use tulle_proto::Overlay;

use crate::meta::Meta;

/// The label of gateway pods that were made for a Gateway of the Gateway API: its name.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// An EnvoyFilter.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvoyFilter {
    /// The document behind it.
    pub meta: Meta,
    /// Which proxies it is for, of its namespace (of every namespace, from the root).
    pub target: PatchTarget,
    /// Order among filters, the lowest first.
    pub priority: i32,
    /// Its patches, without those that are refused.
    pub patches: Vec<Patch>,
}

/// Which proxies an EnvoyFilter is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchTarget {
    /// Those with these labels.
    Selector(Selector),
    /// Those of the Gateways (Gateway API) of these names, in its namespace.
    Gateways(Vec<String>),
}

/// One patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Its place among `configPatches`.
    pub index: usize,
    /// What is patched.
    pub apply_to: ApplyTo,
    /// Where in the mesh.
    pub context: PatchContext,
    /// Which proxies.
    pub proxy: ProxyMatch,
    /// Which objects.
    pub object: ObjectMatch,
    /// What is done.
    pub operation: Operation,
    /// With what; nothing for [`Operation::Remove`].
    pub value: Option<Arc<PatchValue>>,
}

/// What a patch brings, as the message that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchValue {
    /// The message: an `envoy.config.listener.v3.Listener` and so on, by [`ApplyTo`].
    pub message: Overlay,
    /// The extension inside of it (a filter's or a transport socket's configuration) with its type URL.
    pub typed_config: Option<(String, Overlay)>,
}

/// What is patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApplyTo {
    /// Listeners.
    Listener,
    /// Filter chains of listeners.
    FilterChain,
    /// Network filters of filter chains.
    NetworkFilter,
    /// HTTP filters of HTTP connection managers.
    HttpFilter,
    /// Listener filters.
    ListenerFilter,
    /// Route configurations.
    RouteConfiguration,
    /// Virtual hosts of route configurations.
    VirtualHost,
    /// Routes of virtual hosts.
    HttpRoute,
    /// Clusters.
    Cluster,
    /// Configurations that filters ask for by name.
    ExtensionConfig,
}

/// Where in the mesh a patch applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchContext {
    /// Anywhere.
    Any,
    /// What comes into a sidecar.
    SidecarInbound,
    /// What leaves a sidecar.
    SidecarOutbound,
    /// Gateways.
    Gateway,
}

impl PatchContext {
    /// Whether a patch of this context is for `place`, which is not [`PatchContext::Any`].
    pub fn covers(self, place: Self) -> bool {
        self == Self::Any || self == place
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The value is merged into the object; whether lists are replaced.
    Merge {
        /// Lists of the value stand in place of the object's.
        replace_lists: bool,
    },
    /// The value is added to the list; where, for filters.
    Add(FilterClass),
    /// The object is removed.
    Remove,
    /// The value is put before the object.
    InsertBefore,
    /// The value is put after the object.
    InsertAfter,
    /// The value is put first.
    InsertFirst,
    /// The value is put in place of the object.
    Replace,
}

/// Where a filter that is added belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterClass {
    /// At the end.
    Unspecified,
    /// After filters of authentication.
    Authn,
    /// After filters of authorization.
    Authz,
    /// Before filters of statistics.
    Stats,
}

/// Which proxies a patch is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyMatch {
    /// Expression for the version that they name.
    pub version: Option<Version>,
    /// Metadata that they must have.
    pub metadata: BTreeMap<String, String>,
}

/// An expression for versions; it may match anywhere in the text.
#[derive(Clone, Debug)]
pub struct Version(pub Regex);

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl ProxyMatch {
    /// Whether every proxy is meant.
    pub fn is_any(&self) -> bool {
        self.version.is_none() && self.metadata.is_empty()
    }

    /// Whether a proxy with this metadata of its node is meant. One that names no version has none that could match.
    pub fn matches(&self, metadata: &BTreeMap<String, String>) -> bool {
        let version = || metadata.get("ISTIO_VERSION").filter(|v| !v.is_empty());
        self.version.as_ref().is_none_or(|wanted| version().is_some_and(|v| wanted.0.is_match(v)))
            && self.metadata.iter().all(|(k, v)| metadata.get(k) == Some(v))
    }
}

/// Which objects a patch is for; what is empty or `None` is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectMatch {
    /// All of them.
    Any,
    /// Listeners, and what is in them.
    Listener(ListenerMatch),
    /// Route configurations, and what is in them.
    Routes(RoutesMatch),
    /// Clusters.
    Cluster(ClusterMatch),
}

/// Which listeners a patch is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerMatch {
    /// Port: of the listener, or of the chain in `virtualInbound`.
    pub port: Option<u32>,
    /// Name.
    pub name: String,
    /// Filter chain.
    pub chain: Option<ChainMatch>,
    /// Name of a listener filter.
    pub listener_filter: String,
}

/// Which filter chains a patch is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainMatch {
    /// Name.
    pub name: String,
    /// One of its server names.
    pub sni: String,
    /// Its transport protocol.
    pub transport_protocol: String,
    /// All among its application protocols.
    pub application_protocols: Vec<String>,
    /// Its destination port.
    pub destination_port: Option<u32>,
    /// A network filter.
    pub filter: Option<String>,
    /// An HTTP filter in it.
    pub sub_filter: Option<String>,
}

/// Which route configurations a patch is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutesMatch {
    /// Port of the service, or of the gateway.
    pub port: Option<u32>,
    /// Name of the gateway server's port.
    pub port_name: String,
    /// Gateway as `NAMESPACE/NAME`.
    pub gateway: String,
    /// Name.
    pub name: String,
    /// Virtual host.
    pub host: Option<VirtualHostMatch>,
}

/// Which virtual hosts a patch is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualHostMatch {
    /// Name.
    pub name: String,
    /// One of its domains.
    pub domain: String,
    /// Route.
    pub route: Option<RouteMatch>,
}

/// Which routes a patch is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMatch {
    /// Name.
    pub name: String,
    /// What it does; `None` is anything.
    pub action: Option<RouteAction>,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// Forwards.
    Route,
    /// Redirects.
    Redirect,
    /// Answers by itself.
    DirectResponse,
}

/// Which clusters a patch is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMatch {
    /// Port of the service; of the workload for inbound clusters.
    pub port: Option<u32>,
    /// Host; for inbound clusters that of a service of the workload.
    pub service: String,
    /// Subset.
    pub subset: String,
    /// Name; when given, nothing else counts.
    pub name: String,
}

impl EnvoyFilter {
    /// Whether it is for some proxies of its namespace only.
    pub fn is_selective(&self) -> bool {
        let all = matches!(&self.target, PatchTarget::Selector(s) if s.is_empty());
        !all || self.patches.iter().any(|p| !p.proxy.is_any())
    }

    /// Whether it is for a proxy of `namespace` with `labels`, as far as the namespace is right.
    pub fn selects(&self, namespace: &str, labels: &Labels) -> bool {
        match &self.target {
            PatchTarget::Selector(selector) => selector.matches(labels),
            PatchTarget::Gateways(names) => {
                let own = labels.get(GATEWAY_NAME);
                namespace == self.meta.namespace() && own.is_some_and(|own| names.contains(own))
            }
        }
    }
}

/// The order in which filters are applied: by priority, then those of the root namespace, then the oldest, then by name.
pub fn in_order(root_namespace: &str, a: &EnvoyFilter, b: &EnvoyFilter) -> Ordering {
    let elsewhere = |f: &EnvoyFilter| f.meta.namespace() != root_namespace;
    let name = |f: &EnvoyFilter| format!("{}.{}", f.meta.name(), f.meta.namespace());
    a.priority
        .cmp(&b.priority)
        .then_with(|| elsewhere(a).cmp(&elsewhere(b)))
        .then_with(|| a.meta.created.cmp(&b.meta.created))
        .then_with(|| name(a).cmp(&name(b)))
}

/// What of a namespace's proxies changed EnvoyFilters may patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patched {
    /// Listeners, and the routes that are inside of them.
    pub listeners: bool,
    /// Route configurations.
    pub routes: bool,
    /// Clusters.
    pub clusters: bool,
}

impl Patched {
    /// What the patches of `filter` may concern.
    pub fn of(filter: &EnvoyFilter) -> Self {
        let mut out = Self::default();
        for patch in &filter.patches {
            match patch.apply_to {
                ApplyTo::Cluster => out.clusters = true,
                ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute => {
                    // Inbound routes are inside of the listener.
                    out.listeners |= patch.context.covers(PatchContext::SidecarInbound);
                    out.routes |= patch.context != PatchContext::SidecarInbound;
                }
                ApplyTo::Listener
                | ApplyTo::FilterChain
                | ApplyTo::NetworkFilter
                | ApplyTo::HttpFilter
                | ApplyTo::ListenerFilter
                | ApplyTo::ExtensionConfig => out.listeners = true,
            }
        }
        out
    }

    /// Takes in what `other` says as well.
    pub fn merge(&mut self, other: Self) {
        let Self { listeners, routes, clusters } = other;
        self.listeners |= listeners;
        self.routes |= routes;
        self.clusters |= clusters;
    }
}
