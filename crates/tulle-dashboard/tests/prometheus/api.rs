//! The same requests to both servers: the same status, the same data, the same kind of error.

use std::sync::Arc;

use serde_json::Value as Json;
use tulle_dashboard::http::{Api, Hosts, serve};
use tulle_dashboard::query::QueryLimits;

use crate::data;
use crate::peer::{Peer, get};

/// Paths below `/api/v1/`.
const REQUESTS: &[&str] = &[
    "query?query=count(gauge)&time=1700000840",
    "query?query=gauge&time=2023-11-14T22:27:20Z",
    "query?query=gauge[20s]&time=1700000840.25",
    "query?query=1&time=1700000840.25",
    "query?query=%22text%22&time=1700000840",
    "query?query=nonexistent&time=1700000840",
    "query_range?query=max%20by(zone)(gauge)&start=1700000400&end=1700000840&step=30s",
    "query_range?query=min(gauge)&start=1700000400.5&end=1700000840&step=33.3",
    "series?match[]=gauge",
    "series?match[]=gauge{zone=%22east%22}&match[]=istio_build",
    "series?match[]=istio_request_duration_milliseconds_bucket{le=%225%22}",
    "labels",
    "labels?match[]=gauge",
    "label/zone/values",
    "label/le/values",
    "label/__name__/values?match[]={zone!=%22%22}",
    "label/nothing/values",
    // Refused.
    "query",
    "query?query=sum(",
    "query?query=sum(gauge)&time=yesterday",
    "query?query=rate(gauge)",
    "query?query=gauge%20%2B%20on(zone)%20gauge&time=1700000840",
    "query?query=1&timeout=soon",
    "query_range?query=gauge",
    "query_range?query=gauge&start=1700000400&end=1700000300&step=1",
    "query_range?query=gauge&start=1700000400&end=1700000840&step=0",
    "query_range?query=gauge&start=1700000400&end=1700000840&step=x",
    "query_range?query=gauge&start=0&end=1700000840&step=1",
    "query_range?query=gauge[1m]&start=1700000400&end=1700000840&step=10",
    "series",
    "series?match[]=sum(gauge)",
    "series?match[]=gauge&start=2&end=1",
    "label/0bad/values",
];

#[test]
fn the_api_answers_as_prometheus_does() {
    let Some(peer) = Peer::start() else { return };
    let store = Arc::new(data::store());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let api = Api::new(store, QueryLimits::default(), Hosts::Local);
    runtime.spawn(serve(listener, api, std::future::pending()));
    let mut failures = Vec::new();
    for request in REQUESTS {
        let (our_status, ours) = get(&format!("{url}/api/v1/{request}"));
        let (their_status, theirs) = get(&format!("{}/api/v1/{request}", peer.url()));
        if our_status != their_status || comparable(&ours) != comparable(&theirs) {
            failures
                .push(format!("{request}\n  ours   {our_status} {ours}\n  theirs {their_status} {theirs}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Without the words of an error, and with lists in one order.
fn comparable(answer: &Json) -> Json {
    let mut answer = answer.clone();
    if let Some(object) = answer.as_object_mut() {
        object.remove("error");
    }
    let list = match answer.pointer("/data/result") {
        Some(_) => answer.pointer_mut("/data/result"),
        None => answer.pointer_mut("/data"),
    };
    if let Some(Json::Array(list)) = list {
        list.sort_by_key(ToString::to_string);
    }
    answer
}
