//! Rules of routes. A rule with several matches becomes several rules: which comes first is decided match by match.

use tulle_api::gateway_api as api;
use tulle_base::Host;

use super::filter::{self, Effects};
use super::{BackendName, Draft, matching};
use crate::routing::{
    AuthProtocol, Destination, DirectResponse, ExternalAuth, Forward, HeaderOps, HttpAction, HttpMatch,
    HttpRoute, L4Match, L4Route, Mirror, Retry, Session, WeightedDestination,
};

/// Retries of a rule that does not say how many, as Istio has it.
const ATTEMPTS: u32 = 2;
/// Conditions of retries beside the codes that a rule lists: connection errors.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled";

impl Draft<'_, '_> {
    /// An HTTP rule.
    pub(super) fn http_rule(&mut self, index: usize, rule: &api::HttpRouteRule) {
        let api::HttpRouteRule { name, matches, filters, backend_refs, timeouts, retry, session_persistence } =
            rule;
        let path = format!("spec.rules[{index}]");
        let mut blocks: Vec<HttpMatch> = matches.iter().map(matching::http).collect();
        if blocks.is_empty() {
            blocks.push(HttpMatch::default());
        }
        let destinations: Vec<WeightedDestination> = backend_refs
            .iter()
            .enumerate()
            .filter_map(|(i, b)| self.http_backend(&format!("{path}.backendRefs[{i}]"), b))
            .collect();
        // What filters refer to is noted once, whatever the number of matches.
        let noted = self.mirrors(&path, filters.iter().map(|f| f.request_mirror.as_ref()));
        let unserved = self.unserved(&path, filters);
        let external_auth = self.external_auth(&path, filters);
        let session = session_persistence.as_ref().map(|s| self.session(index, s));
        for block in blocks {
            let mut effects = effects(filters, &block);
            effects.mirrors.clone_from(&noted);
            effects.fails = unserved;
            effects.external_auth.clone_from(&external_auth);
            let (timeout, retries) = limits(timeouts.as_ref(), retry.as_ref());
            let forward = Forward {
                destinations: destinations.clone(),
                timeout,
                retries,
                session: session.clone(),
                ..Forward::default()
            };
            self.push(index, name, block, effects, forward);
        }
    }

    /// A gRPC rule.
    pub(super) fn grpc_rule(&mut self, index: usize, rule: &api::GrpcRouteRule) {
        let api::GrpcRouteRule { name, matches, filters, backend_refs, session_persistence } = rule;
        let path = format!("spec.rules[{index}]");
        let mut blocks: Vec<HttpMatch> = matches.iter().map(matching::grpc).collect();
        if blocks.is_empty() {
            blocks.push(HttpMatch::default());
        }
        let destinations: Vec<WeightedDestination> = backend_refs
            .iter()
            .enumerate()
            .filter_map(|(i, b)| self.grpc_backend(&format!("{path}.backendRefs[{i}]"), b))
            .collect();
        let mirrors = self.mirrors(&path, filters.iter().map(|f| f.request_mirror.as_ref()));
        let (headers, fails) = self.grpc_filters(&format!("{path}.filters"), filters);
        let session = session_persistence.as_ref().map(|s| self.session(index, s));
        for block in blocks {
            let effects =
                Effects { headers: headers.clone(), mirrors: mirrors.clone(), fails, ..Effects::default() };
            let session = session.clone();
            let forward = Forward { destinations: destinations.clone(), session, ..Forward::default() };
            self.push(index, name, block, effects, forward);
        }
    }

