use tulle_engine::runtime::Listener;
use tulle_proto::envoy;

use super::*;
use crate::boot::compile::Engine;
use prost::Message;

fn raw(name: &str, payload: impl Message) -> Raw {
    Raw { name: name.into(), version: "1".into(), payload: payload.encode_to_vec().into() }
}

fn eds_cluster(name: &str) -> Raw {
    use envoy::cluster::{Cluster, cluster};
    use envoy::core::{AggregatedConfigSource, ConfigSource, config_source};
    let ads = ConfigSource {
        config_source_specifier: Some(config_source::ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        resource_api_version: 2,
        ..ConfigSource::default()
    };
    raw(
        name,
        Cluster {
            name: name.into(),
            cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(
                cluster::DiscoveryType::Eds.into(),
            )),
            eds_cluster_config: Some(cluster::EdsClusterConfig {
                eds_config: Some(ads),
                service_name: String::new(),
            }),
            ..Cluster::default()
        },
    )
}

fn endpoints(name: &str) -> Raw {
    raw(name, envoy::endpoint::ClusterLoadAssignment { cluster_name: name.into(), ..Default::default() })
}

fn book() -> Book {
    Book::new(Box::new(Engine))
}

fn names<T>(delta: &[(Arc<str>, T)]) -> Vec<&str> {
    delta.iter().map(|(name, _)| &**name).collect()
}

#[test]
fn a_cluster_waits_for_its_endpoints_and_takes_them_along_when_it_goes() {
    let (mut book, now) = (book(), Instant::now());
    let out = book.apply(type_url::CLUSTER, vec![eds_cluster("a")], &[], now);
    assert!(out.changes.is_empty() && out.errors.is_empty(), "{out:?}");
    assert_eq!(book.wanted_endpoints.take_changes().added, ["a"]);
    assert!(book.is_warming());

    let out = book.apply(type_url::CLUSTER_LOAD_ASSIGNMENT, vec![endpoints("a")], &[], now);
    assert_eq!(
        (names(&out.changes.clusters.changed), names(&out.changes.endpoints.changed)),
        (vec!["a"], vec!["a"])
    );
    assert!(!book.is_warming());

    let out = book.apply(type_url::CLUSTER, vec![], &["a".into()], now);
    assert_eq!(out.changes.clusters.removed, ["a".into()]);
    assert_eq!(out.changes.endpoints.removed, ["a".into()]);
    assert_eq!(book.wanted_endpoints.take_changes().dropped, ["a"]);
}

#[test]
fn waiting_ends_by_itself() {
    let (mut book, now) = (book(), Instant::now());
    let _ = book.apply(type_url::CLUSTER, vec![eds_cluster("a")], &[], now);
    assert!(book.expire_warming(now + WARMING_TIMEOUT / 2).changes.is_empty());
    let out = book.expire_warming(now + WARMING_TIMEOUT);
    assert_eq!(names(&out.changes.clusters.changed), ["a"]);
}

#[test]
fn a_broken_resource_is_refused_by_name_and_its_last_good_version_stays() {
    let (mut book, now) = (book(), Instant::now());
    let _ = book.apply(type_url::CLUSTER, vec![eds_cluster("a")], &[], now);
    let _ = book.apply(type_url::CLUSTER_LOAD_ASSIGNMENT, vec![endpoints("a")], &[], now);
    let broken = Raw { payload: Bytes::from_static(&[0xff; 8]), ..eds_cluster("a") };
    let out = book.apply(type_url::CLUSTER, vec![broken, eds_cluster("b")], &[], now);
    assert_eq!(out.errors.len(), 1);
    assert_eq!(out.errors[0].name, "a");
    assert!(book.clusters.get("a").is_some());
    assert_eq!(book.clusters.refused().count(), 1);
    assert_eq!(book.wanted_endpoints.take_changes().added, ["a", "b"], "the others are taken");
    let _ = book.apply(type_url::CLUSTER, vec![eds_cluster("a")], &[], now);
    assert_eq!(book.clusters.refused().count(), 0, "repaired");
}

#[test]
fn the_same_again_changes_nothing() {
    let (mut book, now) = (book(), Instant::now());
    let _ = book.apply(type_url::CLUSTER, vec![eds_cluster("a")], &[], now);
    let _ = book.apply(type_url::CLUSTER_LOAD_ASSIGNMENT, vec![endpoints("a")], &[], now);
    let out = book.apply(type_url::CLUSTER, vec![eds_cluster("a")], &[], now);
    assert!(out.changes.is_empty() && out.errors.is_empty());
}

#[test]
fn a_listener_waits_for_its_routes() {
    let (mut book, now) = (book(), Instant::now());
    let document = serde_json::json!({
        "name": "l",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": type_url::HTTP_CONNECTION_MANAGER,
                "stat_prefix": "s",
                "rds": { "route_config_name": "r", "config_source": { "ads": {}, "resource_api_version": "V3" } },
                "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": { "@type": type_url::ROUTER } }],
            },
        }] }],
    });
    let payload = tulle_proto::json::Json::load().unwrap().encode(type_url::LISTENER, &document).unwrap();
    let listener = Raw { name: "l".into(), version: "1".into(), payload: payload.into() };
    let out = book.apply(type_url::LISTENER, vec![listener], &[], now);
    assert!(out.changes.is_empty() && out.errors.is_empty(), "{:?}", out.errors);
    assert_eq!(book.wanted_routes.take_changes().added, ["r"]);
    let table = raw("r", envoy::route::RouteConfiguration { name: "r".into(), ..Default::default() });
    let out = book.apply(type_url::ROUTE_CONFIGURATION, vec![table], &[], now);
    assert_eq!(names(&out.changes.listeners.changed), ["l"]);
    assert_eq!(names(&out.changes.routes.changed), ["r"]);
    let _: Option<&Held<Listener>> = book.listeners.get("l");
}
