//! Which fields change what proxies are told. Each field of Istio's documents and of the Gateway API's in the inputs is taken away, or changed where
//! it must be there; where the answer differs, the field is in `effects.txt`, with the input that shows it. `UPDATE=1`
//! writes the list anew; `docs/fields.md` is made from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tulle_api::mesh::{MeshConfig, MeshNetworks, read_config_map};
use tulle_api::schema::{Field as _, Record, RecordInfo, TypeInfo};
use tulle_api::{Object, Spec};
use tulle_base::Severity;
use tulle_translate::View;

use super::{golden, proxies, resources, snapshot_of};

/// At most this many places of one field are tried in an input.
const TRIES: usize = 4;

/// A field as the tables write it, and the way to one of its places in a document.
type Place = (String, Vec<Value>);

#[test]
fn every_listed_field_has_its_effect() {
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(golden()).unwrap().map(|e| e.unwrap().path()).collect();
    inputs.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    inputs.sort();
    let mut seen = BTreeMap::new();
    for input in inputs {
        let case = input.file_stem().unwrap().to_string_lossy().into_owned();
        effects(&std::fs::read_to_string(&input).unwrap(), &case, &mut seen);
    }
    let lines: String = seen.iter().map(|((kind, path), case)| format!("{kind} {path} {case}\n")).collect();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/effects.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&list, &lines).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&list).unwrap_or_default(), lines, "UPDATE=1 writes it anew");
}

fn effects(text: &str, case: &str, seen: &mut BTreeMap<(String, String), String>) {
    let (objects, problems) = tulle_api::parse_manifests(case, text.as_bytes());
    let errors: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let base = told(&objects, text);
    for (index, object) in objects.iter().enumerate() {
        let info = object.kind().info();
        let kind = match info.group {
            "gateway.networking.k8s.io" => format!("gwapi/{}", info.kind),
            group if group.ends_with("istio.io") || group == tulle_api::policy::GROUP => info.kind.to_owned(),
            "" if info.kind == "ConfigMap" => "MeshNetworks".to_owned(),
            _ => continue,
        };
        let mut document = object.to_json();
        let mut places = Vec::new();
        let kind = match info.kind {
            // An IstioOperator is shown by the settings of the mesh in it.
            "IstioOperator" => {
                let written = &document["spec"]["meshConfig"];
                walk(MeshConfig::INFO, written, "", &[json!("spec"), json!("meshConfig")], &mut places);
                "MeshConfig".to_owned()
            }
            // A ConfigMap by the networks in its text.
            "ConfigMap" => {
                let Some(written) = networks(object) else { continue };
                walk(MeshNetworks::INFO, &written, "", &[json!("data"), json!("meshNetworks")], &mut places);
                document["data"]["meshNetworks"] = written;
                kind
            }
            _ => {
                walk(info.record, &document["spec"], "", &[json!("spec")], &mut places);
                kind
            }
        };
        let mut tries: BTreeMap<String, usize> = BTreeMap::new();
        for (path, steps) in places {
            let tried = tries.entry(path.clone()).or_default();
            let key = (kind.clone(), path);
            if seen.contains_key(&key) || *tried >= TRIES {
                continue;
            }
            *tried += 1;
            let differs = |mut changed: Value| {
                if let Some(networks) = changed.pointer_mut("/data/meshNetworks") {
                    *networks = Value::from(networks.to_string());
                }
                let Ok(changed) = tulle_api::decode_object(&changed) else { return false };
                let mut objects = objects.clone();
                objects[index] = changed;
                told(&objects, text) != base
            };
            if variants(&document, &steps).into_iter().any(differs) {
                seen.insert(key, case.to_owned());
            }
        }
    }
}

/// What the ConfigMap `istio` says of networks.
fn networks(object: &Object) -> Option<Value> {
    match &object.spec {
        Spec::ConfigMap(given) => read_config_map(given).0.networks.map(|n| n.encode()),
        _ => None,
    }
}

/// What every proxy of the input is told: content versions by proxy, kind and name.
fn told(objects: &[Object], text: &str) -> BTreeSet<String> {
    let snapshot = snapshot_of(objects.to_vec(), text);
    let mut out = BTreeSet::new();
    for (name, proxy) in proxies(&snapshot, text) {
        let view = View::of(&snapshot, &proxy);
        for (kind, resources) in resources(&snapshot, &proxy, &view) {
            out.extend(resources.iter().map(|r| format!("{name} {kind} {} {:?}", r.name, r.version)));
        }
    }
    out
}

/// The document without the value at `steps`, and with another one there.
fn variants(document: &Value, steps: &[Value]) -> Vec<Value> {
    let (last, above) = steps.split_last().unwrap();
    let at = |edit: &dyn Fn(&mut Value)| {
        let mut changed = document.clone();
        let mut parent = &mut changed;
        for step in above {
            parent = match step {
                Value::String(key) => &mut parent[key.as_str()],
                index => &mut parent[usize::try_from(index.as_u64().unwrap()).unwrap()],
            };
        }
        edit(parent);
        changed
    };
    let key = last.as_str().unwrap();
    let mut out = vec![at(&|parent| drop(parent.as_object_mut().unwrap().remove(key)))];
    out.push(at(&|parent| change(&mut parent[key])));
    out
}

/// Makes another value of `value`: other texts, numbers and booleans.
fn change(value: &mut Value) {
    match value {
        // Another number is another duration, address or port too.
        Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit()) => text.insert(0, '1'),
        Value::String(text) => text.push('x'),
        Value::Number(n) => *value = json!(n.as_i64().unwrap_or_default() + 1),
        Value::Bool(b) => *b = !*b,
        Value::Array(items) => items.iter_mut().for_each(change),
        Value::Object(map) => map.values_mut().for_each(change),
        Value::Null => {}
    }
}

/// Every field below `info` that `value` has.
fn walk(info: &RecordInfo, value: &Value, above: &str, steps: &[Value], out: &mut Vec<Place>) {
    for field in info.fields.iter().chain(info.oneofs.iter().flat_map(|g| g.members)) {
        if let Some(value) = value.get(field.name) {
            let steps = [steps, &[json!(field.name)]].concat();
            let mut path = format!("{above}{}", field.name);
            path.push_str(&suffix(&field.ty));
            out.push((path.clone(), steps.clone()));
            below(&field.ty, value, &path, &steps, out);
        }
    }
}

fn suffix(ty: &TypeInfo) -> String {
    match ty {
        TypeInfo::List(of) => format!("[]{}", suffix(of)),
        TypeInfo::Map(of) => format!("{{}}{}", suffix(of)),
        _ => String::new(),
    }
}

fn below(ty: &TypeInfo, value: &Value, path: &str, steps: &[Value], out: &mut Vec<Place>) {
    match (ty, value) {
        (TypeInfo::List(of), Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                below(of, item, path, &[steps, &[json!(i)]].concat(), out);
            }
        }
        (TypeInfo::Map(of), Value::Object(map)) => {
            for (key, item) in map {
                below(of, item, path, &[steps, &[json!(key)]].concat(), out);
            }
        }
        (TypeInfo::Record(info), _) => walk(info, value, &format!("{path}."), steps, out),
        (TypeInfo::Oneof(info), _) => {
            let alone = RecordInfo { name: info.name, doc: info.doc, fields: info.members, oneofs: &[] };
            walk(&alone, value, &format!("{path}."), steps, out);
        }
        _ => {}
    }
}
