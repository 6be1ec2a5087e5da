//! Upgrades and CONNECT (RFC 9110 sections 7.8 and 9.3.6, RFC 9113 section 8.5, RFC 8441).

use std::io::{Read as _, Write as _};

use serde_json::json;

use crate::{
    common::{Backend, cluster, http2},
    wire::{PATIENCE, Rig, Upstream},
    wire_h2::{DATA, END_STREAM, Frames},
};

const ASK: &str =
    "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-a: b\r\n\r\n";

fn echo_after(head: &'static str) -> Upstream {
    Upstream::new(move |peer| {
        peer.request();
        peer.say(head);
        let mut bytes = [0; 1000];
        while let Ok(count @ 1..) = peer.stream.read(&mut bytes) {
            peer.say(&bytes[..count]);
        }
    })
}

fn upgrades(kinds: &[&str]) -> serde_json::Value {
    let list: Vec<_> = kinds.iter().map(|k| json!({ "upgrade_type": k })).collect();
    json!({ "upgrade_configs": list, "http_protocol_options": { "accept_http_10": true } })
}

/// RFC 9110 section 7.8: an upgrade that is let pass switches both sides; bytes behind the heads belong to the new protocol.
#[test]
fn an_upgrade_becomes_a_tunnel() {
    let app = echo_after(SWITCH);
    let rig = Rig::with(cluster("app", &[app.at()]), upgrades(&["websocket"]));
    let mut client = rig.client();
    client.send(format!("{ASK}early "));
    let response = client.receive_for("HEAD").unwrap();
    assert_eq!((response.status, response.headers["upgrade"].as_str()), (101, "websocket"));
    assert_eq!((response.headers["connection"].as_str(), response.headers["x-a"].as_str()), ("upgrade", "b"));
    client.send("and late");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(String::from_utf8_lossy(&client.rest()), "early and late");
    assert!(app.last().to_ascii_lowercase().contains("connection: upgrade\r\n"), "{}", app.last());
    rig.settles();
}

/// RFC 9110 section 7.8: a server may ignore an upgrade; then HTTP/1.1 goes on.
#[test]
fn an_upgrade_that_the_upstream_ignores_is_an_ordinary_request() {
    let app = Upstream::well();
    let rig = Rig::with(cluster("app", &[app.at()]), upgrades(&["websocket"]));
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(ASK);
        assert_eq!(client.receive().unwrap().body, "well");
    }
}

/// RFC 9110 section 7.8: `Upgrade` in HTTP/1.0 is ignored; without `Connection: upgrade` it concerns nobody.
#[test]
fn upgrades_that_are_none_are_ignored() {
    let app = Upstream::well();
    let rig = Rig::with(cluster("app", &[app.at()]), upgrades(&["websocket"]));
    for text in [
        "GET / HTTP/1.0\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nupgrade: websocket\r\n\r\n",
    ] {
        assert_eq!(rig.ask(text).0.body, "well");
        assert!(!app.last().to_ascii_lowercase().contains("upgrade"), "{}", app.last());
    }
}

/// An upgrade that no configuration lets pass is refused, as with Envoy.
#[test]
fn upgrades_that_are_not_configured_are_refused() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    client.send(ASK);
    assert_eq!(client.receive().unwrap().status, 403);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9113 section 3.1: the upgrade to `h2c` is gone; the offer is declined by answering in HTTP/1.1.
#[test]
fn the_upgrade_to_h2c_is_declined() {
    let app = Upstream::well();
    let rig = Rig::with(cluster("app", &[app.at()]), upgrades(&["websocket"]));
    let (response, _) = rig.ask(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
    );
    assert_eq!(response.body, "well");
    let seen = app.last().to_ascii_lowercase();
    assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"), "{seen}");
}

