//! `DestinationRule` (`networking.istio.io`): how clients treat a host, and its subsets.

use tulle_base::Labels;

use super::common::WorkloadSelector;
use super::traffic_policy::TrafficPolicy;
use crate::schema::record;

record! {
    /// How clients treat a host, and its subsets.
    pub struct DestinationRule {
        /// The service; a short name is completed with the rule's namespace, a leading `*` is a wildcard.
        pub host: String = "host" => required,
        /// Policy of the host.
        pub traffic_policy: Option<TrafficPolicy> = "trafficPolicy",
        /// Named parts of the host.
        pub subsets: Vec<Subset> = "subsets",
        /// Namespaces that see this: `*` (the default), `.` for its own, or names.
        pub export_to: Vec<String> = "exportTo",
        /// Clients that this is for, in the rule's namespace; all by default.
        pub workload_selector: Option<WorkloadSelector> = "workloadSelector",
    }
}

record! {
    /// A named part of a host.
    pub struct Subset {
        /// Name, for use in routes.
        pub name: String = "name" => required,
        /// Labels of its endpoints.
        pub labels: Labels = "labels",
        /// Policy; replaces the host's block by block.
        pub traffic_policy: Option<TrafficPolicy> = "trafficPolicy",
    }
}
