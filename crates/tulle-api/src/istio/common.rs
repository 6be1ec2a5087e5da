//! Parts that several Istio resources share.

use std::collections::BTreeMap;

use tulle_base::Labels;

use crate::schema::{oneof, record};

oneof! {
    /// How a text is compared (`networking.istio.io` StringMatch).
    pub enum StringMatch {
        /// The whole text.
        Exact(String) = "exact",
        /// The beginning of the text.
        Prefix(String) = "prefix",
        /// A regular expression (RE2 syntax) that must match the whole text.
        Regex(String) = "regex",
    }
    empty {
        /// Anything; for a header, that it is there.
        Any
    }
}

record! {
    /// Where traffic goes (`networking.istio.io` Destination).
    pub struct Destination {
        /// The service in the registry; a short name is completed with the namespace of the rule, not of the client.
        pub host: String = "host" => required,
        /// Subset of the host, defined in a DestinationRule; empty for all of it.
        pub subset: String = "subset",
        /// Port of the host; may be left out when the service has one port.
        pub port: Option<PortSelector> = "port",
    }
}

record! {
    /// A port by number.
    pub struct PortSelector {
        /// Port number, 1 to 65535.
        pub number: Option<u32> = "number",
    }
}

record! {
    /// Selects workloads by labels, all of which must be there (`type.istio.io` WorkloadSelector).
    pub struct WorkloadSelector {
        /// The labels; none select every workload.
        pub match_labels: Labels = "matchLabels",
    }
}

record! {
    /// Selects workloads by labels, all of which must be there (`networking.istio.io` WorkloadSelector).
    pub struct LabelSelector {
        /// The labels; none select every workload.
        pub labels: Labels = "labels",
    }
}

record! {
    /// A resource that a policy is attached to (`type.istio.io` PolicyTargetReference).
    pub struct PolicyTargetReference {
        /// API group, empty for the core group.
        pub group: String = "group",
        /// Kind, such as Gateway or Service.
        pub kind: String = "kind" => required,
        /// Name of the resource.
        pub name: String = "name" => required,
        /// Namespace; only the policy's own is allowed.
        pub namespace: String = "namespace",
    }
}

record! {
    /// A port of a gateway, sidecar or service entry (`networking.istio.io` Port).
    pub struct Port {
        /// Port number, 1 to 65535.
        pub number: Option<u32> = "number",
        /// Protocol: HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS.
        pub protocol: String = "protocol",
        /// Name of the port.
        pub name: String = "name",
        /// Never had an effect.
        pub target_port: Option<u32> = "targetPort" => no_effect("Istio has never read it on this kind"),
    }
}

record! {
    /// A share in percent.
    pub struct Percent {
        /// 0 to 100.
        pub value: Option<f64> = "value",
    }
}

record! {
    /// Changes to the headers of requests and responses.
    pub struct Headers {
        /// Changes to the request before it is forwarded.
        pub request: Option<HeaderOperations> = "request",
        /// Changes to the response before it is returned.
        pub response: Option<HeaderOperations> = "response",
    }
}

record! {
    /// Changes to one set of headers.
    pub struct HeaderOperations {
        /// Headers to overwrite.
        pub set: BTreeMap<String, String> = "set",
        /// Headers to append to.
        pub add: BTreeMap<String, String> = "add",
        /// Headers to remove.
        pub remove: Vec<String> = "remove",
    }
}
