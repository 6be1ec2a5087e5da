//! The tables have every field of Istio's API and the Gateway API and no other; `istio-fields.txt` lists them.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod tables;

use std::collections::BTreeMap;

use tables::{flatten, innermost, tables};
use tulle_api::Kind;
use tulle_api::schema::{Notice, TypeInfo};

/// Whether a type of the table is the one that Istio's API has.
fn agrees(ty: &TypeInfo, listed: &str) -> bool {
    let listed = listed
        .strip_prefix("map<")
        .and_then(|m| m.strip_suffix('>'))
        .and_then(|m| m.split_once(','))
        .map_or(listed, |(_, v)| v);
    let bits = |min: i128, max: i128| matches!(innermost(ty), TypeInfo::Int { min: a, max: b } if *a == min && *b == max);
    match listed {
        // The Gateway API writes words as text.
        "string" => matches!(innermost(ty), TypeInfo::String | TypeInfo::Enum(_)),
        "bool" | "BoolValue" | "boolean" => matches!(innermost(ty), TypeInfo::Bool),
        "integer" => matches!(innermost(ty), TypeInfo::Int { .. }),
        "int64" | "Int64Value" => bits(i64::MIN.into(), i64::MAX.into()),
        "int32" | "Int32Value" => bits(i32::MIN.into(), i32::MAX.into()),
        "uint32" | "UInt32Value" => bits(0, u32::MAX.into()),
        "uint64" | "UInt64Value" => bits(0, u64::MAX.into()),
        "double" | "DoubleValue" => matches!(innermost(ty), TypeInfo::Double),
        "Duration" | "Duration(GEP-2257)" => matches!(innermost(ty), TypeInfo::Duration),
        "Struct" => matches!(innermost(ty), TypeInfo::Json),
        "bytes" => matches!(innermost(ty), TypeInfo::Bytes),
        "enum" => matches!(innermost(ty), TypeInfo::Enum(_)),
        "unknown" => true,
        _ => matches!(innermost(ty), TypeInfo::Record(_) | TypeInfo::Oneof(_)),
    }
}

#[test]
fn every_field_is_there_with_its_type() {
    let listed = include_str!("istio-fields.txt");
    let mut problems = Vec::new();
    let mut counts = BTreeMap::new();
    for (kind, record) in tables() {
        let mut fields = BTreeMap::new();
        flatten(record, "", &mut fields);
        counts.insert(kind.clone(), fields.len());
        for line in listed.lines() {
            let parts: Vec<&str> = line.splitn(3, ' ').collect();
            if parts[0] != kind {
                continue;
            }
            match fields.remove(parts[1]) {
                None => problems.push(format!("{line}: is missing")),
                Some(field) if !agrees(&field.ty, parts[2]) => {
                    problems.push(format!("{line}: is {:?}", field.ty))
                }
                Some(_) => {}
            }
        }
        // What is ours alone must say so.
        for (path, field) in fields {
            let below_ours = path.contains("retries.");
            if !matches!(field.notice, Notice::NotPortable(_) | Notice::NoEffect(_)) && !below_ours {
                problems.push(format!("{kind} {path}: is not in the API"));
            }
        }
    }
    assert_eq!(problems, Vec::<String>::new());
    let expected = [
        ("AuthorizationPolicy", 46),
        ("DestinationRule", 377),
        ("EnvoyFilter", 58),
        ("Gateway", 32),
        ("MeshConfig", 509),
        ("MeshNetworks", 9),
        ("PeerAuthentication", 6),
        ("ProxyConfig", 6),
        ("RequestAuthentication", 29),
        ("ServiceEntry", 21),
        ("Sidecar", 92),
        ("Telemetry", 54),
        ("TrafficExtension", 30),
        ("VirtualService", 175),
        ("WasmPlugin", 32),
        ("WorkloadEntry", 7),
        ("WorkloadGroup", 33),
        ("gwapi/BackendTLSPolicy", 17),
        ("gwapi/GRPCRoute", 102),
        ("gwapi/Gateway", 72),
        ("gwapi/GatewayClass", 7),
        ("gwapi/HTTPRoute", 189),
        ("gwapi/ListenerSet", 30),
        ("gwapi/ReferenceGrant", 8),
        ("gwapi/TCPRoute", 17),
        ("gwapi/TLSRoute", 18),
        ("gwapi/UDPRoute", 17),
        ("gwapi/XBackend", 25),
        ("gwapi/XBackendTrafficPolicy", 20),
        ("gwapi/XMesh", 7),
    ];
    assert_eq!(counts.iter().map(|(k, n)| (k.as_str(), *n)).collect::<Vec<_>>(), expected);
}

#[test]
fn every_field_is_documented() {
    for kind in Kind::ALL {
        let mut fields = BTreeMap::new();
        flatten(kind.info().record, "", &mut fields);
        for (path, field) in fields {
            assert!(field.doc.trim().len() > 2, "{} {path}", kind.info().kind);
        }
    }
}
