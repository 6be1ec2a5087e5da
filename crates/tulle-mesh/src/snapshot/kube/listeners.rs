//! The listeners of a Gateway, its own first, then those of its ListenerSets: what is wrong with each, and the server that it
//! becomes.

use tulle_base::Host;

use super::{Snapshot, references};
use crate::gateway::{GATEWAY_SECRET, Server, ServerHost, ServerTls, ServerTlsMode};
use crate::kube::{
    AllowedNamespaces, Finding, KubeGateway, Listener, ListenerProtocol, ListenerSet, ListenerState,
    ListenerTls, Reach,
};
use crate::meta::{Meta, NsName};
use crate::port::Protocol;

/// A listener where it is written.
pub(super) struct Place<'a> {
    gateway: &'a KubeGateway,
    set: Option<&'a ListenerSet>,
    /// The document that has it.
    pub(super) meta: &'a Meta,
    pub(super) listener: &'a Listener,
    index: usize,
}

impl Place<'_> {
    /// The name of the gateway that it becomes.
    pub(super) fn internal(&self) -> NsName {
        match self.set {
            None => self.listener.internal(&self.gateway.name()),
            Some(set) => self.listener.internal_of_set(&set.name()),
        }
    }

    /// Who refers to its certificates: kind and namespace.
    fn referrer(&self) -> (&'static str, &str) {
        let kind = if self.set.is_some() { "ListenerSet" } else { "Gateway" };
        (kind, self.meta.namespace())
    }

    /// What it is called in messages about another listener.
    fn called(&self) -> String {
        match self.set {
            None => format!("listener {}", self.listener.name),
            Some(set) => format!("listener {} of ListenerSet {}", self.listener.name, set.name()),
        }
    }
}

/// All listeners of a Gateway with `sets`, in the order in which they come first.
pub(super) fn places<'a>(
    gateway: &'a KubeGateway,
    sets: impl Iterator<Item = &'a ListenerSet>,
) -> Vec<Place<'a>> {
    let place = |(index, listener)| Place { gateway, set: None, meta: &gateway.meta, listener, index };
    let mut all: Vec<Place<'a>> = gateway.listeners.iter().enumerate().map(place).collect();
    sets.for_each(|set| all.extend(places_of_set(gateway, set)));
    all
}

/// The listeners of a ListenerSet alone.
pub(super) fn places_of_set<'a>(gateway: &'a KubeGateway, set: &'a ListenerSet) -> Vec<Place<'a>> {
    let place = |(index, listener)| Place { gateway, set: Some(set), meta: &set.meta, listener, index };
    set.listeners.iter().enumerate().map(place).collect()
}

