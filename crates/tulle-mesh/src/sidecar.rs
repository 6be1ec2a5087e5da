//! Sidecar resources: what a workload's proxy may see.

use tulle_base::{Host, Selector};

use crate::config::OutboundPolicy;
use crate::destination::ConnectionPool;
use crate::gateway::ServerTls;
use crate::meta::Meta;
use crate::port::Protocol;
use crate::routing::Destination;

/// A Sidecar.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The document behind it.
    pub meta: Meta,
    /// The workloads it is for; `None` is the whole namespace.
    pub selector: Option<Selector>,
    /// What its proxies see; `None` (omitted) is everything.
    pub egress: Option<Vec<Egress>>,
    /// Where unknown traffic goes; `None` is the mesh's policy.
    pub outbound: Option<OutboundPolicy>,
    /// Takes unknown traffic that may pass; `None` lets it go where it was going.
    pub egress_proxy: Option<Destination>,
    /// Inbound ports written by hand; empty takes them from the services.
    pub ingress: Vec<Ingress>,
    /// Limits of connections to the application, of ports that say nothing else.
    pub inbound_pool: Option<ConnectionPool>,
}

/// One set of visible hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// Only on this port of the client's side; `None` is every port.
    pub port: Option<u16>,
    /// What is spoken on that port, whatever the services say; `None` is what they say.
    pub protocol: Option<Protocol>,
    /// Where the listener stands.
    pub bind: Bind,
    /// Whether connections get there by the kernel's redirection. Others are made to the listener itself.
    pub captured: bool,
    /// `NAMESPACE/HOST` pairs.
    pub hosts: Vec<EgressHost>,
}

/// Where a listener of a Sidecar stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bind {
    /// Nothing is said: the services' addresses, or the machine itself where nothing is redirected.
    #[default]
    Unsaid,
    /// At an address.
    Ip(String),
    /// At a Unix socket, by its path.
    Socket(String),
}

/// One entry of visible hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressHost {
    /// In which namespace.
    pub namespace: NamespaceMatch,
    /// Host, may be a wildcard.
    pub host: Host,
}

/// The namespace part of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceMatch {
    /// `*`: any.
    Any,
    /// `.`: the workload's own, also in the root namespace's Sidecar (traps 14).
    Own,
    /// `~`: none.
    None,
    /// This one.
    Named(String),
    /// `~ns`: hosts of that namespace are left out.
    Excluded(String),
}

impl Egress {
    /// Whether it has listeners of its own, beside those of the services.
    pub fn is_own(&self) -> bool {
        !self.captured || self.bind != Bind::Unsaid
    }

    /// Whether `host` of `namespace` is among its hosts, seen from a workload in `own`.
    pub fn names(&self, namespace: &str, host: &Host, own: &str) -> bool {
        let excludes = |h: &EgressHost| {
            matches!(&h.namespace, NamespaceMatch::Excluded(ns) if ns == namespace) && h.host.covers(host)
        };
        let names = |h: &EgressHost| {
            h.namespace.matches(namespace, own) && (h.host.covers(host) || host.covers(&h.host))
        };
        self.hosts.iter().any(names) && !self.hosts.iter().any(excludes)
    }
}

/// An inbound port written by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// Port on which requests arrive.
    pub port: u16,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Name of the port.
    pub name: String,
    /// Where the application listens.
    pub endpoint: LocalEndpoint,
    /// Address that the listener is named after, or with `captured` false bound to; empty is every one.
    pub bind: String,
    /// Whether connections get there by the kernel's redirection. Others are made to the listener itself.
    pub captured: bool,
    /// TLS of clients that is ended here; where the mesh's own mutual TLS is off.
    pub tls: Option<ServerTls>,
    /// Limits of connections to the application.
    pub pool: Option<ConnectionPool>,
}

/// Where an application listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalEndpoint {
    /// On the port that was asked for.
    #[default]
    Same,
    /// At the pod's address.
    Pod(u16),
    /// At an address of the machine itself.
    Ip(String, u16),
    /// At a Unix socket, by its path.
    Socket(String),
}

impl LocalEndpoint {
    /// Reads `127.0.0.1:PORT`, `[::1]:PORT`, `0.0.0.0:PORT`, `[::]:PORT` or `unix://PATH`; empty is the same port. `None`
    /// for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Same);
        }
        if let Some(path) = text.strip_prefix("unix://") {
            return Some(Self::Socket(path.to_owned()));
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        Some(match host {
            "0.0.0.0" | "[::]" => Self::Pod(port),
            "" => Self::Ip("127.0.0.1".to_owned(), port),
            host => Self::Ip(host.trim_start_matches('[').trim_end_matches(']').to_owned(), port),
        })
    }
}

impl NamespaceMatch {
    /// Whether a resource of `of` is meant, seen from a workload in `own`.
    pub fn matches(&self, of: &str, own: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Own => of == own,
            Self::None | Self::Excluded(_) => false,
            Self::Named(name) => name == of,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_or_sockets() {
        let ip = |ip: &str, port| Some(LocalEndpoint::Ip(ip.into(), port));
        assert_eq!(LocalEndpoint::parse(""), Some(LocalEndpoint::Same));
        assert_eq!(LocalEndpoint::parse("127.0.0.1:80"), ip("127.0.0.1", 80));
        assert_eq!(LocalEndpoint::parse("[::1]:80"), ip("::1", 80));
        assert_eq!(LocalEndpoint::parse("0.0.0.0:80"), Some(LocalEndpoint::Pod(80)));
        assert_eq!(LocalEndpoint::parse("[::]:80"), Some(LocalEndpoint::Pod(80)));
        assert_eq!(LocalEndpoint::parse("unix:///run/x:y"), Some(LocalEndpoint::Socket("/run/x:y".into())));
        assert_eq!(LocalEndpoint::parse("127.0.0.1:x"), None);
    }
}
