//! `EnvoyFilter` (`networking.istio.io`): patches of what proxies are told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::common::{LabelSelector, PolicyTargetReference};
use crate::schema::{enumeration, oneof, record};

record! {
    /// Patches of what proxies are told.
    pub struct EnvoyFilter {
        /// Workloads; the whole namespace by default, the whole mesh in the root namespace.
        pub workload_selector: Option<LabelSelector> = "workloadSelector",
        /// Gateways, waypoints or services that this is for; excludes `workloadSelector`.
        pub target_refs: Vec<PolicyTargetReference> = "targetRefs",
        /// The patches, applied in order.
        pub config_patches: Vec<EnvoyConfigObjectPatch> = "configPatches",
        /// Order among filters, the lowest first; 0 by default.
        pub priority: Option<i32> = "priority",
    }
}

record! {
    /// One patch.
    pub struct EnvoyConfigObjectPatch {
        /// What is patched.
        pub apply_to: Option<EnvoyApplyTo> = "applyTo",
        /// Which of them; all by default.
        pub matches: Option<EnvoyConfigObjectMatch> = "match",
        /// The change.
        pub patch: Option<EnvoyPatch> = "patch",
    }
}

enumeration! {
    /// What an EnvoyFilter patches.
    pub enum EnvoyApplyTo {
        /// Nothing.
        Invalid = "INVALID",
        /// Listeners.
        Listener = "LISTENER",
        /// Filter chains of listeners.
        FilterChain = "FILTER_CHAIN",
        /// Network filters of filter chains.
        NetworkFilter = "NETWORK_FILTER",
        /// HTTP filters of HTTP connection managers.
        HttpFilter = "HTTP_FILTER",
        /// Route configurations.
        RouteConfiguration = "ROUTE_CONFIGURATION",
        /// Virtual hosts of route configurations.
        VirtualHost = "VIRTUAL_HOST",
        /// Routes of virtual hosts.
        HttpRoute = "HTTP_ROUTE",
        /// Clusters.
        Cluster = "CLUSTER",
        /// Extension configurations.
        ExtensionConfig = "EXTENSION_CONFIG",
        /// The bootstrap.
        Bootstrap = "BOOTSTRAP",
        /// Listener filters.
        ListenerFilter = "LISTENER_FILTER",
    }
}

record! {
    /// Which objects a patch is for; all that is given must hold.
    pub struct EnvoyConfigObjectMatch {
        /// Where in the mesh; anywhere by default.
        pub context: Option<EnvoyPatchContext> = "context",
        /// Which proxies.
        pub proxy: Option<EnvoyProxyMatch> = "proxy",
    }
    oneof {
        /// Which objects.
        pub object_types: EnvoyObjectTypes,
    }
}

enumeration! {
    /// Where in the mesh a patch applies.
    pub enum EnvoyPatchContext {
        /// Anywhere.
        Any = "ANY",
        /// What comes into a sidecar.
        SidecarInbound = "SIDECAR_INBOUND",
        /// What leaves a sidecar.
        SidecarOutbound = "SIDECAR_OUTBOUND",
        /// Gateways.
        Gateway = "GATEWAY",
        /// Waypoints.
        Waypoint = "WAYPOINT",
    }
}

record! {
    /// Which proxies a patch is for.
    pub struct EnvoyProxyMatch {
        /// A regular expression (RE2) for the version that the proxy names.
        pub proxy_version: String = "proxyVersion",
        /// Metadata that the proxy must have.
        pub metadata: BTreeMap<String, String> = "metadata",
    }
}

oneof! {
    /// Which objects a patch is for.
    pub enum EnvoyObjectTypes {
        /// Listeners and what is in them.
        Listener(EnvoyListenerMatch) = "listener",
        /// Route configurations and what is in them.
        RouteConfiguration(EnvoyRouteConfigurationMatch) = "routeConfiguration",
        /// Clusters.
        Cluster(EnvoyClusterMatch) = "cluster",
        /// What waypoints have.
        Waypoint(EnvoyWaypointMatch) = "waypoint",
    }
}

record! {
    /// Which listeners a patch is for.
    pub struct EnvoyListenerMatch {
        /// Port of the service.
        pub port_number: Option<u32> = "portNumber",
        /// Name of the port.
        pub port_name: String = "portName" => no_effect("Istio has never built it"),
        /// Filter chain in the listener.
        pub filter_chain: Option<EnvoyFilterChainMatch> = "filterChain",
        /// Name of a listener filter.
        pub listener_filter: String = "listenerFilter",
        /// Name of the listener.
        pub name: String = "name",
    }
}