    /// What keeps sessions of a rule at their endpoints.
    fn session(&mut self, index: usize, given: &api::SessionPersistence) -> Session {
        let api::SessionPersistence { absolute_timeout, persistence_type, cookie, header } = given;
        let path = format!("spec.rules[{index}].sessionPersistence");
        if *persistence_type == Some(api::SessionPersistenceType::Header) {
            let why = "a header does not say when its session began; use a cookie";
            self.cx.not_applied(absolute_timeout.is_some(), &format!("{path}.absoluteTimeout"), why);
            let name = header.as_ref().map(|api::SessionHeader { name }| name.to_ascii_lowercase());
            return Session::Header(name.unwrap_or_else(|| "x-session".to_owned()));
        }
        let ttl = absolute_timeout.as_ref().map(|t| t.get()).filter(|t| !t.is_zero());
        let (mut name, mut at, mut browser) = (String::new(), String::new(), true);
        if let Some(api::SessionCookie { name: own, path: written, lifetime_type }) = cookie {
            (name, at) = (own.clone(), written.clone());
            browser = *lifetime_type != Some(api::CookieLifetime::Permanent);
        }
        if name.is_empty() {
            let meta = &self.route.meta;
            name = format!("session-{}-{}-{index}", meta.namespace(), meta.name());
        }
        Session::Cookie { name, path: if at.is_empty() { "/".to_owned() } else { at }, ttl, browser }
    }

    /// A rule for connections; with `names` only those that ask for one of them.
    pub(super) fn l4_rule(&mut self, index: usize, rule: &api::L4RouteRule, names: &[Host]) {
        let api::L4RouteRule { name: _, backend_refs } = rule; // the name is for people
        let mut destinations = Vec::new();
        for (i, api::BackendRef { group, kind, name, namespace, port, weight }) in
            backend_refs.iter().enumerate()
        {
            let to = BackendName { group: group.as_deref(), kind, name, namespace, port: *port };
            let destination = self.destination(&format!("spec.rules[{index}].backendRefs[{i}]"), &to);
            destinations.extend(weighted(destination, *weight, HeaderOps::default()));
        }
        let matches = match names {
            [] => Vec::new(),
            names => vec![L4Match { sni_hosts: names.to_vec(), ..L4Match::default() }],
        };
        self.route.l4.push(L4Route { rule: format!("rules[{index}]"), matches, destinations });
    }

    fn push(&mut self, index: usize, name: &str, block: HttpMatch, effects: Effects, mut forward: Forward) {
        let Effects { headers, redirect, rewrite, mirrors, cors, external_auth, fails } = effects;
        forward.rewrite = rewrite;
        forward.mirrors = mirrors;
        let error = |status| HttpAction::Direct(DirectResponse { status, body: None });
        let action = match redirect {
            _ if fails => error(500),
            Some(redirect) => HttpAction::Redirect(redirect),
            // Nowhere to go, by the specification.
            None if forward.destinations.is_empty() => error(500),
            None => HttpAction::Forward(forward),
        };
        let meta = &self.route.meta;
        let name = match name {
            "" => format!("{}.{}.{index}", meta.namespace(), meta.name()),
            name => name.to_owned(),
        };
        let rule = format!("rules[{index}]");
        self.route.http.push(HttpRoute {
            name,
            rule,
            matches: vec![block],
            action,
            fault: None,
            cors,
            headers,
            external_auth,
        });
    }

