//! `Service` (core v1).

use serde_json::Value;
use tulle_base::Labels;

use crate::schema::{enumeration, record};
use crate::value::IntOrString;

record! {
    /// A name and address for a set of pods.
    pub struct Service {
        /// Labels of the pods; none leave the endpoints to somebody else.
        pub selector: Labels = "selector" => atomic,
        /// Ports.
        pub ports: Vec<ServicePort> = "ports" => keyed(&["port", "protocol"]),
        /// How it is reachable; ClusterIP by default.
        pub service_type: Option<ServiceType> = "type",
        /// Its address; assigned when empty, `None` for a headless service.
        pub cluster_ip: String = "clusterIP",
        /// Its addresses, the first equal to `clusterIP`.
        pub cluster_ips: Vec<String> = "clusterIPs",
        /// Name that an ExternalName service stands for.
        pub external_name: String = "externalName",
        /// Whether endpoints that are not ready are published too.
        pub publish_not_ready_addresses: Option<bool> = "publishNotReadyAddresses",
        /// Preference for endpoints that are near: PreferClose, PreferSameZone or PreferSameNode.
        pub traffic_distribution: String = "trafficDistribution",
        /// Local endpoints only, for traffic from inside.
        pub internal_traffic_policy: String = "internalTrafficPolicy",
        /// Local endpoints only, for traffic from outside.
        pub external_traffic_policy: String = "externalTrafficPolicy" => no_effect("there is one machine"),
        /// Session affinity.
        pub session_affinity: String = "sessionAffinity" => no_effect("use consistentHash in a DestinationRule"),
        /// Details of the session affinity.
        pub session_affinity_config: Option<Value> = "sessionAffinityConfig"
            => no_effect("use consistentHash in a DestinationRule"),
        /// More addresses.
        pub external_ips: Vec<String> = "externalIPs" => no_effect("only the gateway is reachable from outside"),
        /// Address of the load balancer.
        pub load_balancer_ip: String = "loadBalancerIP" => no_effect("there is no load balancer on one machine"),
        /// Class of the load balancer.
        pub load_balancer_class: String = "loadBalancerClass" => no_effect("there is no load balancer on one machine"),
        /// Clients of the load balancer.
        pub load_balancer_source_ranges: Vec<String> = "loadBalancerSourceRanges"
            => no_effect("there is no load balancer on one machine"),
        /// Node ports of the load balancer.
        pub allocate_load_balancer_node_ports: Option<bool> = "allocateLoadBalancerNodePorts"
            => no_effect("there is no load balancer on one machine"),
        /// Port for the load balancer's health checks.
        pub health_check_node_port: Option<i32> = "healthCheckNodePort"
            => no_effect("there is no load balancer on one machine"),
        /// Families of its addresses, in their order; the mesh's first by default. The first one stays.
        pub ip_families: Vec<IpFamily> = "ipFamilies",
        /// Whether it has addresses of both families; SingleStack by default.
        pub ip_family_policy: Option<IpFamilyPolicy> = "ipFamilyPolicy",
    }
}

enumeration! {
    /// Address families.
    pub enum IpFamily {
        /// IPv4.
        Ipv4 = "IPv4",
        /// IPv6.
        Ipv6 = "IPv6",
    }
}

enumeration! {
    /// How many address families a service has.
    pub enum IpFamilyPolicy {
        /// One.
        SingleStack = "SingleStack",
        /// Both, or one where there is only one.
        PreferDualStack = "PreferDualStack",
        /// Both.
        RequireDualStack = "RequireDualStack",
    }
}

enumeration! {
    /// How a service is reachable.
    pub enum ServiceType {
        /// At an address inside.
        ClusterIp = "ClusterIP",
        /// Also at a port of each node; here as ClusterIP.
        NodePort = "NodePort",
        /// Also through a load balancer; here as ClusterIP.
        LoadBalancer = "LoadBalancer",
        /// Under another name.
        ExternalName = "ExternalName",
    }
}

record! {
    /// A port of a service.
    pub struct ServicePort {
        /// Name; required when there are several. Istio reads the protocol from its first part (`http-web`).
        pub name: String = "name",
        /// Port number, 1 to 65535.
        pub port: i32 = "port",
        /// Port of the pods, by number or name; the same number by default.
        pub target_port: Option<IntOrString> = "targetPort",
        /// TCP (default), UDP or SCTP.
        pub protocol: Option<TransportProtocol> = "protocol" => or_text("TCP"),
        /// Protocol of the application, such as `http`, `grpc` or `tcp`.
        pub app_protocol: String = "appProtocol",
        /// Port of each node.
        pub node_port: Option<i32> = "nodePort" => no_effect("only the gateway is reachable from outside"),
    }
}

enumeration! {
    /// Transport protocols.
    pub enum TransportProtocol {
        /// TCP.
        Tcp = "TCP",
        /// UDP.
        Udp = "UDP",
        /// SCTP.
        Sctp = "SCTP",
    }
}
