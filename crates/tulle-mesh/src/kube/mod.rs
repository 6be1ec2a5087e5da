//! Documents of the Gateway API, as written; what becomes of them in a mesh is in [`crate::snapshot`].
//!
//! A Gateway becomes one [`crate::gateway::Gateway`] per listener, a route becomes
//! [`RouteSet`](crate::routing::RouteSet)s: everything after that is the same as for Istio's kinds.

mod backend_tls;
mod gateway;
mod grant;
mod listener_set;
mod route;
mod state;

pub use backend_tls::BackendTls;
pub use gateway::{
    Address, AllowedNamespaces, ClientChecks, KubeGateway, Listener, ListenerProtocol, ListenerTls,
    ObjectName,
};
pub use grant::{Grant, Granted, Referrer};
pub use listener_set::{ListenerSet, ListenerSetState};
pub use route::{Backend, KubeRoute, Parent, Problem, RouteKind};
pub use state::{Finding, GatewayState, ListenerState, ParentState, PolicyState, Reach, RouteState};

use crate::meta::Meta;

/// Group of the Gateway API.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// The controller of this mesh.
pub const CONTROLLER: &str = "tulle.dev/gateway-controller";
/// Istio's controller, whose classes are served too.
pub const ISTIO_CONTROLLER: &str = "istio.io/gateway-controller";

/// A GatewayClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayClass {
    /// The document behind it.
    pub meta: Meta,
    /// Who makes its gateways.
    pub controller: String,
}

/// The controller that serves a class without a GatewayClass: `istio` and `tulle` are built in.
pub fn built_in_controller(class: &str) -> Option<&'static str> {
    match class {
        "istio" => Some(ISTIO_CONTROLLER),
        "tulle" => Some(CONTROLLER),
        _ => None,
    }
}

/// Whether this mesh serves gateways of `controller`.
pub fn is_ours(controller: &str) -> bool {
    matches!(controller, CONTROLLER | ISTIO_CONTROLLER)
}