    fn destination(&mut self, path: &str, to: &BackendName<'_>) -> Destination {
        let port = to.port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0);
        match self.backend(path.to_owned(), to) {
            Some(host) if port.is_some() => Destination { host, subset: String::new(), port },
            _ => Destination::nowhere(),
        }
    }

    fn http_backend(&mut self, path: &str, b: &api::HttpBackendRef) -> Option<WeightedDestination> {
        let api::HttpBackendRef { group, kind, name, namespace, port, weight, filters } = b;
        let to = BackendName { group: group.as_deref(), kind, name, namespace, port: *port };
        let mut destination = self.destination(path, &to);
        let mut headers = HeaderOps::default();
        for (i, f) in filters.iter().enumerate() {
            match (&f.request_header_modifier, &f.response_header_modifier) {
                (Some(change), _) => filter::request_headers(change, &mut headers),
                (None, Some(change)) => filter::response_headers(change, &mut headers),
                (None, None) => {
                    let kind = f.filter_type.map_or("", |t| t.as_str());
                    self.no_backend_filter(&format!("{path}.filters[{i}]"), kind);
                    destination = Destination::nowhere();
                }
            }
        }
        weighted(destination, *weight, headers)
    }

    fn grpc_backend(&mut self, path: &str, b: &api::GrpcBackendRef) -> Option<WeightedDestination> {
        let api::GrpcBackendRef { group, kind, name, namespace, port, weight, filters } = b;
        let to = BackendName { group: group.as_deref(), kind, name, namespace, port: *port };
        let mut destination = self.destination(path, &to);
        let (headers, mut fails) = self.grpc_filters(&format!("{path}.filters"), filters);
        for (i, _) in filters.iter().enumerate().filter(|(_, f)| f.request_mirror.is_some()) {
            self.no_backend_filter(&format!("{path}.filters[{i}]"), "RequestMirror");
            fails = true;
        }
        if fails {
            destination = Destination::nowhere();
        }
        weighted(destination, *weight, headers)
    }

    fn no_backend_filter(&mut self, path: &str, kind: &str) {
        let message =
            format!("{kind} is not served for a single backend, so its share of the requests gets 500");
        self.problem(path, "UnsupportedValue", false, message);
    }

    fn grpc_filters(&mut self, path: &str, filters: &[api::GrpcRouteFilter]) -> (HeaderOps, bool) {
        let (mut headers, mut fails) = (HeaderOps::default(), false);
        for (i, f) in filters.iter().enumerate() {
            let api::GrpcRouteFilter {
                filter_type: _, // the field that it names is the one that is there
                request_header_modifier,
                response_header_modifier,
                request_mirror: _, // see `mirrors`
                extension_ref,
            } = f;
            if let Some(change) = request_header_modifier {
                filter::request_headers(change, &mut headers);
            }
            if let Some(change) = response_header_modifier {
                filter::response_headers(change, &mut headers);
            }
            if let Some(extension) = extension_ref {
                self.no_extension(&format!("{path}[{i}].extensionRef"), extension);
                fails = true;
            }
        }
        (headers, fails)
    }

    fn mirrors<'f>(
        &mut self,
        path: &str,
        filters: impl Iterator<Item = Option<&'f api::RequestMirrorFilter>>,
    ) -> Vec<Mirror> {
        let mut out = Vec::new();
        for (i, f) in filters.enumerate() {
            let Some(f) = f else { continue };
            let api::BackendObjectReference { group, kind, name, namespace, port } = &f.backend_ref;
            let to = BackendName { group: group.as_deref(), kind, name, namespace, port: *port };
            let path = format!("{path}.filters[{i}].requestMirror.backendRef");
            let destination = self.destination(&path, &to);
            out.push(Mirror { destination, percent: filter::mirrored(f) });
        }
        out.retain(|m| m.percent > 0.0 && !m.destination.is_nowhere());
        out
    }

    /// Whether some filter is not served; says so.
    fn unserved(&mut self, path: &str, filters: &[api::HttpRouteFilter]) -> bool {
        let mut any = false;
        for (i, f) in filters.iter().enumerate() {
            let path = format!("{path}.filters[{i}]");
            if let Some(extension) = &f.extension_ref {
                self.no_extension(&format!("{path}.extensionRef"), extension);
                any = true;
            }
        }
        any
    }

    /// Whom filters ask whether requests may pass.
    fn external_auth(&mut self, path: &str, filters: &[api::HttpRouteFilter]) -> Vec<ExternalAuth> {
        let mut out = Vec::new();
        for (i, f) in filters.iter().enumerate() {
            let Some(f) = &f.external_auth else { continue };
            let api::ExternalAuthFilter { protocol, backend_ref, grpc, http, forward_body } = f;
            let api::BackendObjectReference { group, kind, name, namespace, port } = backend_ref;
            let to = BackendName { group: group.as_deref(), kind, name, namespace, port: *port };
            let destination = self.destination(&format!("{path}.filters[{i}].externalAuth.backendRef"), &to);
            let lower = |names: &[String]| names.iter().map(|n| n.to_ascii_lowercase()).collect();
            let (protocol, headers) = match protocol {
                Some(api::ExternalAuthProtocol::Http) => {
                    let http = http.clone().unwrap_or_default();
                    let api::HttpAuthConfig { path, allowed_headers, allowed_response_headers } = http;
                    let answered = lower(&allowed_response_headers);
                    let prefix = match path.trim_matches('/') {
                        "" => String::new(),
                        path => format!("/{path}"),
                    };
                    (AuthProtocol::Http { prefix, answered }, lower(&allowed_headers))
                }
                Some(api::ExternalAuthProtocol::Grpc) | None => {
                    let api::GrpcAuthConfig { allowed_headers } = grpc.clone().unwrap_or_default();
                    (AuthProtocol::Grpc, lower(&allowed_headers))
                }
            };
            let body = forward_body.as_ref().and_then(|api::ForwardBodyConfig { max_size }| *max_size);
            out.push(ExternalAuth { destination, protocol, headers, body: body.filter(|most| *most > 0) });
        }
        out
    }

    fn no_extension(&mut self, path: &str, extension: &api::LocalObjectReference) {
        let api::LocalObjectReference { group, kind, name } = extension;
        let group = group.as_deref().unwrap_or_default();
        let message = format!("there is no filter {kind} {name} of {group:?} here, so requests get 500");
        self.problem(path, "InvalidKind", true, message);
    }
}