/// RFC 9110 section 15.2.2: 101 that nobody asked for is an upstream's fault.
#[test]
fn a_switch_that_nobody_asked_for_is_502() {
    let app = Upstream::saying_once(SWITCH);
    let rig = Rig::h1(app.at());
    let (response, _) = rig.ask("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(response.status, 502);
    rig.logged(&["502", "UPE"]);
}

/// RFC 9110 section 9.3.6: CONNECT goes where a route takes it, and nowhere else.
#[test]
fn connect_needs_leave() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    client.send("CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
    assert_eq!(client.receive().unwrap().status, 403);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9110 section 9.3.6: CONNECT sent on to another proxy; 2xx makes a tunnel, and framing fields are ignored.
#[test]
fn connect_is_sent_on_and_becomes_a_tunnel() {
    let app = echo_after("HTTP/1.1 200 Connected\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n");
    let rig = Rig::with(cluster("app", &[app.at()]), upgrades(&["CONNECT"]));
    let mut client = rig.client();
    client.send("CONNECT b:443 HTTP/1.1\r\nhost: c:443\r\n\r\nhello ");
    let response = client.receive_for("HEAD").unwrap();
    assert_eq!(response.status, 200);
    assert!(
        !response.headers.contains_key("content-length")
            && !response.headers.contains_key("transfer-encoding")
    );
    client.send("tunnel");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(String::from_utf8_lossy(&client.rest()), "hello tunnel");
    let seen = app.last();
    assert!(seen.starts_with("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n"), "{seen}");
    assert!(!seen.contains("content-length") && !seen.contains("transfer-encoding"), "{seen}");
}

/// RFC 9110 section 9.3.6: an answer to CONNECT that is not 2xx is an ordinary one.
#[test]
fn connect_that_is_refused_upstream_is_an_ordinary_answer() {
    let app = Upstream::saying("HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno");
    let rig = Rig::with(cluster("app", &[app.at()]), upgrades(&["CONNECT"]));
    let mut client = rig.client();
    for _ in 0..2 {
        client.send("CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
        let response = client.receive().unwrap();
        assert_eq!((response.status, response.body.as_str()), (403, "no"));
    }
}

/// RFC 9110 section 9.3.6 and RFC 9113 section 8.5: CONNECT that ends here (`connect_config`): its bytes go to the endpoint.
#[test]
fn connect_ends_here_where_configured() {
    let app = Backend::raw(|stream| {
        let mut bytes = [0; 1000];
        stream.write_all(b"first ").unwrap();
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..count]).unwrap();
        }
    });
    let route = json!({ "upgrade_configs": [{ "upgrade_type": "CONNECT", "connect_config": {} }] });
    let manager = json!({ "http2_protocol_options": { "allow_connect": true } });
    let rig = Rig::routed(cluster("app", &[app.address]), manager, route);
    let mut client = rig.client();
    client.send("CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\nhello ");
    assert_eq!(client.receive_for("HEAD").unwrap().status, 200);
    client.send("tunnel");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(String::from_utf8_lossy(&client.rest()), "first hello tunnel");

    let mut frames = Frames::connect(rig.at());
    frames.head(1, 0, &[(":method", "CONNECT"), (":authority", "b:443")]);
    frames.send(DATA, 0, 1, b"hello ");
    let head = frames.fields(1);
    assert_eq!(head[0], (":status".to_owned(), "200".to_owned()));
    frames.send(DATA, END_STREAM, 1, b"frames");
    assert_eq!(frames.body(1), b"first hello frames");
    rig.settles();
}

/// RFC 9113 section 8.5: CONNECT over HTTP/2 on both sides, as DATA frames.
#[test]
fn connect_over_http2_is_sent_on() {
    let app = Backend::raw(|stream| {
        let Some(mut peer) = Frames::accept(stream) else { return };
        let (id, head) = peer.request();
        assert_eq!(head[0], (":method".to_owned(), "CONNECT".to_owned()));
        assert_eq!(head[1], (":authority".to_owned(), "b:443".to_owned()));
        assert!(!head.iter().any(|(name, _)| name == ":path" || name == ":scheme"), "{head:?}");
        peer.head(id, 0, &[(":status", "200")]);
        let body = peer.body(id);
        peer.send(DATA, END_STREAM, id, &body);
        peer.wait_for_end();
    });
    let manager = json!({ "http2_protocol_options": { "allow_connect": true }, "upgrade_configs": [{ "upgrade_type": "CONNECT" }] });
    let rig = Rig::with(http2(cluster("app", &[app.address])), manager);
    let mut frames = Frames::connect(rig.at());
    frames.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    frames.head(1, 0, &[(":method", "CONNECT"), (":authority", "b:443")]);
    assert_eq!(frames.fields(1)[0].1, "200");
    frames.send(DATA, 0, 1, b"there ");
    frames.send(DATA, END_STREAM, 1, b"and back");
    assert_eq!(frames.body(1), b"there and back");
}

/// RFC 8441: extended CONNECT over HTTP/2 is an upgrade over HTTP/1 upstream.
#[test]
fn websockets_over_http2_reach_http1() {
    let app = echo_after(SWITCH);
    let rig = Rig::with(cluster("app", &[app.at()]), upgrades(&["websocket"]));
    let mut frames = Frames::connect(rig.at());
    frames.head(
        1,
        0,
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/chat"),
            (":authority", "a"),
        ],
    );
    assert_eq!(frames.fields(1)[0].1, "200");
    frames.send(DATA, 0, 1, b"over ");
    frames.send(DATA, END_STREAM, 1, b"frames");
    assert_eq!(frames.body(1), b"over frames");
    let seen = app.last();
    assert!(seen.starts_with("GET /chat HTTP/1.1\r\n") && seen.contains("connection: upgrade\r\n"), "{seen}");
}
