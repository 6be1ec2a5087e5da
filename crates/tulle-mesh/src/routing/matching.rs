//! Conditions on requests and connections.

use tulle_base::{Host, Labels};

use super::{GatewayRef, labels_match};

/// A condition on a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StringMatch {
    /// Equal.
    Exact(String),
    /// Begins with it, as raw text.
    Prefix(String),
    /// A path that begins with these whole segments: `/a` is the beginning of `/a` and `/a/b`, not of `/ab`. Never `/`.
    Segments(String),
    /// The whole text matches this RE2 expression.
    Regex(String),
    /// There at all, with any value.
    Present,
}

/// One block of an HTTP match: every condition in it must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpMatch {
    /// Name as written; joined to the route's.
    pub name: String,
    /// On the path without query.
    pub uri: Option<StringMatch>,
    /// The path is compared without regard to case (exact and prefix only).
    pub ignore_uri_case: bool,
    /// On the scheme.
    pub scheme: Option<StringMatch>,
    /// On the method.
    pub method: Option<StringMatch>,
    /// On `:authority`.
    pub authority: Option<StringMatch>,
    /// On headers, by lower-case name.
    pub headers: Vec<(String, StringMatch)>,
    /// On headers that must not match.
    pub without_headers: Vec<(String, StringMatch)>,
    /// On query parameters.
    pub query: Vec<(String, StringMatch)>,
    /// The port on which the request arrives (the service's port, or the gateway server's).
    pub port: Option<u16>,
    /// Labels that the client's workload must have.
    pub source_labels: Labels,
    /// Namespace that the client must be in.
    pub source_namespace: Option<String>,
    /// Instead of the document's gateways; empty means those.
    pub gateways: Vec<GatewayRef>,
    /// Prefix of the route's statistics.
    pub stat_prefix: String,
}

/// One block of a TLS or TCP match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct L4Match {
    /// Server names, for TLS; may begin with `*`.
    pub sni_hosts: Vec<Host>,
    /// Destination addresses as CIDR blocks.
    pub destination_subnets: Vec<String>,
    /// Destination port.
    pub port: Option<u16>,
    /// Labels that the client's workload must have.
    pub source_labels: Labels,
    /// Namespace that the client must be in.
    pub source_namespace: Option<String>,
    /// Instead of the document's gateways; empty means those.
    pub gateways: Vec<GatewayRef>,
}

impl HttpMatch {
    /// Whether the conditions on client and listener hold (those on the request are left to the proxy).
    pub fn applies(&self, gateway: &GatewayRef, namespace: &str, labels: &Labels, port: u16) -> bool {
        (self.gateways.is_empty() || self.gateways.contains(gateway))
            && self.port.is_none_or(|p| p == port)
            && self.source_namespace.as_deref().is_none_or(|n| n == namespace)
            && labels_match(&self.source_labels, labels)
    }

    /// Whether every request matches, as far as the proxy looks at it.
    pub fn is_catch_all(&self) -> bool {
        let any_path = match &self.uri {
            None | Some(StringMatch::Present) => true,
            Some(StringMatch::Prefix(p)) => p == "/" || p.is_empty(),
            Some(StringMatch::Regex(r)) => r == ".*",
            Some(StringMatch::Exact(_) | StringMatch::Segments(_)) => false,
        };
        any_path
            && self.scheme.is_none()
            && self.method.is_none()
            && self.authority.is_none()
            && self.headers.is_empty()
            && self.without_headers.is_empty()
            && self.query.is_empty()
    }
}

impl L4Match {
    /// Whether the conditions on client and listener hold.
    pub fn applies(&self, gateway: &GatewayRef, namespace: &str, labels: &Labels, port: u16) -> bool {
        (self.gateways.is_empty() || self.gateways.contains(gateway))
            && self.port.is_none_or(|p| p == port)
            && self.source_namespace.as_deref().is_none_or(|n| n == namespace)
            && labels_match(&self.source_labels, labels)
    }
}
