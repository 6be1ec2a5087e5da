//! What the service of `envoy.filters.http.ext_authz` is asked. What its answers mean is in [`answer`].

pub mod answer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tulle_http::{HeaderList, Known, RequestHead};
use tulle_proto::envoy::{auth, core, google};

use super::matcher;
use super::view::Connection;
use crate::runtime::ext_authz::{AuthBody, AuthPath, ExtAuthz, ExtAuthzChange, HttpAuth};
use crate::runtime::listener::NetworkExtAuthz;
use crate::runtime::matcher::StringMatcher;
use crate::runtime::metadata::Metadata;

/// Says whether the service sees only the beginning of the body.
const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";

/// A request that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// The client's connection.
    pub connection: &'a Connection<'a>,
    /// What is sent of its body, and whether that is only the beginning; `None` where bodies are not sent.
    pub body: Option<(&'a [u8], bool)>,
    /// Bytes of the body that have come so far.
    pub size: u64,
    /// A number for it.
    pub id: u64,
    /// When it began.
    pub start: SystemTime,
    /// Its metadata.
    pub metadata: Option<&'a Metadata>,
    /// That of its route.
    pub route_metadata: Option<&'a Metadata>,
}

/// How bodies are sent for requests of a route.
pub fn body_settings(filter: &ExtAuthz, change: Option<&ExtAuthzChange>) -> Option<AuthBody> {
    change.and_then(|change| change.body).unwrap_or(filter.body)
}

/// Whether the service is to be asked at all. `random` is any number.
pub fn is_enabled(filter: &ExtAuthz, metadata: Option<&Metadata>, random: u64) -> bool {
    let none = Metadata::new();
    filter.enabled.hits(random)
        && filter
            .enabled_metadata
            .as_ref()
            .is_none_or(|wanted| matcher::metadata(wanted, metadata.unwrap_or(&none)))
}

/// The question as `Authorization/Check` takes it.
pub fn check_request(
    filter: &ExtAuthz,
    change: Option<&ExtAuthzChange>,
    question: &Question<'_>,
) -> auth::CheckRequest {
    use auth::attribute_context::{Request, TlsSession};
    let Question { connection, start, metadata, route_metadata, .. } = *question;
    let since = start.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = google::Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    };
    let request = Request {
        time: Some(time),
        http: Some(http_request(filter, body_settings(filter, change), question)),
    };
    let sni = filter.tls_session && connection.tls.is_some();
    let attributes = auth::AttributeContext {
        source: Some(source(question)),
        destination: Some(destination(connection)),
        request: Some(request),
        context_extensions: change
            .map(|change| change.extensions.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
            .unwrap_or_default(),
        metadata_context: Some(of_namespaces(metadata, &filter.metadata)),
        route_metadata_context: Some(of_namespaces(route_metadata, &filter.route_metadata)),
        tls_session: sni.then(|| TlsSession { sni: connection.server_name.to_owned() }),
    };
    auth::CheckRequest { attributes: Some(attributes) }
}

/// The question about a connection.
pub fn connection_request(
    filter: &NetworkExtAuthz,
    connection: &Connection<'_>,
    metadata: &Metadata,
) -> auth::CheckRequest {
    use auth::attribute_context::{Peer, TlsSession};
    let sni = filter.tls_session && connection.tls.is_some();
    let source = Peer {
        address: Some(address(connection.remote)),
        principal: principal(connection).to_owned(),
        ..Peer::default()
    };
    let attributes = auth::AttributeContext {
        source: Some(source),
        destination: Some(destination(connection)),
        metadata_context: Some(of_namespaces(Some(metadata), &filter.metadata)),
        tls_session: sni.then(|| TlsSession { sni: connection.server_name.to_owned() }),
        ..auth::AttributeContext::default()
    };
    auth::CheckRequest { attributes: Some(attributes) }
}

/// The client's name, as its certificate says; empty without one.
fn principal<'a>(connection: &Connection<'a>) -> &'a str {
    connection.verified_peer().map_or("", |peer| {
        peer.uri_sans.first().or_else(|| peer.dns_sans.first()).copied().unwrap_or(peer.subject)
    })
}

fn source(question: &Question<'_>) -> auth::attribute_context::Peer {
    let Question { connection, head, .. } = question;
    auth::attribute_context::Peer {
        address: Some(address(connection.remote)),
        service: head.headers.get_str("x-envoy-downstream-service-cluster").unwrap_or_default().to_owned(),
        principal: principal(connection).to_owned(),
        ..Default::default()
    }
}

fn destination(connection: &Connection<'_>) -> auth::attribute_context::Peer {
    auth::attribute_context::Peer {
        address: Some(address(connection.local)),
        principal: connection.tls.map_or("", |tls| tls.local_uri_san).to_owned(),
        ..Default::default()
    }
}

