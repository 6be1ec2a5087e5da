//! Routes of the Gateway API, each by itself: its rules in the form of the routing model, what they are for and what they
//! refer to.

use tulle_base::Host;

use super::ObjectName;
use crate::meta::Meta;
use crate::routing::{HttpRoute, L4Route};

/// A route, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeRoute {
    /// The document behind it.
    pub meta: Meta,
    /// Its kind.
    pub kind: RouteKind,
    /// What it is attached to.
    pub parents: Vec<Parent>,
    /// Hosts; empty is every one.
    pub hostnames: Vec<Host>,
    /// HTTP rules with one match each, in the order written.
    pub http: Vec<HttpRoute>,
    /// Rules for connections.
    pub l4: Vec<L4Route>,
    /// Everything that the rules refer to.
    pub backends: Vec<Backend>,
    /// What cannot be served, found when it was read.
    pub problems: Vec<Problem>,
}

/// Kinds of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKind {
    /// HTTPRoute.
    Http,
    /// GRPCRoute.
    Grpc,
    /// TLSRoute.
    Tls,
    /// TCPRoute.
    Tcp,
    /// UDPRoute, which nothing takes.
    Udp,
}

/// What a route is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The object: a Gateway, or a Service or ServiceEntry of the mesh.
    pub object: ObjectName,
    /// Listener by name.
    pub section: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// As it is written, for the status.
    pub written: serde_json::Value,
}

/// A destination of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The field that names it.
    pub path: String,
    /// What is named.
    pub object: ObjectName,
    /// The host that it stands for; `None` for kinds that are not served.
    pub host: Option<Host>,
    /// Port.
    pub port: Option<u16>,
}

/// Something in a route that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field.
    pub path: String,
    /// Reason as in conditions.
    pub reason: &'static str,
    /// Whether it is about something that is referred to; otherwise about the route itself.
    pub reference: bool,
    /// What is wrong.
    pub message: String,
}

impl RouteKind {
    /// The kind as documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tls => "TLSRoute",
            Self::Tcp => "TCPRoute",
            Self::Udp => "UDPRoute",
        }
    }
}
