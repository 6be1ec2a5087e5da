//! The tables have every field of Istio's API and the Gateway API and no other; `istio-fields.txt` lists them.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use expect_test::expect_file;
use tulle_api::Kind;
use tulle_api::kind::KindInfo;
use tulle_api::mesh::{MeshConfig, MeshNetworks};
use tulle_api::schema::{FieldInfo, Notice, Record, RecordInfo, TypeInfo};

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

/// The tables that `istio-fields.txt` lists, by its names for them.
fn tables() -> Vec<(String, &'static RecordInfo)> {
    let kinds = Kind::ALL.iter().map(|k| k.info()).filter(|i| i.kind != "IstioOperator");
    let name = |i: &KindInfo| match i.group {
        g if g.starts_with("gateway.networking.") => Some(format!("gwapi/{}", i.kind)),
        g if g.ends_with("istio.io") => Some(i.kind.to_owned()),
        _ => None,
    };
    kinds
        .filter_map(|i| Some((name(i)?, i.record)))
        .chain([
            ("MeshConfig".to_owned(), &MeshConfig::INFO),
            ("MeshNetworks".to_owned(), &MeshNetworks::INFO),
        ])
        .collect()
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

/// `docs/fields.md` says what the tables say; `UPDATE_EXPECT=1` writes it anew.
#[test]
fn the_ledger_is_up_to_date() {
    let mut out = String::from(
        "# Every field that is read\n\n\
         Made from the tables of `tulle-api` by `UPDATE_EXPECT=1 cargo test -p tulle-api --test fields`. A field without note is\n\
         read, checked and kept; which of them the proxies apply is the next column to come.\n",
    );
    for kind in Kind::ALL {
        let info = kind.info();
        let mut fields = BTreeMap::new();
        flatten(info.record, "", &mut fields);
        let group = if info.group.is_empty() { "core" } else { info.group };
        writeln!(out, "\n## {} ({group} {})\n", info.kind, info.versions.join(", ")).unwrap();
        writeln!(out, "{} fields.\n\n| field | type | meaning | note |\n|---|---|---|---|", fields.len())
            .unwrap();
        once(info.record, "", &mut BTreeMap::new(), &mut out);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fields.md");
    expect_file![file].assert_eq(&out);
}

/// Writes the fields below a record in the order of the listing; a record that came before is named, not repeated.
fn once(info: &RecordInfo, above: &str, seen: &mut BTreeMap<&'static str, String>, out: &mut String) {
    for field in info.fields.iter().chain(info.oneofs.iter().flat_map(|g| g.members)) {
        once_field(field, above, seen, out);
    }
}

fn once_field(field: &FieldInfo, above: &str, seen: &mut BTreeMap<&'static str, String>, out: &mut String) {
    let mut one = BTreeMap::new();
    add(&FieldInfo { ty: shallow(&field.ty), ..*field }, above, &mut one);
    let path = one.into_keys().next().unwrap();
    let (name, below) = match innermost(&field.ty) {
        TypeInfo::Record(info) => (Some(info.name), info.fields.len() + info.oneofs.len() > 1),
        TypeInfo::Oneof(info) => (Some(info.name), true),
        _ => (None, false),
    };
    let first = match name {
        Some("PodTemplateSpec") => Some("Pod".to_owned()),
        Some(name) if below => seen.get(name).cloned(),
        _ => None,
    };
    let meaning = field.doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let mut note = note(field);
    if let Some(first) = &first {
        note = format!("{note}{}fields as in `{first}`", if note.is_empty() { "" } else { "; " });
    }
    writeln!(out, "| `{path}` | {} | {meaning} | {note} |", type_name(&field.ty)).unwrap();
    if first.is_some() {
        return;
    }
    name.map(|name| seen.insert(name, path.clone()));
    let below = format!("{path}.");
    match innermost(&field.ty) {
        TypeInfo::Record(info) => once(info, &below, seen, out),
        TypeInfo::Oneof(info) => info.members.iter().for_each(|m| once_field(m, &below, seen, out)),
        _ => {}
    }
}

/// The type without what is below it, so that its path alone is made.
fn shallow(ty: &TypeInfo) -> TypeInfo {
    const TEXT: &TypeInfo = &TypeInfo::String;
    match ty {
        TypeInfo::List(TypeInfo::List(_)) => TypeInfo::List(&TypeInfo::List(TEXT)),
        TypeInfo::List(_) => TypeInfo::List(TEXT),
        TypeInfo::Map(_) => TypeInfo::Map(TEXT),
        _ => TypeInfo::String,
    }
}

fn note(field: &FieldInfo) -> String {
    let notice = match field.notice {
        Notice::None => String::new(),
        Notice::Deprecated(instead) => format!("deprecated: {instead}"),
        Notice::NotPortable(meaning) => format!("not portable: {meaning}"),
        Notice::NoEffect(reason) => format!("no effect: {reason}"),
        Notice::Planned(missing) => format!("planned: {missing}"),
    };
    match (field.required, notice.is_empty()) {
        (true, true) => "required".to_owned(),
        (true, false) => format!("required; {notice}"),
        (false, _) => notice,
    }
}

fn type_name(ty: &TypeInfo) -> String {
    match ty {
        TypeInfo::String => "text".to_owned(),
        TypeInfo::Bytes => "base64".to_owned(),
        TypeInfo::Bool => "boolean".to_owned(),
        TypeInfo::Int { min, max } => format!("integer, {min} to {max}"),
        TypeInfo::Double => "number".to_owned(),
        TypeInfo::Duration => "duration".to_owned(),
        TypeInfo::Timestamp => "time".to_owned(),
        TypeInfo::IntOrString => "number or text".to_owned(),
        TypeInfo::Json => "any".to_owned(),
        TypeInfo::Enum(words) => words.join(", "),
        TypeInfo::List(of) => format!("list of {}", type_name(of)),
        TypeInfo::Map(of) => format!("map of {}", type_name(of)),
        TypeInfo::Record(info) => info.name.to_owned(),
        TypeInfo::Oneof(info) => info.name.to_owned(),
    }
}
