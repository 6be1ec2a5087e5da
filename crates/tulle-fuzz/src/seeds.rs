//! Where mutations begin.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tulle_proto::{json::Json, type_url};

/// Seeds made of other tests' answers, at most: enough for every kind of resource and filter.
const MOST_MADE: usize = 400;

/// The seeds of a target, sorted by name: the files of `fuzz/corpus/NAME`, and for those that read what other tests have
/// files of, these as well.
///
/// # Errors
/// When a folder of the repository cannot be read.
pub fn seeds(name: &str) -> io::Result<Vec<Vec<u8>>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("fuzz/corpus").join(name)];
    match name {
        "manifests" | "documents" => {
            let tests = root.join("crates/tulle-api/tests");
            folders.extend(["mission", "valid", "diagnostics"].map(|f| tests.join(f)));
        }
        "proto_json" => {
            return Ok(resources(&root)?.iter().map(|(kind, value)| as_json(*kind, value)).collect());
        }
        "xds" => {
            let json = Json::load().map_err(io::Error::other)?;
            return Ok(resources(&root)?
                .iter()
                .filter_map(|(kind, value)| as_bytes(&json, *kind, value))
                .collect());
        }
        "xds_any" => {
            let json = Json::load().map_err(io::Error::other)?;
            let mut out: Vec<Vec<u8>> =
                (0..type_url::ALL.len()).filter_map(|at| Some(vec![u8::try_from(at).ok()?])).collect();
            for (_, value) in resources(&root)? {
                anys(&json, &value, &mut out);
            }
            out.sort();
            out.dedup();
            return Ok(out);
        }
        _ => {}
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "txt") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.iter().map(std::fs::read).collect()
}

/// A kind of resource: its place in the answers of the translation, its message, and the bytes that choose it in the
/// targets `proto_json` and `xds`.
#[derive(Clone, Copy)]
struct Resource {
    place: &'static str,
    message: &'static str,
    in_json: u8,
    in_xds: u8,
}

const RESOURCES: [Resource; 4] = [
    Resource { place: "listeners", message: "envoy.config.listener.v3.Listener", in_json: 1, in_xds: 0 },
    Resource { place: "clusters", message: "envoy.config.cluster.v3.Cluster", in_json: 2, in_xds: 1 },
    Resource { place: "routes", message: "envoy.config.route.v3.RouteConfiguration", in_json: 3, in_xds: 2 },
    Resource {
        place: "endpoints",
        message: "envoy.config.endpoint.v3.ClusterLoadAssignment",
        in_json: 4,
        in_xds: 3,
    },
];

/// What the translation makes of its test inputs, some of each kind.
fn resources(root: &Path) -> io::Result<Vec<(Resource, Value)>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(root.join("crates/tulle-translate/tests/golden"))? {
        files.push(entry?.path());
    }
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let answers: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        for answer in answers.as_object().into_iter().flat_map(|o| o.values()) {
            for kind in RESOURCES {
                let named = answer.get(kind.place).and_then(Value::as_object);
                out.extend(named.into_iter().flat_map(|n| n.values()).map(|v| (kind, v.clone())));
            }
        }
    }
    // Evenly over all of them.
    let step = out.len().div_ceil(MOST_MADE).max(1);
    Ok(out.into_iter().step_by(step).collect())
}

/// Every message with a type that `value` holds, as bytes behind the number of its type.
fn anys(json: &Json, value: &Value, out: &mut Vec<Vec<u8>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| anys(json, item, out)),
        Value::Object(fields) => {
            fields.values().for_each(|field| anys(json, field, out));
            let Some(url) = fields.get("@type").and_then(Value::as_str) else { return };
            let Some(at) = type_url::ALL.iter().position(|known| *known == url) else { return };
            let mut message = value.clone();
            message.as_object_mut().map(|m| m.remove("@type"));
            let name = url.rsplit('/').next().unwrap_or_default();
            if let (Ok(bytes), Ok(at)) = (json.encode(name, &message), u8::try_from(at)) {
                out.push([&[at], bytes.as_slice()].concat());
            }
        }
        _ => {}
    }
}

fn as_json(kind: Resource, value: &Value) -> Vec<u8> {
    let mut out = vec![kind.in_json];
    out.extend_from_slice(value.to_string().as_bytes());
    out
}

fn as_bytes(json: &Json, kind: Resource, value: &Value) -> Option<Vec<u8>> {
    let mut out = vec![kind.in_xds];
    out.extend(json.encode(kind.message, value).ok()?);
    Some(out)
}
