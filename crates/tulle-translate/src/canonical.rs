//! One byte string for equal messages.
//!
//! Protobuf leaves the order of map entries open, and the generated types keep maps in hash tables whose order differs
//! from run to run. Here the entries of every map that this crate fills are put in order of their keys, on the encoded
//! bytes, also inside of `Any`.

use tulle_proto::wire::{Field, put};

/// The fields of a message that are, or lead to, maps.
type Fields = &'static [(u64, Shape)];

#[derive(Clone, Copy)]
enum Shape {
    /// A message.
    Message(&'static Fields),
    /// A map to messages with these fields.
    Map(&'static Fields),
    /// `google.protobuf.Any`, or a map to it (entries have the same layout as any map's).
    Any,
    /// A map to `Any`.
    MapAny,
}

use Shape::{Any, Map, MapAny, Message};

static NONE: Fields = &[];
static STRUCT: Fields = &[(1, Map(&VALUE))];
static VALUE: Fields = &[(5, Message(&STRUCT)), (6, Message(&LIST))];
static LIST: Fields = &[(1, Message(&VALUE))];
static METADATA: Fields = &[(1, Map(&STRUCT)), (2, MapAny)];
static EXTENSION: Fields = &[(2, Any)];
/// `Filter`, `HttpFilter`, `AccessLog`.
static FILTER: Fields = &[(4, Any)];
static LISTENER_FILTER: Fields = &[(3, Any)];
static TRANSPORT_SOCKET: Fields = &[(3, Any)];
static FILTER_CHAIN: Fields =
    &[(3, Message(&FILTER)), (5, Message(&METADATA)), (6, Message(&TRANSPORT_SOCKET))];
static LISTENER: Fields = &[
    (3, Message(&FILTER_CHAIN)),
    (6, Message(&METADATA)),
    (9, Message(&LISTENER_FILTER)),
    (22, Message(&FILTER)),
    (25, Message(&FILTER_CHAIN)),
];
static HCM: Fields = &[(4, Message(&ROUTE_CONFIGURATION)), (5, Message(&FILTER)), (13, Message(&FILTER))];
static TCP_PROXY: Fields = &[(5, Message(&FILTER)), (9, Message(&METADATA))];
static ROUTE_CONFIGURATION: Fields = &[(2, Message(&VIRTUAL_HOST)), (16, MapAny), (17, Message(&METADATA))];
static VIRTUAL_HOST: Fields = &[(3, Message(&ROUTE)), (15, MapAny), (24, Message(&METADATA))];
static ROUTE: Fields = &[(2, Message(&ROUTE_ACTION)), (4, Message(&METADATA)), (13, MapAny)];
static ROUTE_ACTION: Fields = &[(3, Message(&WEIGHTED)), (4, Message(&METADATA))];
static WEIGHTED: Fields = &[(1, Message(&CLUSTER_WEIGHT))];
static CLUSTER_WEIGHT: Fields = &[(3, Message(&METADATA)), (10, MapAny)];
static CLUSTER: Fields = &[
    (24, Message(&TRANSPORT_SOCKET)),
    (25, Message(&METADATA)),
    (33, Message(&ASSIGNMENT)),
    (36, MapAny),
    (43, Message(&SOCKET_MATCH)),
];
static SOCKET_MATCH: Fields = &[(2, Message(&STRUCT)), (3, Message(&TRANSPORT_SOCKET))];
static ASSIGNMENT: Fields = &[(2, Message(&LOCALITY))];
static LOCALITY: Fields = &[(2, Message(&LB_ENDPOINT)), (9, Message(&METADATA))];
static LB_ENDPOINT: Fields = &[(3, Message(&METADATA))];
static RBAC_FILTER: Fields = &[(1, Message(&RBAC)), (2, Message(&RBAC))];
static RBAC: Fields = &[(2, Map(&NONE))];
/// `JwtAuthentication.providers`.
static JWT: Fields = &[(1, Map(&NONE))];
/// `FileAccessLog.log_format.json_format`.
static FILE_LOG: Fields = &[(5, Message(&LOG_FORMAT))];
static LOG_FORMAT: Fields = &[(2, Message(&STRUCT))];
static NAME_TABLE: Fields = &[(1, Map(&NONE))];

/// What is known of messages by type URL. Types that are not listed have no maps that this crate fills.
fn fields_of(type_url: &str) -> Fields {
    match type_url.rsplit('/').next().unwrap_or_default() {
        "envoy.config.listener.v3.Listener" => LISTENER,
        "envoy.config.cluster.v3.Cluster" => CLUSTER,
        "envoy.config.endpoint.v3.ClusterLoadAssignment" => ASSIGNMENT,
        "envoy.config.route.v3.RouteConfiguration" => ROUTE_CONFIGURATION,
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => HCM,
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" => TCP_PROXY,
        "envoy.extensions.filters.http.rbac.v3.RBAC" | "envoy.extensions.filters.network.rbac.v3.RBAC" => {
            RBAC_FILTER
        }
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" => JWT,
        "envoy.extensions.access_loggers.file.v3.FileAccessLog" => FILE_LOG,
        "istio.networking.nds.v1.NameTable" => NAME_TABLE,
        "envoy.config.core.v3.TypedExtensionConfig" => EXTENSION,
        _ => NONE,
    }
}

/// The canonical form of an encoded message. Bytes that are not protobuf come back unchanged.
pub fn canonical(type_url: &str, bytes: &[u8]) -> Vec<u8> {
    message(fields_of(type_url), bytes).unwrap_or_else(|| bytes.to_vec())
}

fn message(fields: Fields, bytes: &[u8]) -> Option<Vec<u8>> {
    if fields.is_empty() {
        return Some(bytes.to_vec());
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut entries: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let field = Field::read(&mut rest)?;
        let shape = fields.iter().find(|(n, _)| *n == field.number).map(|(_, s)| *s);
        if entries.last().is_some_and(|(n, _)| *n != field.number) {
            flush(&mut entries, &mut out);
        }
        match (shape, field.content) {
            (Some(Message(inner)), Some(content)) => put(field.number, &message(inner, content)?, &mut out),
            (Some(Any), Some(content)) => put(field.number, &any(content)?, &mut out),
            (Some(Map(inner)), Some(content)) => {
                entries.push((field.number, entry(content, |value| message(inner, value))?));
            }
            (Some(MapAny), Some(content)) => entries.push((field.number, entry(content, any)?)),
            (_, _) => out.extend_from_slice(field.raw),
        }
    }
    flush(&mut entries, &mut out);
    Some(out)
}

/// Writes the entries of a map in the order of their bytes, which begin with the key.
fn flush(entries: &mut Vec<(u64, Vec<u8>)>, out: &mut Vec<u8>) {
    entries.sort_by(|a, b| key_of(&a.1).cmp(key_of(&b.1)));
    for (number, bytes) in entries.drain(..) {
        put(number, &bytes, out);
    }
}

fn key_of(entry: &[u8]) -> &[u8] {
    let mut rest = entry;
    match Field::read(&mut rest) {
        Some(field) if field.number == 1 => field.content.unwrap_or_default(),
        _ => &[],
    }
}

fn entry(bytes: &[u8], value: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let field = Field::read(&mut rest)?;
        match (field.number, field.content) {
            (2, Some(content)) => put(2, &value(content)?, &mut out),
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(out)
}

fn any(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut url = "";
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let field = Field::read(&mut rest)?;
        match (field.number, field.content) {
            (1, Some(content)) => {
                url = std::str::from_utf8(content).ok()?;
                out.extend_from_slice(field.raw);
            }
            (2, Some(content)) => put(2, &message(fields_of(url), content)?, &mut out),
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use prost::Message as _;
    use tulle_proto::envoy::cluster::Cluster;
    use tulle_proto::envoy::core::Metadata;

    use super::*;
    use crate::pb::{istio_metadata, object, text};

    fn cluster() -> Cluster {
        let fields: HashMap<_, _> =
            (0..20).map(|i| (format!("k{i}"), object([("a", text("1")), ("b", text("2"))]))).collect();
        let mut metadata: Metadata = istio_metadata(fields).unwrap();
        metadata.filter_metadata.insert("another".into(), Default::default());
        Cluster { name: "c".into(), metadata: Some(metadata), ..Default::default() }
    }

    #[test]
    fn equal_messages_have_equal_bytes_and_stay_what_they_are() {
        let url = tulle_proto::type_url::CLUSTER;
        let first = canonical(url, &cluster().encode_to_vec());
        for _ in 0..10 {
            assert_eq!(canonical(url, &cluster().encode_to_vec()), first);
        }
        assert_eq!(Cluster::decode(first.as_slice()).unwrap(), cluster());
        assert_eq!(canonical(url, &[0xff]), [0xff], "not protobuf");
    }
}
