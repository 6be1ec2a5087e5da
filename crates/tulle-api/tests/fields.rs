//! The tables of Istio's kinds have every field of Istio's API and no other; `istio-fields.txt` lists them.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::BTreeMap;

use tulle_api::Kind;
use tulle_api::schema::{FieldInfo, Notice, RecordInfo, TypeInfo};

/// Every field below a record, by path: `http[].match[].headers{}`.
fn flatten(info: &RecordInfo, above: &str, out: &mut BTreeMap<String, FieldInfo>) {
    for field in info.fields.iter().chain(info.oneofs.iter().flat_map(|g| g.members)) {
        add(field, above, out);
    }
}

fn add(field: &FieldInfo, above: &str, out: &mut BTreeMap<String, FieldInfo>) {
    let mut path = format!("{above}{}", field.name);
    let mut ty = field.ty;
    loop {
        match ty {
            TypeInfo::List(of) => {
                path.push_str("[]");
                ty = *of;
            }
            TypeInfo::Map(of) => {
                path.push_str("{}");
                ty = *of;
            }
            _ => break,
        }
    }
    out.insert(path.clone(), *field);
    path.push('.');
    match ty {
        TypeInfo::Record(info) => flatten(info, &path, out),
        TypeInfo::Oneof(info) => info.members.iter().for_each(|m| add(m, &path, out)),
        _ => {}
    }
}

fn innermost(ty: &TypeInfo) -> &TypeInfo {
    match ty {
        TypeInfo::List(of) | TypeInfo::Map(of) => innermost(of),
        other => other,
    }
}

/// Whether a type of the table is the one that Istio's API has.
fn agrees(ty: &TypeInfo, listed: &str) -> bool {
    let listed = listed
        .strip_prefix("map<")
        .and_then(|m| m.strip_suffix('>'))
        .and_then(|m| m.split_once(','))
        .map_or(listed, |(_, v)| v);
    let bits = |min: i128, max: i128| matches!(innermost(ty), TypeInfo::Int { min: a, max: b } if *a == min && *b == max);
    match listed {
        "string" => matches!(innermost(ty), TypeInfo::String),
        "bool" | "BoolValue" => matches!(innermost(ty), TypeInfo::Bool),
        "int32" => bits(i32::MIN.into(), i32::MAX.into()),
        "uint32" | "UInt32Value" => bits(0, u32::MAX.into()),
        "uint64" | "UInt64Value" => bits(0, u64::MAX.into()),
        "double" | "DoubleValue" => matches!(innermost(ty), TypeInfo::Double),
        "Duration" => matches!(innermost(ty), TypeInfo::Duration),
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
    for kind in Kind::ALL.iter().filter(|k| k.info().group.ends_with("istio.io")) {
        let mut fields = BTreeMap::new();
        flatten(kind.info().record, "", &mut fields);
        counts.insert(kind.info().kind, fields.len());
        for line in listed.lines() {
            let parts: Vec<&str> = line.splitn(3, ' ').collect();
            if parts[0] != kind.info().kind {
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
                problems.push(format!("{} {path}: is not in Istio's API", kind.info().kind));
            }
        }
    }
    assert_eq!(problems, Vec::<String>::new());
    let expected = [
        ("AuthorizationPolicy", 46),
        ("DestinationRule", 377),
        ("Gateway", 32),
        ("PeerAuthentication", 6),
        ("RequestAuthentication", 29),
        ("ServiceEntry", 21),
        ("Sidecar", 92),
        ("Telemetry", 54),
        ("VirtualService", 175),
        ("WorkloadEntry", 7),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
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