fn address(address: std::net::SocketAddr) -> core::Address {
    use core::{address::Address, socket_address::PortSpecifier};
    let socket = core::SocketAddress {
        address: address.ip().to_canonical().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(address.port().into())),
        ..Default::default()
    };
    core::Address { address: Some(Address::SocketAddress(socket)) }
}

fn of_namespaces(metadata: Option<&Metadata>, names: &[Arc<str>]) -> core::Metadata {
    let found = names.iter().filter_map(|name| metadata?.get(name).map(|fields| (name, fields)));
    core::Metadata {
        filter_metadata: found
            .map(|(name, fields)| (name.to_string(), super::metadata::message(fields)))
            .collect(),
        ..Default::default()
    }
}

fn http_request(
    filter: &ExtAuthz,
    settings: Option<AuthBody>,
    question: &Question<'_>,
) -> auth::attribute_context::HttpRequest {
    let Question { head, body, size, id, .. } = question;
    let mut headers: HashMap<String, String> = HashMap::new();
    let pseudo = [
        (":method", head.method.as_str()),
        (":scheme", head.scheme.as_str()),
        (":authority", &head.authority),
        (":path", &head.path),
    ];
    for (name, value) in pseudo {
        if is_allowed(filter, name) {
            headers.insert(name.to_owned(), value.to_owned());
        }
    }
    let listed = joined(&head.headers, |name| is_allowed(filter, name));
    headers.extend(listed.into_iter().map(|(name, value)| (name, sanitized(&value))));
    if let Some((_, partial)) = body {
        headers.insert(PARTIAL_BODY.to_owned(), partial.to_string());
    }
    let bytes = body.map_or(&b""[..], |(bytes, _)| bytes);
    let as_bytes = settings.is_some_and(|settings| settings.as_bytes);
    auth::attribute_context::HttpRequest {
        id: id.to_string(),
        method: head.method.as_str().to_owned(),
        headers,
        path: head.path.clone(),
        host: head.authority.clone(),
        scheme: head.scheme.as_str().to_owned(),
        size: i64::try_from(*size).unwrap_or(i64::MAX),
        protocol: head.version.as_str().to_owned(),
        body: if as_bytes { String::new() } else { sanitized(bytes) },
        raw_body: if as_bytes { bytes.to_vec() } else { Vec::new() },
        ..Default::default()
    }
}

fn is_allowed(filter: &ExtAuthz, name: &str) -> bool {
    filter.allowed.as_ref().is_none_or(|list| any(list, name)) && !any(&filter.disallowed, name)
}

/// Whether a pattern of the list matches.
fn any(list: &[StringMatcher], name: &str) -> bool {
    list.iter().any(|pattern| matcher::string(pattern, name.as_bytes()))
}

/// The wanted fields by name in lower case; several of a name become one with commas.
fn joined(headers: &HeaderList, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<u8>> {
    let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for field in headers.iter() {
        let name = field.name_str().to_ascii_lowercase();
        // A client does not say whether its body is complete.
        if name == PARTIAL_BODY || !wanted(&name) {
            continue;
        }
        match all.entry(name) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(field.value.to_vec());
            }
            std::collections::btree_map::Entry::Occupied(mut slot) => {
                slot.get_mut().push(b',');
                slot.get_mut().extend_from_slice(field.value);
            }
        }
    }
    all
}

/// The text, with `!` for each byte that makes it none.
fn sanitized(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '!'));
    }
    out
}

/// The question as an HTTP server takes it; its body is that of the question. Fields of the configuration are still to be added.
pub fn http_head(filter: &ExtAuthz, service: &HttpAuth, question: &Question<'_>) -> RequestHead {
    let Question { head: asked, body, .. } = question;
    let mut head = RequestHead {
        method: asked.method,
        scheme: asked.scheme,
        authority: asked.authority.clone(),
        path: match &service.path {
            AuthPath::Prefix(prefix) => format!("{prefix}{}", asked.path),
            AuthPath::Fixed(path) => path.to_string(),
        },
        ..RequestHead::default()
    };
    let wanted = |name: &str| {
        let listed = filter.allowed.as_ref().is_some_and(|list| any(list, name))
            || any(&service.allowed, name)
            || name == "authorization";
        listed && !any(&filter.disallowed, name) && !["content-length", "expect"].contains(&name)
    };
    for (name, value) in joined(&asked.headers, wanted) {
        head.headers.append(name.as_str(), sanitized(&value).as_bytes());
    }
    let length = body.map_or(0, |(bytes, _)| bytes.len());
    head.headers.set(Known::ContentLength, length.to_string().as_bytes());
    if let Some((_, partial)) = body {
        head.headers.set(PARTIAL_BODY, partial.to_string().as_bytes());
    }
    head
}
