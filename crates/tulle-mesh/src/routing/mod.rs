//! The one routing model: what VirtualServices say, and what routes of the Gateway API say.

mod action;
pub mod delegate;
mod matching;
pub mod precedence;

use tulle_base::{Host, Labels};

use crate::meta::{Meta, NsName};
use crate::visibility::ExportTo;

pub use action::{
    AuthProtocol, Body, Cors, Delay, Destination, DirectResponse, ExternalAuth, Fault, FaultAbort,
    FaultStatus, Forward, HeaderOps, HttpAction, Mirror, Redirect, RedirectPort, RegexRewrite, Retry,
    Rewrite, Session, WeightedDestination,
};
pub use matching::{HttpMatch, L4Match, StringMatch};

/// The routes for some hosts, from one document.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSet {
    /// The document behind it.
    pub meta: Meta,
    /// Hosts, fully qualified, in the order written. Empty for a delegate.
    pub hosts: Vec<Host>,
    /// Where it applies: the mesh's sidecars, or gateways.
    pub gateways: Vec<GatewayRef>,
    /// Who may see it.
    pub export_to: ExportTo,
    /// Whether the document says nothing about that.
    pub exports_by_default: bool,
    /// HTTP routes, first match wins.
    pub http: Vec<HttpRoute>,
    /// Routes of TLS that passes through, by SNI.
    pub tls: Vec<L4Route>,
    /// Routes of opaque TCP.
    pub tcp: Vec<L4Route>,
    /// Whose rules of order and failure hold.
    pub semantics: Semantics,
}

/// Ways to read the same routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Semantics {
    /// VirtualService: the first rule that matches wins, documents are put one after the other, destinations that do not exist
    /// answer 503.
    #[default]
    Istio,
    /// Gateway API: the most specific match of all documents wins, destinations that do not exist answer 500.
    GatewayApi,
    /// Ingress: the most specific match of all documents wins, destinations that do not exist answer 503.
    Ingress,
}

/// Where routes apply.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GatewayRef {
    /// The sidecars of the mesh (`mesh`).
    Mesh,
    /// A Gateway.
    Named(NsName),
}

/// One HTTP rule.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRoute {
    /// Name as written; empty if none.
    pub name: String,
    /// The rule within the document, such as `http[2]`.
    pub rule: String,
    /// Any of these; empty matches everything.
    pub matches: Vec<HttpMatch>,
    /// What is done.
    pub action: HttpAction,
    /// Faults injected.
    pub fault: Option<Fault>,
    /// Cross-origin policy.
    pub cors: Option<Cors>,
    /// Header changes for the whole rule.
    pub headers: HeaderOps,
    /// Who is asked whether requests may pass, each of these.
    pub external_auth: Vec<ExternalAuth>,
}

/// One TLS or TCP rule.
#[derive(Clone, Debug, PartialEq)]
pub struct L4Route {
    /// The rule within the document, such as `tcp[0]`.
    pub rule: String,
    /// Any of these; empty matches everything.
    pub matches: Vec<L4Match>,
    /// Where connections go.
    pub destinations: Vec<WeightedDestination>,
}

impl RouteSet {
    /// Whether it is a route of the Gateway API.
    pub fn is_kube(&self) -> bool {
        self.semantics == Semantics::GatewayApi
    }

    /// Whether some HTTP rule may apply to requests for `port`.
    pub fn has_http_for(&self, port: u16) -> bool {
        let fits = |m: &HttpMatch| m.port.is_none_or(|p| p == port);
        self.http.iter().any(|r| r.matches.is_empty() || r.matches.iter().any(fits))
    }

    /// Whether some rule keeps sessions at their endpoints.
    pub fn has_sessions(&self) -> bool {
        self.http.iter().any(|r| matches!(&r.action, HttpAction::Forward(f) if f.session.is_some()))
    }

    /// Whom its rules ask whether requests may pass.
    pub fn external_auth(&self) -> impl Iterator<Item = &ExternalAuth> {
        self.http.iter().flat_map(|r| &r.external_auth)
    }

    /// Whether it applies to sidecars.
    pub fn applies_to_mesh(&self) -> bool {
        self.gateways.contains(&GatewayRef::Mesh)
    }

    /// Whether it applies to the Gateway `name`.
    pub fn applies_to(&self, name: &NsName) -> bool {
        self.gateways.iter().any(|g| matches!(g, GatewayRef::Named(n) if n == name))
    }

    /// Every destination that is named in it, mirrors and authorization services included, with the path of the field.
    pub fn destinations(&self) -> Vec<(&Destination, String)> {
        let mut all = Vec::new();
        for route in &self.http {
            for (i, auth) in route.external_auth.iter().enumerate() {
                let path = format!("spec.{}.externalAuth[{i}].backendRef", route.rule);
                all.push((&auth.destination, path));
            }
            let HttpAction::Forward(forward) = &route.action else { continue };
            for (i, d) in forward.destinations.iter().enumerate() {
                all.push((&d.destination, format!("spec.{}.route[{i}].destination", route.rule)));
            }
            for (i, m) in forward.mirrors.iter().enumerate() {
                all.push((&m.destination, format!("spec.{}.mirrors[{i}].destination", route.rule)));
            }
        }
        for route in self.tls.iter().chain(&self.tcp) {
            for (i, d) in route.destinations.iter().enumerate() {
                all.push((&d.destination, format!("spec.{}.route[{i}].destination", route.rule)));
            }
        }
        all
    }

    /// The documents that rules are delegated to.
    pub fn delegates(&self) -> impl Iterator<Item = &NsName> {
        self.http.iter().filter_map(|r| match &r.action {
            HttpAction::Delegate { to, defaults: _ } => Some(to),
            _ => None,
        })
    }

    /// Whether any rule asks for labels of the client: then what a client sees depends on its labels.
    pub fn uses_source_labels(&self) -> bool {
        self.http.iter().flat_map(|r| &r.matches).any(|m| !m.source_labels.is_empty())
            || self.tls.iter().chain(&self.tcp).flat_map(|r| &r.matches).any(|m| !m.source_labels.is_empty())
    }
}

/// Whether `wanted` are all among `labels`.
pub(crate) fn labels_match(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(k, v)| labels.get(k) == Some(v))
}
