//! Realistic configurations are accepted whole, and their compiled form is what it was.

mod support;

use expect_test::expect_file;
use serde_json::Value;
use tulle_engine::compile::{self, NoFiles};
use tulle_engine::runtime::cluster::{UpstreamProtocol, UpstreamTransport};
use tulle_engine::runtime::http_manager::RouteSource;
use tulle_engine::runtime::listener::{DownstreamTransport, Terminal};
use tulle_engine::runtime::tls::{DataRef, Validation};
use tulle_proto::envoy::endpoint::ClusterLoadAssignment;
use tulle_proto::envoy::{
    bootstrap::Bootstrap, cluster::Cluster, listener::Listener, route::RouteConfiguration,
};

#[test]
fn a_benchmark_bootstrap_compiles_whole() {
    let document: Value = serde_json::from_str(include_str!("golden/benchmark.json")).unwrap();
    let (bootstrap, notes) = compile::bootstrap(&support::message::<Bootstrap>(&document), &NoFiles).unwrap();
    assert_eq!(notes, []);
    expect_file!["golden/benchmark.txt"].assert_eq(&format!("{bootstrap:#?}\n"));
    let Terminal::Http(http) = &bootstrap.listeners[0].chains[0].terminal else { panic!("no HTTP") };
    let RouteSource::Inline(routes) = &http.routes else { panic!("no routes") };
    assert_eq!(routes.virtual_hosts[0].routes.len(), 1);
    let DownstreamTransport::Tls(tls) = &bootstrap.listeners[2].chains[0].transport else { panic!("no TLS") };
    assert!(tls.require_client_certificate);
    assert!(matches!(bootstrap.clusters[0].protocol, UpstreamProtocol::Http2(_)));
    let UpstreamTransport::Tls(tls) = &bootstrap.clusters[1].transports[0].transport else {
        panic!("no TLS")
    };
    let Validation::Chain(chain) = &tls.common.validation else { panic!("no validation") };
    assert_eq!(chain.subject_alt_names.len(), 1);
}

#[test]
fn limits_on_connections_are_read_from_the_runtime() {
    let compile = |layers: Value| {
        let document = serde_json::json!({ "layered_runtime": { "layers": layers } });
        compile::bootstrap(&support::message::<Bootstrap>(&document), &NoFiles)
    };
    let (bootstrap, notes) = compile(serde_json::json!([
        { "name": "base", "static_layer": {
            "envoy.resource_limits.listener.a.connection_limit": 5,
            "envoy": { "resource_limits": { "listener": { "b": { "connection_limit": 6 } } } },
            "overload": { "global_downstream_max_connections": 100 },
            "re2.max_program_size": 1,
        } },
        { "name": "over it", "static_layer": { "envoy.resource_limits.listener.a.connection_limit": 7 } },
        { "name": "admin", "admin_layer": {} },
    ]))
    .unwrap();
    let limits = &bootstrap.limits;
    assert_eq!(
        (limits.all, limits.of("a"), limits.of("b"), limits.of("c")),
        (Some(100), Some(7), Some(6), None)
    );
    let noted: Vec<String> = notes.iter().map(|n| n.field.as_str().to_owned()).collect();
    assert_eq!(
        noted,
        [
            "layered_runtime.layers[0].static_layer[\"re2.max_program_size\"]",
            "layered_runtime.layers[2].admin_layer"
        ]
    );
    let wrong = serde_json::json!([{ "name": "l", "static_layer": { "overload.global_downstream_max_connections": -1 } }]);
    assert!(compile(wrong).is_err());
}

#[test]
fn keys_are_never_shown() {
    let pem = tulle_engine::runtime::tls::CertificatePem {
        chain: DataRef::Inline(b"chain"[..].into()),
        key: DataRef::Inline(b"hush"[..].into()),
    };
    assert_eq!(format!("{pem:?}"), "CertificatePem { chain: Inline(5 bytes), .. }");
}

/// What the control plane makes for the mission's own YAML is accepted to the last field.
#[test]
fn everything_that_our_control_plane_sends_compiles() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tulle-translate/tests/golden");
    let mut count = 0;
    for entry in std::fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            for (kind, resources) in
                document.as_object().unwrap().values().filter_map(Value::as_object).flatten()
            {
                for resource in resources.as_object().into_iter().flat_map(|r| r.values()) {
                    let checked = check(kind, resource);
                    checked.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    count += 1;
                }
            }
        }
    }
    assert!(count > 50, "{count}");
}

fn check(kind: &str, resource: &Value) -> Result<(), compile::CompileError> {
    match kind {
        "listeners" => compile::listener(&support::message::<Listener>(resource), &NoFiles).map(drop),
        "clusters" => compile::cluster(&support::message::<Cluster>(resource), &NoFiles).map(drop),
        "routes" => compile::routes(&support::message::<RouteConfiguration>(resource), &NoFiles).map(drop),
        "endpoints" => compile::endpoints(&support::message::<ClusterLoadAssignment>(resource)).map(drop),
        _ => Ok(()),
    }
}