fn effects(filters: &[api::HttpRouteFilter], block: &HttpMatch) -> Effects {
    let mut out = Effects::default();
    for f in filters {
        let api::HttpRouteFilter {
            filter_type: _, // the field that it names is the one that is there
            request_header_modifier,
            response_header_modifier,
            request_mirror: _, // see `mirrors`
            request_redirect,
            url_rewrite,
            cors,
            external_auth: _, // see `external_auth`
            extension_ref: _, // see `unserved`
        } = f;
        if let Some(change) = request_header_modifier {
            filter::request_headers(change, &mut out.headers);
        }
        if let Some(change) = response_header_modifier {
            filter::response_headers(change, &mut out.headers);
        }
        if let Some(redirect) = request_redirect {
            out.redirect = Some(filter::redirect(redirect, block.uri.as_ref()));
        }
        if let Some(rewrite) = url_rewrite {
            out.rewrite = Some(filter::rewrite(rewrite, block.uri.as_ref()));
        }
        if let Some(policy) = cors {
            out.cors = Some(filter::cors(policy));
        }
    }
    out
}

/// One destination with its share; `None` for a share of nothing.
fn weighted(
    destination: Destination,
    weight: Option<i32>,
    headers: HeaderOps,
) -> Option<WeightedDestination> {
    let weight = u32::try_from(weight.unwrap_or(1)).unwrap_or_default();
    (weight > 0).then_some(WeightedDestination { destination, weight, headers })
}

/// Time for the whole request, and retries. A limit for each try without retries of its own keeps the usual retries.
fn limits(
    timeouts: Option<&api::HttpRouteTimeouts>,
    retry: Option<&api::HttpRouteRetry>,
) -> (Option<std::time::Duration>, Option<Retry>) {
    let limit = |d: Option<&tulle_api::value::WrittenDuration>| d.map(|d| d.get()).filter(|d| !d.is_zero());
    let (whole, each) = match timeouts {
        Some(api::HttpRouteTimeouts { request, backend_request }) => {
            (limit(request.as_ref()), limit(backend_request.as_ref()))
        }
        None => (None, None),
    };
    let plain = Retry {
        attempts: ATTEMPTS,
        per_try_timeout: each,
        retry_on: String::new(),
        remote_localities: false,
        ignore_previous_hosts: None,
        backoff: None,
    };
    let retries = match retry {
        Some(api::HttpRouteRetry { codes, attempts, backoff }) => {
            let mut retry_on = RETRY_ON.to_owned();
            codes.iter().for_each(|code| retry_on.push_str(&format!(",{code}")));
            Some(Retry {
                attempts: attempts.and_then(|a| u32::try_from(a).ok()).unwrap_or(ATTEMPTS),
                retry_on,
                backoff: limit(backoff.as_ref()),
                ..plain
            })
        }
        None => each.map(|_| plain),
    };
    (whole, retries)
}
