//! Most connections at a time, of a listener and of all of them, over all workers.

mod common;

use common::{Client, Proxy, any_host, eventually, http, listener};
use serde_json::{Value, json};
use tulle_base::agent::ConnectionLimits;
use tulle_proxy::{listener::limits::Limits, worker::Settings};

/// A listener that answers by itself.
fn answering(name: &str) -> Value {
    let direct = json!([{ "match": { "prefix": "/" }, "direct_response": { "status": 200 } }]);
    let mut listener = listener(name, http(any_host(direct), json!({})));
    listener["stat_prefix"] = json!(name);
    listener
}

/// A connection that is served; `None` if it was closed without an answer.
fn served(proxy: &Proxy, listener: &str) -> Option<Client> {
    use std::io::Write as _;
    let mut client = Client::connect(proxy.address(listener));
    // The proxy may have closed it by now.
    let _ = client.stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    client.receive().map(|_| client)
}

#[test]
fn connections_beyond_a_limit_are_closed_and_places_come_back() {
    let limits = ConnectionLimits { all: Some(3), each: Some(2), by_name: [("wide".to_owned(), 9)].into() };
    let proxy = Proxy::with(
        json!({ "listeners": [answering("narrow"), answering("wide")] }),
        Settings { workers: 2, limits: Limits::new(limits), ..Settings::default() },
    );
    let first = served(&proxy, "narrow").expect("there is room");
    let _second = served(&proxy, "narrow").expect("there is room");
    assert!(served(&proxy, "narrow").is_none(), "the listener is full");
    assert_eq!(proxy.stat("listener.narrow.downstream_cx_overflow"), 1);
    let _third = served(&proxy, "wide").expect("there is room in the other listener");
    assert!(served(&proxy, "wide").is_none(), "the proxy is full");
    assert_eq!(proxy.stat("listener.wide.downstream_global_cx_overflow"), 1);
    drop(first);
    let mut again = None;
    eventually("its place is free", || {
        again = served(&proxy, "narrow");
        again.is_some()
    });
}
