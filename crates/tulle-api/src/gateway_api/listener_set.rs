//! `ListenerSet`: more listeners for a gateway.

use super::gateway::GatewayListener;
use crate::schema::record;

record! {
    /// More listeners for a gateway.
    pub struct ListenerSetSpec {
        /// The gateway.
        pub parent_ref: ParentGatewayReference = "parentRef",
        /// The listeners.
        pub listeners: Vec<GatewayListener> = "listeners" => keyed(&["name"]) => required,
    }
}

record! {
    /// The gateway that listeners are added to.
    pub struct ParentGatewayReference {
        /// API group; `gateway.networking.k8s.io` by default.
        pub group: Option<String> = "group",
        /// Kind; Gateway by default.
        pub kind: String = "kind",
        /// Name.
        pub name: String = "name" => required,
        /// Namespace; the set's by default.
        pub namespace: String = "namespace",
    }
}
