//! The tables of fields as flat lists, for the tests that compare them with others.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;

use tulle_api::Kind;
use tulle_api::kind::KindInfo;
use tulle_api::mesh::{MeshConfig, MeshNetworks};
use tulle_api::schema::{FieldInfo, Record, RecordInfo, TypeInfo};

/// Every field below a record, by path: `http[].match[].headers{}`.
pub(crate) fn flatten(info: &RecordInfo, above: &str, out: &mut BTreeMap<String, FieldInfo>) {
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
pub(crate) fn tables() -> Vec<(String, &'static RecordInfo)> {
    let kinds = Kind::ALL.iter().map(|k| k.info()).filter(|i| i.kind != "IstioOperator");
    let name = |i: &KindInfo| match i.group {
        g if g.starts_with("gateway.networking.") => Some(format!("gwapi/{}", i.kind)),
        g if g.ends_with("istio.io") => Some(i.kind.to_owned()),
        _ => None,
    };
    kinds
        .filter_map(|i| Some((name(i)?, i.record)))
        .chain([("MeshConfig".to_owned(), MeshConfig::INFO), ("MeshNetworks".to_owned(), MeshNetworks::INFO)])
        .collect()
}

pub(crate) fn innermost(ty: &TypeInfo) -> &TypeInfo {
    match ty {
        TypeInfo::List(of) | TypeInfo::Map(of) => innermost(of),
        other => other,
    }
}
