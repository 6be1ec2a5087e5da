//! Problems between documents: what a document names and nobody defines, and hosts that several claim.

use std::sync::Arc;

use tulle_base::{Diagnostic, Diagnostics, FieldPath, Host, Labels, ResourceRef, Severity};

use super::Snapshot;
use crate::annotations::FAULT_EXPIRES;
use crate::destination::DestinationRule;
use crate::item::Item;
use crate::meta::NsName;
use crate::policy::{Action, AuthorizationPolicy, MtlsMode, RequestAuthentication};
use crate::provider::{ExtAuthzProtocol, ProviderKind};
use crate::routing::{Destination, GatewayRef, HttpAction, RouteSet};
use crate::sidecar::Sidecar;
use crate::telemetry::Telemetry;

/// The problems of one document with the rest of the snapshot.
pub(super) fn cross(snapshot: &Snapshot, item: &Item) -> Diagnostics {
    match item {
        Item::Routes(routes) => of_routes(snapshot, routes),
        Item::Destination(rule) => of_rule(snapshot, rule),
        Item::KubeRoute(route) => super::kube::check_route(snapshot, &route.meta.resource),
        Item::KubeGateway(gateway) => super::kube::check_gateway(snapshot, gateway),
        Item::ListenerSet(set) => super::kube::check_listener_set(snapshot, set),
        Item::BackendTls(policy) => super::kube::check_backend_tls(snapshot, &policy.meta.resource),
        Item::Ingress(ingress) => super::ingress::check(snapshot, ingress),
        Item::Tokens(policy) => of_tokens(snapshot, policy),
        Item::Sidecar(sidecar) => of_sidecar(snapshot, sidecar),
        Item::Telemetry(telemetry) => of_telemetry(snapshot, telemetry),
        Item::Authorization(policy) => of_provider(snapshot, policy).into_iter().collect(),
        _ => Diagnostics::new(),
    }
}

fn of_routes(snapshot: &Snapshot, routes: &RouteSet) -> Diagnostics {
    let mut notes = Diagnostics::new();
    for (destination, path) in routes.destinations() {
        notes.extend(of_destination(snapshot, routes, destination, &path));
    }
    for (i, gateway) in routes.gateways.iter().enumerate() {
        if let GatewayRef::Named(name) = gateway
            && snapshot.gateway(name).is_none()
        {
            let path = FieldPath::from(format!("spec.gateways[{i}]").as_str());
            notes.push(
                Diagnostic::error(path, format!("no Gateway {name}"))
                    .with_fix("define it or remove it from the list")
                    .with_code("IST0101"),
            );
        }
    }
    for rule in &routes.http {
        if let HttpAction::Delegate { to, defaults: _ } = &rule.action {
            notes.extend(of_delegate(snapshot, &rule.rule, to));
        }
    }
    for rule in &routes.http {
        if let Some(end) = rule.fault.as_ref().and_then(|f| f.expires)
            && end <= snapshot.now
        {
            let path = FieldPath::from(format!("spec.{}.fault", rule.rule).as_str());
            let moment = tulle_api::value::Timestamp::from_unix(end);
            notes.push(
                Diagnostic::warning(path, format!("ended at {moment} and is not injected any more"))
                    .with_fix(format!("remove it, or change the annotation {FAULT_EXPIRES}")),
            );
        }
    }
    for (i, host) in routes.hosts.iter().enumerate() {
        notes.extend(conflict(snapshot, routes, host, i));
    }
    for note in &mut notes {
        note.resource = Some(routes.meta.resource.clone());
    }
    notes
}

/// Kinds of providers that take access logs.
const LOGS: &[&str] = &["envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls"];