/// What is to be said of the listener at `index` of `all`.
pub(super) fn state(snapshot: &Snapshot, all: &[Place<'_>], index: usize) -> ListenerState {
    let place = &all[index];
    let listener = place.listener;
    let (kinds, known) = listener.supported_kinds();
    let mut resolved = Finding::yes("ResolvedRefs");
    if !known {
        let names: Vec<&str> = listener.kinds.iter().map(|(_, kind)| kind.as_str()).collect();
        let message = format!("not all of {} are kinds of routes for this protocol", names.join(", "));
        resolved = Finding::no("InvalidRouteKinds", message);
    }
    let certificates = listener.tls.iter().filter(|t| !t.passthrough).flat_map(|t| &t.certificates);
    let problem = certificates.filter_map(|c| references::certificate(snapshot, place.referrer(), c)).next();
    if let Some(problem) = problem {
        resolved = problem;
    }
    let mut accepted = match &listener.protocol {
        ListenerProtocol::Other(name) => {
            Finding::no("UnsupportedProtocol", format!("{name} is not served; write HTTP, HTTPS, TLS or TCP"))
        }
        _ => Finding::yes("Accepted"),
    };
    if let Some(checked) = clients(snapshot, place) {
        if checked.authorities.is_empty() {
            let message = "no authority for certificates of clients is there, so nobody is let in";
            accepted = Finding::no("NoValidCACertificate", message);
        }
        resolved = checked.problem.unwrap_or(resolved);
    }
    let mut conflicted = Finding::no("NoConflicts", "");
    if let Some(conflict) = conflict(all, index) {
        accepted = Finding::no(conflict.reason, conflict.message.clone());
        conflicted = conflict;
    }
    ListenerState {
        name: listener.name.clone(),
        internal: place.internal(),
        kinds,
        accepted,
        resolved,
        conflicted,
        reach: Reach::AsWritten,
        gateway: None,
    }
}

/// Whether another listener before it claims the same port otherwise.
fn conflict(all: &[Place<'_>], index: usize) -> Option<Finding> {
    let mine = all[index].listener;
    let by_name = |l: &Listener| match l.protocol {
        ListenerProtocol::Http => Some("HTTP"),
        ListenerProtocol::Https | ListenerProtocol::Tls => Some("TLS"),
        ListenerProtocol::Tcp | ListenerProtocol::Other(_) => None,
    };
    let yes = |reason, message| Some(Finding { holds: true, reason, message });
    for other in all[..index].iter().filter(|p| p.listener.port == mine.port) {
        let (called, port) = (other.called(), mine.port);
        if by_name(other.listener).is_none() || by_name(other.listener) != by_name(mine) {
            return yes(
                "ProtocolConflict",
                format!("{called} has port {port} with another protocol, or without host names"),
            );
        }
        if other.listener.hostname == mine.hostname {
            return yes("HostnameConflict", format!("{called} has the same host on port {port}"));
        }
    }
    None
}

/// Whether some certificate can be used, or none is needed.
pub(super) fn has_certificate(snapshot: &Snapshot, place: &Place<'_>) -> bool {
    match &place.listener.tls {
        Some(tls) if !tls.passthrough && !tls.certificates.is_empty() => {
            !credentials(snapshot, place, tls).is_empty()
        }
        _ => true,
    }
}

fn credentials(snapshot: &Snapshot, place: &Place<'_>, tls: &ListenerTls) -> Vec<String> {
    let good =
        |c: &&crate::kube::ObjectName| references::certificate(snapshot, place.referrer(), c).is_none();
    tls.certificates.iter().filter(good).map(|c| format!("{GATEWAY_SECRET}{}", c.name)).collect()
}

/// The server of the listener at `index` of `all`.
pub(super) fn server(snapshot: &Snapshot, all: &[Place<'_>], index: usize) -> Option<Server> {
    let place = &all[index];
    let listener = place.listener;
    let protocol = match listener.protocol {
        ListenerProtocol::Http => Protocol::Http,
        ListenerProtocol::Https => Protocol::Https,
        ListenerProtocol::Tls => Protocol::Tls,
        ListenerProtocol::Tcp => Protocol::Tcp,
        ListenerProtocol::Other(_) => return None,
    };
    let host = listener.hostname.clone().unwrap_or_else(|| Host::new("*"));
    // More specific listeners of the port have their hosts for themselves.
    let others = all.iter().enumerate().filter(|(i, other)| {
        *i != index && other.listener.port == listener.port && other.listener.protocol == listener.protocol
    });
    let excluded = others.filter_map(|(_, other)| other.listener.hostname.clone());
    Some(Server {
        port: listener.port,
        port_name: "default".to_owned(),
        protocol,
        hosts: hosts(snapshot, place, &host),
        bind: String::new(),
        tls: listener.tls.as_ref().map(|t| server_tls(snapshot, place, t)),
        name: listener.name.clone(),
        excluded: excluded.filter(|other| *other != host && host.covers(other)).collect(),
        meta: None,
        rule: format!("listeners[{}]", place.index),
    })
}

/// The host, for each namespace from which routes may come.
fn hosts(snapshot: &Snapshot, place: &Place<'_>, host: &Host) -> Vec<ServerHost> {
    let of = |namespace: &str| ServerHost { namespace: Some(namespace.to_owned()), host: host.clone() };
    match &place.listener.from {
        AllowedNamespaces::All => vec![ServerHost { namespace: None, host: host.clone() }],
        AllowedNamespaces::Same => vec![of(place.meta.namespace())],
        AllowedNamespaces::None => vec![of("~")],
        AllowedNamespaces::Selector(selector) => {
            let chosen = snapshot.namespaces.iter().filter(|(_, labels)| selector.matches(labels));
            let all: Vec<ServerHost> = chosen.map(|(name, _)| of(name)).collect();
            // The host is served all the same, without routes.
            if all.is_empty() { vec![of("~")] } else { all }
        }
    }
}

fn server_tls(snapshot: &Snapshot, place: &Place<'_>, tls: &ListenerTls) -> ServerTls {
    let checked = clients(snapshot, place);
    let mode = match (tls.terminate_mode.as_str(), &checked) {
        _ if tls.passthrough => ServerTlsMode::Passthrough,
        ("MUTUAL", _) => ServerTlsMode::Mutual,
        ("OPTIONAL_MUTUAL", _) => ServerTlsMode::OptionalMutual,
        ("ISTIO_MUTUAL", _) => ServerTlsMode::IstioMutual,
        (_, Some(checked)) if checked.insecure_fallback => ServerTlsMode::OptionalMutual,
        (_, Some(_)) => ServerTlsMode::Mutual,
        (_, None) => ServerTlsMode::Simple,
    };
    let credentials = if tls.passthrough { Vec::new() } else { credentials(snapshot, place, tls) };
    let Checked { authorities, insecure_fallback, problem: _ } = checked.unwrap_or_default();
    ServerTls {
        mode,
        credentials,
        authorities,
        insecure_fallback,
        cipher_suites: tls.cipher_suites.clone(),
        ..ServerTls::default()
    }
}

/// How certificates of clients are checked.
#[derive(Default)]
struct Checked {
    /// In PEM; empty when none is there.
    authorities: String,
    insecure_fallback: bool,
    problem: Option<Finding>,
}

/// How certificates of the clients of a listener are checked; `None` where TLS does not end, or they are not, or where an option
/// of the listener says how.
fn clients(snapshot: &Snapshot, place: &Place<'_>) -> Option<Checked> {
    let ends = |t: &ListenerTls| !t.passthrough && t.terminate_mode.is_empty();
    let by_tls = matches!(place.listener.protocol, ListenerProtocol::Https | ListenerProtocol::Tls);
    if !by_tls || !place.listener.tls.as_ref().is_some_and(ends) {
        return None;
    }
    let checks = place.gateway.client_checks(place.listener.port)?;
    let mut out = Checked { insecure_fallback: checks.insecure_fallback, ..Checked::default() };
    for named in &checks.authorities {
        match references::authorities(snapshot, ("Gateway", place.gateway.meta.namespace()), named) {
            Ok(pem) => {
                out.authorities.push_str(pem);
                out.authorities.push('\n');
            }
            Err(problem) => out.problem = out.problem.or(Some(problem)),
        }
    }
    Some(out)
}
