//! Sidecar resources: what a workload's proxy may see.

use tulle_base::{Host, Selector};

use crate::config::OutboundPolicy;
use crate::meta::Meta;
use crate::port::Protocol;

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
    /// Inbound ports written by hand; empty takes them from the services.
    pub ingress: Vec<Ingress>,
}

/// One set of visible hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// Only on this port of the client's side; `None` is every port.
    pub port: Option<u16>,
    /// `NAMESPACE/HOST` pairs.
    pub hosts: Vec<EgressHost>,
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

/// An inbound port written by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Port on which requests arrive.
    pub port: u16,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Name of the port.
    pub name: String,
    /// Where the application listens: `127.0.0.1:PORT`, `0.0.0.0:PORT` (the pod's address) or `unix://PATH`; empty is
    /// the same port.
    pub default_endpoint: String,
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