record! {
    /// Which filter chains a patch is for.
    pub struct EnvoyFilterChainMatch {
        /// Name of the chain.
        pub name: String = "name",
        /// Server name of the chain.
        pub sni: String = "sni",
        /// `raw_buffer` or `tls`.
        pub transport_protocol: String = "transportProtocol",
        /// Application protocols, separated by commas.
        pub application_protocols: String = "applicationProtocols",
        /// A network filter in the chain.
        pub filter: Option<EnvoyFilterMatch> = "filter",
        /// Destination port of the chain.
        pub destination_port: Option<u32> = "destinationPort",
    }
}

record! {
    /// A network filter.
    pub struct EnvoyFilterMatch {
        /// Its name.
        pub name: String = "name",
        /// An HTTP filter in it.
        pub sub_filter: Option<EnvoySubFilterMatch> = "subFilter",
    }
}

record! {
    /// An HTTP filter.
    pub struct EnvoySubFilterMatch {
        /// Its name.
        pub name: String = "name",
    }
}

record! {
    /// Which route configurations a patch is for.
    pub struct EnvoyRouteConfigurationMatch {
        /// Port of the service or gateway.
        pub port_number: Option<u32> = "portNumber",
        /// Name of the gateway server's port.
        pub port_name: String = "portName",
        /// Gateway as `namespace/name`.
        pub gateway: String = "gateway",
        /// Virtual host in it.
        pub vhost: Option<EnvoyVirtualHostMatch> = "vhost",
        /// Name of the route configuration.
        pub name: String = "name",
    }
}

record! {
    /// Which virtual hosts a patch is for.
    pub struct EnvoyVirtualHostMatch {
        /// Its name, `HOST:PORT`.
        pub name: String = "name",
        /// One of its domains.
        pub domain_name: String = "domainName",
        /// A route in it.
        pub route: Option<EnvoyRouteMatch> = "route",
    }
}

record! {
    /// Which routes a patch is for.
    pub struct EnvoyRouteMatch {
        /// Name of the route.
        pub name: String = "name",
        /// What the route does.
        pub action: Option<EnvoyRouteAction> = "action",
    }
}

enumeration! {
    /// What a route does.
    pub enum EnvoyRouteAction {
        /// Anything.
        Any = "ANY",
        /// Forwards.
        Route = "ROUTE",
        /// Redirects.
        Redirect = "REDIRECT",
        /// Answers by itself.
        DirectResponse = "DIRECT_RESPONSE",
    }
}

record! {
    /// Which clusters a patch is for.
    pub struct EnvoyClusterMatch {
        /// Port of the service; the service's for inbound clusters.
        pub port_number: Option<u32> = "portNumber",
        /// Fully qualified host; not for inbound clusters.
        pub service: String = "service",
        /// Subset of the host.
        pub subset: String = "subset",
        /// Name of the cluster.
        pub name: String = "name",
    }
}

record! {
    /// What in a waypoint a patch is for.
    pub struct EnvoyWaypointMatch {
        /// Port of the service, 1 to 65535.
        pub port_number: Option<u32> = "portNumber",
        /// A route.
        pub route: Option<EnvoyWaypointRouteMatch> = "route",
        /// A filter.
        pub filter: Option<EnvoyFilterMatch> = "filter",
    }
}

record! {
    /// Which routes of a waypoint a patch is for.
    pub struct EnvoyWaypointRouteMatch {
        /// Name of the route.
        pub name: String = "name",
    }
}

record! {
    /// A change.
    pub struct EnvoyPatch {
        /// What is done with the value.
        pub operation: Option<EnvoyPatchOperation> = "operation",
        /// The value: what Envoy's message has as JSON.
        pub value: Option<Value> = "value",
        /// Where a filter that is added belongs.
        pub filter_class: Option<EnvoyFilterClass> = "filterClass",
    }
}

enumeration! {
    /// What a patch does.
    pub enum EnvoyPatchOperation {
        /// Nothing.
        Invalid = "INVALID",
        /// Merges the value into the object.
        Merge = "MERGE",
        /// Adds the value to the list.
        Add = "ADD",
        /// Removes the object.
        Remove = "REMOVE",
        /// Inserts the value before the object.
        InsertBefore = "INSERT_BEFORE",
        /// Inserts the value after the object.
        InsertAfter = "INSERT_AFTER",
        /// Inserts the value at the beginning of the list.
        InsertFirst = "INSERT_FIRST",
        /// Puts the value in place of the object.
        Replace = "REPLACE",
        /// Merges the value into the object, but replaces lists as a whole.
        MergeAndReplaceList = "MERGE_AND_REPLACE_LIST",
    }
}

enumeration! {
    /// Where a filter that is added belongs.
    pub enum EnvoyFilterClass {
        /// Where the control plane puts it.
        Unspecified = "UNSPECIFIED",
        /// After authentication filters.
        Authn = "AUTHN",
        /// After authorization filters.
        Authz = "AUTHZ",
        /// Before statistics filters.
        Stats = "STATS",
    }
}
