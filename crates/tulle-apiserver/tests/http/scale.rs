//! How long big lists and changes take; run by hand: `cargo test -p tulle-apiserver --test http -- --ignored --nocapture`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Api;

#[test]
#[ignore = "a measurement, which needs a quiet machine"]
#[allow(clippy::print_stderr, reason = "a measurement is its output")]
fn ten_thousand_objects_and_the_latency_of_a_watch() {
    let api = Api::start();
    let spec = json!({"hosts": ["cart"], "http": [{"match": [{"uri": {"prefix": "/a"}}],
        "route": [{"destination": {"host": "cart", "subset": "v1"}, "weight": 90},
            {"destination": {"host": "cart", "subset": "v2"}, "weight": 10}]}]});
    for n in 0..10_000 {
        let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": format!("n{n}"), "namespace": "shop", "labels": {"app": "cart"}}, "spec": spec});
        api.store.put_now(tulle_api::decode_object(&object).unwrap()).unwrap();
    }
    let path = "/apis/networking.istio.io/v1/virtualservices";
    for query in ["", "?limit=500", "?labelSelector=app%3Dcart"] {
        // Without a client's parser, which takes as long.
        let head = format!(
            "GET {path}{query} HTTP/1.1\r\nhost: api\r\nauthorization: Bearer admin\r\nconnection: close\r\n\r\n"
        );
        let begun = Instant::now();
        let mut stream = TcpStream::connect(api.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        eprintln!("list{query}: {:?}, {} bytes", begun.elapsed(), answer.len());
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    let mut watch = api.watch("/api/v1/configmaps?watch=1");
    let mut times: Vec<Duration> = (0..200)
        .map(|n| {
            let begun = Instant::now();
            api.config_map(&format!("c{n}"), &json!({}), &json!({}));
            watch.next().unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort();
    eprintln!(
        "from the POST to the event: median {:?}, 99th {:?}, slowest {:?}",
        times[100], times[197], times[199]
    );
}
