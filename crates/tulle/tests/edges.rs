//! The forbidden edges between crates (ARCHITECTURE.md): an arrow only points to a lower layer, and the control plane and
//! the data plane never reach each other.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Every crate's layer. A crate that is missing here fails the test, so that a new room gets a place on the map.
const LAYERS: &[(u8, &[&str])] = &[
    (0, &["tulle-base", "tulle-proto"]),
    (1, &["tulle-api", "tulle-http", "tulle-xds", "tulle-identity", "tulle-telemetry"]),
    (2, &["tulle-engine", "tulle-mesh", "tulle-store", "tulle-ca"]),
    (
        3,
        &[
            "tulle-translate",
            "tulle-analysis",
            "tulle-proxy",
            "tulle-apiserver",
            "tulle-lab",
            "tulle-dashboard",
        ],
    ),
    (4, &["tulle-local", "tulle-control"]),
    (5, &["tulle", "tulle-bench", "tulle-fuzz"]),
];

/// Rooms of one side that must not be reachable from the other, at any distance.
const DATA_PLANE: &[&str] = &["tulle-engine", "tulle-proxy"];
const CONTROL_PLANE: &[&str] = &[
    "tulle-api",
    "tulle-mesh",
    "tulle-store",
    "tulle-ca",
    "tulle-translate",
    "tulle-analysis",
    "tulle-apiserver",
    "tulle-control",
];

/// Edges inside layer 0 and 1 that are wanted all the same.
const SAME_LAYER: &[(&str, &str)] = &[("tulle-proto", "tulle-base")];

/// Crates that decide and model must not be able to do I/O.
const WITHOUT_TOKIO: &[&str] = &[
    "tulle-base",
    "tulle-proto",
    "tulle-api",
    "tulle-http",
    "tulle-engine",
    "tulle-mesh",
    "tulle-translate",
    "tulle-analysis",
];

#[test]
fn arrows_point_down() {
    let edges = workspace_edges();
    let layer = |name: &str| {
        LAYERS.iter().find(|(_, names)| names.contains(&name)).map(|(layer, _)| *layer).unwrap_or_else(|| {
            panic!("{name} has no layer: give it one here and in ARCHITECTURE.md");
        })
    };
    for (from, targets) in &edges {
        for to in targets.iter().filter(|t| t.starts_with("tulle")) {
            assert!(
                layer(to) < layer(from) || SAME_LAYER.contains(&(from.as_str(), to.as_str())),
                "{from} (layer {}) must not depend on {to} (layer {})",
                layer(from),
                layer(to)
            );
        }
    }
}

#[test]
fn control_plane_and_data_plane_never_meet() {
    let edges = workspace_edges();
    for (from, forbidden) in [(DATA_PLANE, CONTROL_PLANE), (CONTROL_PLANE, DATA_PLANE)] {
        for start in from {
            let reached = reachable(&edges, start);
            for target in forbidden {
                assert!(!reached.contains(*target), "{start} reaches {target}");
            }
        }
    }
}

#[test]
fn deciding_crates_cannot_do_io() {
    let edges = workspace_edges();
    for name in WITHOUT_TOKIO {
        for io in ["tokio", "socket2", "rustix", "libc", "rustls"] {
            assert!(!edges[*name].contains(io), "{name} depends on {io}");
        }
    }
}

/// Each workspace crate with the packages that its manifest names, without those for tests only.
fn workspace_edges() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|p| {
            let dependencies = p["dependencies"].as_array().expect("a list of dependencies");
            let names = dependencies.iter().filter(|d| d["kind"] != "dev").map(|d| text(&d["name"]));
            (text(&p["name"]), names.collect())
        })
        .collect()
}

fn reachable(edges: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![start.to_owned()]);
    while let Some(name) = open.pop() {
        for next in edges.get(&name).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}
