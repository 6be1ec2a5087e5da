//! `Node`, `Event` and `Endpoints` (core v1): what programs that list a cluster's objects ask for.

use serde_json::Value;

use super::endpoint_slice::ObjectReference;
use crate::schema::record;
use crate::value::Timestamp;

record! {
    /// A machine.
    pub struct Node {
        /// Addresses of its pods.
        pub pod_cidr: String = "podCIDR",
        /// Addresses of its pods, the first equal to `podCIDR`.
        pub pod_cidrs: Vec<String> = "podCIDRs",
        /// The provider's name for it.
        pub provider_id: String = "providerID",
        /// Whether it takes no new pods.
        pub unschedulable: Option<bool> = "unschedulable",
        /// What keeps pods away.
        pub taints: Vec<Value> = "taints",
        /// Where it reads its configuration, of old versions.
        pub config_source: Option<Value> = "configSource",
        /// The provider's name for it, of old versions.
        pub external_id: String = "externalID",
    }
}

record! {
    /// Something that happened to an object.
    pub struct Event {
        /// The object.
        pub involved_object: ObjectReference = "involvedObject",
        /// What happened, as a word.
        pub reason: String = "reason",
        /// What happened, for people.
        pub message: String = "message",
        /// Who says so.
        pub source: Option<EventSource> = "source",
        /// When it happened first.
        pub first_timestamp: Option<Timestamp> = "firstTimestamp",
        /// When it happened last.
        pub last_timestamp: Option<Timestamp> = "lastTimestamp",
        /// How often.
        pub count: Option<i32> = "count",
        /// Normal or Warning.
        pub event_type: String = "type",
        /// When it was seen.
        pub event_time: Option<Value> = "eventTime",
        /// Repetitions.
        pub series: Option<Value> = "series",
        /// What was done.
        pub action: String = "action",
        /// Another object that it is about.
        pub related: Option<ObjectReference> = "related",
        /// Who says so.
        pub reporting_component: String = "reportingComponent",
        /// Which instance of it says so.
        pub reporting_instance: String = "reportingInstance",
    }
}

record! {
    /// Who says that something happened.
    pub struct EventSource {
        /// The component.
        pub component: String = "component",
        /// Its node.
        pub host: String = "host",
    }
}

record! {
    /// Endpoints of a service in their old form.
    pub struct Endpoints {
        /// Addresses with equal ports.
        pub subsets: Vec<EndpointSubset> = "subsets",
    }
}

record! {
    /// Addresses with equal ports.
    pub struct EndpointSubset {
        /// Those that are ready.
        pub addresses: Vec<EndpointAddress> = "addresses",
        /// Those that are not.
        pub not_ready_addresses: Vec<EndpointAddress> = "notReadyAddresses",
        /// Their ports.
        pub ports: Vec<super::endpoint_slice::EndpointPort> = "ports",
    }
}

record! {
    /// One address.
    pub struct EndpointAddress {
        /// The address.
        pub ip: String = "ip" => required,
        /// Its host name.
        pub hostname: String = "hostname",
        /// Its node.
        pub node_name: String = "nodeName",
        /// The pod behind it.
        pub target_ref: Option<ObjectReference> = "targetRef",
    }
}
