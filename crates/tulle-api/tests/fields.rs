//! The tables of Istio's kinds have every field of Istio's API and no other; `istio-fields.txt` lists them.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use expect_test::expect_file;
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
