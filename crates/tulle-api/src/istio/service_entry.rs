//! `ServiceEntry` and `WorkloadEntry` (`networking.istio.io`): services and endpoints that Kubernetes does not know.

use std::collections::BTreeMap;

use tulle_base::Labels;

use super::common::LabelSelector;
use crate::schema::{enumeration, record};

record! {
    /// A service that is not in the registry.
    pub struct ServiceEntry {
        /// Host names, with leading wildcard; not a bare `*`.
        pub hosts: Vec<String> = "hosts" => required,
        /// Virtual addresses, IP or CIDR.
        pub addresses: Vec<String> = "addresses",
        /// Ports.
        pub ports: Vec<ServiceEntryPort> = "ports",
        /// Whether it is outside (the default) or inside of the mesh.
        pub location: Option<ServiceEntryLocation> = "location",
        /// How its endpoints are found; NONE by default.
        pub resolution: Option<ServiceEntryResolution> = "resolution",
        /// Endpoints; excludes `workloadSelector`.
        pub endpoints: Vec<WorkloadEntry> = "endpoints",
        /// Pods and WorkloadEntries that are its endpoints; for MESH_INTERNAL.
        pub workload_selector: Option<LabelSelector> = "workloadSelector",
        /// Namespaces that see this: `*` (the default), `.` for its own, or names.
        pub export_to: Vec<String> = "exportTo",
        /// Names that the endpoints' certificates may carry.
        pub subject_alt_names: Vec<String> = "subjectAltNames",
    }
}

record! {
    /// A port of a service entry.
    pub struct ServiceEntryPort {
        /// Port number, 1 to 65535.
        pub number: u32 = "number",
        /// Protocol: HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS; TCP by default.
        pub protocol: String = "protocol",
        /// Name.
        pub name: String = "name" => required,
        /// Port of the endpoints; the same number by default.
        pub target_port: Option<u32> = "targetPort",
    }
}

enumeration! {
    /// Where a service runs.
    pub enum ServiceEntryLocation {
        /// Outside: no mutual TLS by default.
        MeshExternal = "MESH_EXTERNAL",
        /// Inside.
        MeshInternal = "MESH_INTERNAL",
    }
}

enumeration! {
    /// How endpoints are found.
    pub enum ServiceEntryResolution {
        /// The address that the client asked for.
        None = "NONE",
        /// The endpoints given.
        Static = "STATIC",
        /// DNS, all addresses.
        Dns = "DNS",
        /// DNS, one address at a time.
        DnsRoundRobin = "DNS_ROUND_ROBIN",
        /// DNS of the host asked for.
        DynamicDns = "DYNAMIC_DNS",
    }
}

record! {
    /// One endpoint.
    pub struct WorkloadEntry {
        /// IP address, DNS name or `unix://` path; may be empty when `network` is set.
        pub address: String = "address",
        /// Ports by name; wins over the service's target port.
        pub ports: BTreeMap<String, u32> = "ports",
        /// Labels.
        pub labels: Labels = "labels",
        /// Network; endpoints of one network reach each other.
        pub network: String = "network",
        /// Locality as `region/zone/subzone`.
        pub locality: String = "locality",
        /// Share of the traffic.
        pub weight: Option<u32> = "weight",
        /// Service account, for the expected identity.
        pub service_account: String = "serviceAccount",
    }
}