/// Providers of metrics and access logs that are not there, or are for something else.
fn of_telemetry(snapshot: &Snapshot, telemetry: &Telemetry) -> Diagnostics {
    let mut notes = Diagnostics::new();
    let named = telemetry.metrics.iter().enumerate();
    let named = named.flat_map(|(i, m)| m.providers.iter().enumerate().map(move |(j, name)| (i, j, name)));
    for (i, j, name) in named {
        let path = format!("spec.metrics[{i}].providers[{j}].name");
        notes.extend(wrong_provider(snapshot, name, &path, ("metrics", &["prometheus"])));
    }
    let named = telemetry.access_logging.iter().enumerate();
    let named = named.flat_map(|(i, l)| l.providers.iter().enumerate().map(move |(j, name)| (i, j, name)));
    // `envoy` is always there.
    for (i, j, name) in named.filter(|(_, _, name)| name.as_str() != "envoy") {
        let path = format!("spec.accessLogging[{i}].providers[{j}].name");
        notes.extend(wrong_provider(snapshot, name, &path, ("access logs", LOGS)));
    }
    for note in &mut notes {
        note.resource = Some(telemetry.meta.resource.clone());
    }
    notes
}

/// What is wrong with a provider that a Telemetry names for something (`what`) that those of `kinds` take.
fn wrong_provider(
    snapshot: &Snapshot,
    name: &str,
    path: &str,
    (what, kinds): (&str, &[&str]),
) -> Option<Diagnostic> {
    let (message, fix) = match snapshot.mesh().telemetry_provider(name) {
        Some(found) if kinds.contains(&found.name()) => return None,
        Some(found) => (
            format!("the extension provider {name:?} is {}, which takes no {what}", found.name()),
            format!("name one that is {}", kinds.join(" or ")),
        ),
        None => {
            let known: Vec<&str> = snapshot.mesh().providers.iter().map(|p| p.name.as_str()).collect();
            let near = tulle_base::nearest::nearest(name, known.iter().copied().chain(["prometheus"]));
            let fix = near.map_or_else(
                || "define it in extensionProviders of the mesh's settings".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            (format!("no extension provider {name:?}"), fix)
        }
    };
    Some(Diagnostic::warning(FieldPath::from(path), message).with_fix(fix))
}

/// A provider that cannot be asked, or not about everything.
fn of_provider(snapshot: &Snapshot, policy: &AuthorizationPolicy) -> Option<Diagnostic> {
    let Action::Custom(name) = &policy.action else { return None };
    let denied = "what the rules match is denied";
    let provider = snapshot.extension_provider(name).map(|p| &p.kind);
    let (message, fix) = match provider {
        None => {
            let known: Vec<&str> = snapshot.mesh().providers.iter().map(|p| p.name.as_str()).collect();
            let near = tulle_base::nearest::nearest(name, known.iter().copied());
            let fix = near.map_or_else(
                || "define it in extensionProviders of the mesh's settings".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            (format!("no extension provider {name:?}: {denied}"), fix)
        }
        Some(
            other @ (ProviderKind::Other(_)
            | ProviderKind::Prometheus
            | ProviderKind::OpenTelemetry(_)
            | ProviderKind::Zipkin(_)
            | ProviderKind::FileLog(_)
            | ProviderKind::GrpcLog(_)
            | ProviderKind::OpenTelemetryLog(_)),
        ) => (
            format!("the extension provider {name:?} is {}, which does not decide: {denied}", other.name()),
            "name one that is envoyExtAuthzGrpc or envoyExtAuthzHttp".to_owned(),
        ),
        Some(ProviderKind::ExtAuthz(authz)) => {
            let service = snapshot.services.get(&authz.host).into_iter().flat_map(|all| all.iter());
            let mut fits = service.filter(|s| authz.namespace.is_empty() || s.namespace() == authz.namespace);
            if !fits.any(|s| s.port(authz.port).is_some()) {
                (
                    format!(
                        "no service {} with port {} for the extension provider {name:?}: {denied}",
                        authz.host, authz.port
                    ),
                    "define it, or correct the provider".to_owned(),
                )
            } else if matches!(authz.protocol, ExtAuthzProtocol::Http { .. }) {
                let path = FieldPath::from("spec.provider");
                let message = "a provider that speaks HTTP is not asked about TCP: such connections pass";
                let note = Diagnostic::new(Severity::Info, path, message)
                    .with_fix("use a provider that speaks gRPC for workloads with TCP ports");
                return Some(note.with_resource(policy.meta.resource.clone()));
            } else {
                return None;
            }
        }
    };
    let path = FieldPath::from("spec.provider.name");
    Some(Diagnostic::warning(path, message).with_fix(fix).with_resource(policy.meta.resource.clone()))
}

/// Keys that could not be fetched.
fn of_tokens(snapshot: &Snapshot, policy: &RequestAuthentication) -> Diagnostics {
    let mut notes = Diagnostics::new();
    for (i, rule) in policy.rules.iter().enumerate() {
        let Some(fetched) = snapshot.fetched.get(&rule.keys) else { continue };
        let Some(problem) = &fetched.problem else { continue };
        let meanwhile = match fetched.keys {
            Some(_) => "those that were fetched before stay in force, for a day at most".to_owned(),
            None => format!("no token of {} is accepted until they are", rule.issuer),
        };
        let path = FieldPath::from(format!("spec.jwtRules[{i}].jwksUri").as_str());
        notes.push(
            Diagnostic::warning(path, format!("the keys could not be fetched: {problem}; {meanwhile}"))
                .with_fix("see that the control plane reaches the address, or write the keys in jwks")
                .with_resource(policy.meta.resource.clone()),
        );
    }
    notes
}

/// TLS of the workload's own that the mesh's stands in the way of.
fn of_sidecar(snapshot: &Snapshot, sidecar: &Sidecar) -> Diagnostics {
    let labels = sidecar.selector.as_ref().map(|s| s.0.clone()).unwrap_or_default();
    let modes = snapshot.peer_modes(sidecar.meta.namespace(), &labels);
    let mut notes = Diagnostics::new();
    for (i, ingress) in sidecar.ingress.iter().enumerate() {
        if ingress.tls.is_some() && modes.of_port(ingress.port) != MtlsMode::Disable {
            let path = FieldPath::from(format!("spec.ingress[{i}].tls").as_str());
            let message = format!("has no effect: port {} takes mutual TLS of the mesh", ingress.port);
            notes.push(
                Diagnostic::warning(path, message)
                    .with_fix("set the port to DISABLE in portLevelMtls of a PeerAuthentication")
                    .with_resource(sidecar.meta.resource.clone()),
            );
        }
    }
    notes
}

fn of_delegate(snapshot: &Snapshot, rule: &str, to: &NsName) -> Option<Diagnostic> {
    let reference = ResourceRef::new("networking.istio.io", "VirtualService", &*to.namespace, &*to.name);
    let path = FieldPath::from(format!("spec.{rule}.delegate").as_str());
    match snapshot.items.get(&reference).map(Arc::as_ref) {
        Some(Item::Routes(delegate)) if delegate.hosts.is_empty() => None,
        Some(_) => Some(
            Diagnostic::error(path, format!("{reference} has hosts of its own, so it is no delegate"))
                .with_fix("remove its hosts"),
        ),
        None => Some(
            Diagnostic::error(path, format!("no {reference}"))
                .with_fix("define it or write the rules here")
                .with_code("IST0101"),
        ),
    }
}

fn of_destination(
    snapshot: &Snapshot,
    routes: &RouteSet,
    destination: &Destination,
    path: &str,
) -> Option<Diagnostic> {
    let Destination { host, subset, port } = destination;
    let namespace = routes.meta.namespace();
    let path = FieldPath::from(path);
    let Some(service) = snapshot.service(host, namespace) else {
        return Some(
            Diagnostic::error(path.field("host"), format!("no service has the host {host}"))
                .with_fix("define a Service or a ServiceEntry for it, or correct the name")
                .with_code("IST0101"),
        );
    };
    if let Some(number) = port
        && service.port(*number).is_none()
    {
        let has: Vec<String> = service.ports.iter().map(|p| p.number.to_string()).collect();
        return Some(
            Diagnostic::error(path.field("port").field("number"), format!("{host} has no port {number}"))
                .with_fix(format!("write one of {}", has.join(", "))),
        );
    }
    if subset.is_empty() {
        return None;
    }
    let names = subsets(snapshot, host, namespace, service.namespace());
    if names.contains(&subset.as_str()) {
        return None;
    }
    let fix = if names.is_empty() {
        "define it".to_owned()
    } else {
        format!("define it or write one of {}", names.join(", "))
    };
    Some(
        Diagnostic::error(
            path.field("subset"),
            format!("no DestinationRule for {host} defines subset {subset}"),
        )
        .with_fix(fix)
        .with_code("IST0101"),
    )
}

/// A subset that a route names and nobody defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingSubset {
    /// The field that names it.
    pub field: FieldPath,
    /// The host, which exists.
    pub host: Host,
    /// The subset.
    pub subset: String,
}

/// The subsets that `routes` name and no DestinationRule defines, for hosts that exist.
pub(super) fn missing_subsets(snapshot: &Snapshot, routes: &RouteSet) -> Vec<MissingSubset> {
    let namespace = routes.meta.namespace();
    let missing = |(destination, path): (&Destination, String)| {
        let Destination { host, subset, port: _ } = destination;
        let service = snapshot.service(host, namespace).filter(|_| !subset.is_empty())?;
        let defined = subsets(snapshot, host, namespace, service.namespace()).contains(&subset.as_str());
        let field = FieldPath::from(path.as_str()).field("subset");
        (!defined).then(|| MissingSubset { field, host: host.clone(), subset: subset.clone() })
    };
    routes.destinations().into_iter().filter_map(missing).collect()
}

/// The subsets of `host` for clients of `namespace`, those for some clients alone included.
fn subsets<'a>(snapshot: &'a Snapshot, host: &Host, namespace: &str, service: &str) -> Vec<&'a str> {
    let rule = snapshot.destination_rule(host, namespace, Some(service), &Labels::new());
    let selecting = snapshot.rules_in.get(namespace).and_then(|rules| rules.by_host.get(host));
    let selecting = selecting.into_iter().flatten().filter(|r| r.workload_selector.is_some());
    rule.into_iter().chain(selecting).flat_map(|r| &r.subsets).map(|s| s.name.as_str()).collect()
}

