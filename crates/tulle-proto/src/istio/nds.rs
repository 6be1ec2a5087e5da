//! `istio.networking.nds.v1`: the mesh's host names, for the proxy's DNS.

use std::collections::HashMap;

/// Host names and their addresses. One resource for the whole mesh, or one per host name with delta xDS.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NameTable {
    /// Host name (fully qualified, without trailing dot) to what it resolves to.
    #[prost(map = "string, message", tag = "1")]
    pub table: HashMap<String, NameInfo>,
    /// What the host name that names this resource resolves to (delta xDS only).
    #[prost(message, optional, tag = "2")]
    pub name_info: Option<NameInfo>,
}
super::named!(NameTable, "istio.networking.nds.v1", "NameTable");

/// What a host name resolves to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NameInfo {
    /// Addresses, IPv4 and IPv6 mixed.
    #[prost(string, repeated, tag = "1")]
    pub ips: Vec<String>,
    /// The registry that knows the service, such as `Kubernetes` or `External`.
    #[prost(string, tag = "2")]
    pub registry: String,
    /// The service's name, if the registry is `Kubernetes`.
    #[prost(string, tag = "3")]
    pub shortname: String,
    /// The service's namespace, if the registry is `Kubernetes`.
    #[prost(string, tag = "4")]
    pub namespace: String,
    /// Other names of the host; deprecated by Istio, kept for older control planes.
    #[prost(string, repeated, tag = "5")]
    pub alt_hosts: Vec<String>,
}
super::named!(NameInfo, "istio.networking.nds.v1", "NameTable.NameInfo");
