//! `EndpointSlice` (`discovery.k8s.io/v1`): the endpoints of a service, which it names by the label
//! `kubernetes.io/service-name`.

use serde_json::Value;
use tulle_base::Labels;

use super::service::TransportProtocol;
use crate::schema::{enumeration, record};

record! {
    /// Endpoints of a service.
    pub struct EndpointSlice {
        /// Kind of the addresses.
        pub address_type: Option<AddressType> = "addressType" => required,
        /// The endpoints.
        pub endpoints: Vec<Endpoint> = "endpoints",
        /// Their ports.
        pub ports: Vec<EndpointPort> = "ports",
    }
}

enumeration! {
    /// Kinds of addresses.
    pub enum AddressType {
        /// IPv4.
        Ipv4 = "IPv4",
        /// IPv6.
        Ipv6 = "IPv6",
        /// Names.
        Fqdn = "FQDN",
    }
}

record! {
    /// One endpoint.
    pub struct Endpoint {
        /// Its addresses; the first counts.
        pub addresses: Vec<String> = "addresses" => required,
        /// Its state.
        pub conditions: Option<EndpointConditions> = "conditions",
        /// Its host name, for headless services.
        pub hostname: String = "hostname",
        /// The pod behind it.
        pub target_ref: Option<ObjectReference> = "targetRef" => atomic,
        /// Its node.
        pub node_name: String = "nodeName",
        /// Its zone.
        pub zone: String = "zone",
        /// Hints for consumers.
        pub hints: Option<Value> = "hints",
        /// Topology labels of old API versions.
        pub deprecated_topology: Labels = "deprecatedTopology",
    }
}

record! {
    /// The state of an endpoint.
    pub struct EndpointConditions {
        /// Whether it takes traffic; unset means yes.
        pub ready: Option<bool> = "ready",
        /// Whether it would take traffic if it were not terminating.
        pub serving: Option<bool> = "serving",
        /// Whether it is going away.
        pub terminating: Option<bool> = "terminating",
    }
}

record! {
    /// A reference to an object.
    pub struct ObjectReference {
        /// API version.
        pub api_version: String = "apiVersion",
        /// Kind.
        pub kind: String = "kind",
        /// Namespace.
        pub namespace: String = "namespace",
        /// Name.
        pub name: String = "name",
        /// Unique id.
        pub uid: String = "uid",
        /// Version of the object.
        pub resource_version: String = "resourceVersion",
        /// Part of the object.
        pub field_path: String = "fieldPath",
    }
}

record! {
    /// A port of endpoints.
    pub struct EndpointPort {
        /// Name of the service's port.
        pub name: String = "name",
        /// Port number.
        pub port: Option<i32> = "port",
        /// Transport protocol; TCP by default.
        pub protocol: Option<TransportProtocol> = "protocol",
        /// Protocol of the application.
        pub app_protocol: String = "appProtocol",
    }
}