/// Whether an older document claims `host` for the sidecars that see both: the younger claim is dropped (traps 5).
fn conflict(snapshot: &Snapshot, routes: &RouteSet, host: &Host, index: usize) -> Option<Diagnostic> {
    if !routes.applies_to_mesh() {
        return None;
    }
    let winner = snapshot.routes_of(host).iter().find(|other| {
        // Routes of the Gateway API are told apart by kind and client: their conflicts say so.
        other.applies_to_mesh()
            && !other.is_kube()
            && (other.export_to == routes.export_to || other.meta.namespace() == routes.meta.namespace())
    })?;
    if winner.meta.resource == routes.meta.resource {
        return None;
    }
    let message = format!(
        "{host} is claimed for sidecars by {} too, which is older and wins: this claim has no effect there",
        winner.meta.resource
    );
    Some(
        Diagnostic::warning(FieldPath::from(format!("spec.hosts[{index}]").as_str()), message)
            .with_fix("merge the two or remove one of them")
            .with_code("IST0109"),
    )
}

fn of_rule(snapshot: &Snapshot, rule: &DestinationRule) -> Diagnostics {
    if rule.host.is_wildcard() || snapshot.service(&rule.host, rule.meta.namespace()).is_some() {
        return Diagnostics::new();
    }
    vec![
        Diagnostic::error(FieldPath::from("spec.host"), format!("no service has the host {}", rule.host))
            .with_fix("define a Service or a ServiceEntry for it, or correct the name")
            .with_code("IST0101")
            .with_resource(rule.meta.resource.clone()),
    ]
}
