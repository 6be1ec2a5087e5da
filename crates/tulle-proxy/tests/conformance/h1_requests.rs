//! HTTP/1: request lines, targets, `Host` and field lines (RFC 9112 sections 2, 3 and 5).

use serde_json::json;

use crate::{
    common::cluster,
    wire::{Rig, Upstream},
};

fn rig() -> (Upstream, Rig) {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    (app, rig)
}

/// RFC 9112 section 2.2: an empty line before the request line is ignored.
#[test]
fn empty_lines_before_a_request_are_skipped() {
    let (app, rig) = rig();
    let (response, _) = rig.ask("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(response.status, 200);
    assert!(app.last().starts_with("GET / HTTP/1.1\r\n"), "{}", app.last());
}

/// RFC 9112 section 2.2: white space between the request line and the first field is refused, so that no line is read as two.
#[test]
fn white_space_before_the_first_field_is_refused() {
    let (app, rig) = rig();
    rig.refuses(&[
        ("GET / HTTP/1.1\r\n host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\thost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n \r\nhost: a\r\n\r\n", 400),
    ]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 2.2: a CR that no LF follows is refused; a bare LF is no line end for us either.
#[test]
fn bare_cr_and_bare_lf_are_refused() {
    let (app, rig) = rig();
    rig.refuses(&[
        ("GET / HTTP/1.1\rhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\rx: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\rz\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\r\n\r\n", 400),
        ("GET / HTTP/1.1\nhost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", 400),
    ]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 3: one method, one target, one version, one space between them.
#[test]
fn malformed_request_lines_are_refused() {
    let (app, rig) = rig();
    let host = "\r\nhost: a\r\n\r\n";
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /",
        "GET HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.1.1",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET / ICAP/1.1",
        "G\u{0}T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET /\u{0} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /#fragment HTTP/1.1",
        "GET relative HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "UNREGISTERED / HTTP/1.1",
        "get / HTTP/1.1",
    ] {
        rig.refuses(&[(&format!("{line}{host}"), 400)]);
    }
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 3: a target that is too long is 414; RFC 6585: fields that are too many or too long are 431.
#[test]
fn what_is_too_long_is_said_to_be() {
    let (app, rig) = rig();
    let long = "x".repeat(70_000);
    rig.refuses(&[
        (&format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 414),
        (&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), 431),
        (&format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101)), 431),
    ]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 2.3: a version of the major number 1 that is not spoken, and other major numbers. The answer says what to
/// speak instead (RFC 9110 section 15.5.22).
#[test]
fn versions_that_are_not_served_are_told_what_is() {
    let (app, rig) = rig();
    for version in ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTTP/0.9"] {
        let (response, rest) = rig.ask(format!("GET / {version}\r\nhost: a\r\n\r\n"));
        assert_eq!((response.status, rest.as_str()), (426, ""), "{version}");
        assert_eq!(response.headers["upgrade"], "HTTP/1.1");
        assert_eq!(response.headers["connection"], "close, upgrade");
    }
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 2.3 and RFC 9110 section 2.5: what is sent on says our own version, whatever came.
#[test]
fn messages_are_sent_on_in_our_own_version() {
    let app = Upstream::saying_once("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let rig = Rig::with(
        cluster("app", &[app.at()]),
        json!({ "http_protocol_options": { "accept_http_10": true } }),
    );
    let text = rig.exchange("GET /old HTTP/1.0\r\nhost: a\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(app.last().starts_with("GET /old HTTP/1.1\r\nHost: a\r\n"), "{}", app.last());
}

/// RFC 9112 section 3.2: 400 to HTTP/1.1 without `Host`, with more than one, or with one that is none.
#[test]
fn host_is_there_once_and_valid() {
    let (app, rig) = rig();
    rig.refuses(&[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a:port\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a:65536\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a:80:81\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: [::1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: http://a\r\n\r\n", 400),
    ]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 3.2: HTTP/1.0 may come without `Host`; sent on it needs one, which configuration may give.
#[test]
fn http_10_without_host_gets_the_configured_one_or_none() {
    let app = Upstream::well();
    let (strict, lenient) = (
        json!({ "http_protocol_options": { "accept_http_10": true } }),
        json!({ "http_protocol_options": { "accept_http_10": true, "default_host_for_http_10": "old.example" } }),
    );
    let rig = Rig::with(cluster("app", &[app.at()]), strict);
    assert_eq!(rig.ask("GET / HTTP/1.0\r\n\r\n").0.status, 400);
    let rig = Rig::with(cluster("app", &[app.at()]), lenient);
    assert_eq!(rig.ask("GET / HTTP/1.0\r\n\r\n").0.status, 200);
    assert!(app.last().starts_with("GET / HTTP/1.1\r\nHost: old.example\r\n"), "{}", app.last());
}

/// RFC 9112 section 3.2.2: the absolute form is taken, and its authority wins over `Host`, also in what is sent on.
#[test]
fn the_absolute_form_wins_over_host() {
    let (app, rig) = rig();
    let (response, _) =
        rig.ask("GET http://b.example:81/p?q HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(response.status, 200);
    let seen = app.last();
    assert!(seen.starts_with("GET /p?q HTTP/1.1\r\nHost: b.example:81\r\n"), "{seen}");
    assert_eq!(seen.to_ascii_lowercase().matches("host:").count(), 1, "{seen}");
    let (response, _) = rig.ask("GET http://c HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(response.status, 200);
    assert!(app.last().starts_with("GET / HTTP/1.1\r\nHost: c\r\n"), "an empty path is `/`: {}", app.last());
    rig.refuses(&[
        ("GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\n\r\n", 400),
        ("GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ]);
}

/// RFC 9112 section 3.2.4: `OPTIONS *` stays so on its way, and an absolute target without path becomes it.
#[test]
fn the_asterisk_form_is_for_options() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    for text in ["OPTIONS http://a HTTP/1.1\r\nhost: b\r\n", "OPTIONS * HTTP/1.1\r\nhost: a\r\n"] {
        // No route has the path `*`, as with Envoy.
        assert_eq!(rig.ask(format!("{text}connection: close\r\n\r\n")).0.status, 404);
    }
    rig.refuses(&[("GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400)]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 3.2.3 and RFC 9110 section 9.3.6: CONNECT names host and port, and nothing else does.
#[test]
fn the_authority_form_is_for_connect() {
    let (app, rig) = rig();
    rig.refuses(&[
        ("CONNECT a HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("CONNECT a: HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("CONNECT a:0x50 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("CONNECT a:99999 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("CONNECT /p HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("CONNECT http://a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 5.1: no white space between name and colon in requests; what surrounds a value is no part of it.
#[test]
fn field_lines_have_their_form() {
    let (app, rig) = rig();
    for line in [
        "x : y",
        "x\t: y",
        "x y: z",
        ": y",
        "x",
        "x(y): z",
        "x\u{0}: y",
        "x: a\u{0}b",
        "x: a\u{1}b",
        "x: a\u{7f}b",
        "\u{e9}: y",
    ] {
        rig.refuses(&[(&format!("GET / HTTP/1.1\r\nhost: a\r\n{line}\r\n\r\n"), 400)]);
    }
    assert_eq!(app.seen(), Vec::<String>::new());
    rig.ask("GET / HTTP/1.1\r\nhost:a\r\nx:  \t y z \t\r\nw:\r\nv: \u{e9}\r\nconnection: close\r\n\r\n");
    let seen = app.last();
    assert!(
        seen.contains("\r\nx: y z\r\n") && seen.contains("\r\nw: \r\n") && seen.contains("\r\nv: \u{e9}\r\n"),
        "{seen}"
    );
}

/// RFC 9112 section 5.2: a server refuses folded lines in requests.
#[test]
fn folded_lines_are_refused() {
    let (app, rig) = rig();
    rig.refuses(&[
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n\tz\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n 0\r\n\r\n", 400),
    ]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9110 section 5.1 and 5.3: unknown fields go on, lines of one name keep their order, and names their case.
#[test]
fn fields_go_on_in_order_and_as_they_were_written() {
    let (app, rig) = rig();
    rig.ask("GET /A/b%2Fc?D=%e9 HTTP/1.1\r\nhost: Ho.St\r\nX-One: 1\r\nx-TWO: 2\r\nX-One: 3\r\nconnection: close\r\n\r\n");
    let seen = app.last();
    assert!(seen.starts_with("GET /A/b%2Fc?D=%e9 HTTP/1.1\r\nHost: Ho.St\r\n"), "{seen}");
    assert!(seen.contains("X-One: 1\r\nx-TWO: 2\r\nX-One: 3\r\n"), "{seen}");
}

/// RFC 9110 section 7.6.1: fields that `Connection` names, and those that concern a connection only, end here.
#[test]
fn fields_of_the_connection_end_here() {
    let (app, rig) = rig();
    rig.ask(
        "GET / HTTP/1.1\r\nhost: a\r\nConnection: x-hop, Close , ,X-Other\r\nx-hop: 1\r\nX-OTHER: 2\r\nkeep-alive: 5\r\n\
         proxy-connection: keep-alive\r\nte: gzip\r\nupgrade: foo\r\nx-stays: 3\r\n\r\n",
    );
    let seen = app.last().to_ascii_lowercase();
    for gone in ["x-hop", "x-other", "keep-alive", "proxy-connection", "te:", "upgrade", "connection"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    assert!(seen.contains("x-stays: 3"), "{seen}");
}

/// What the proxy itself tells upstream cannot be nominated away, and where a request came from cannot be hidden.
#[test]
fn nominations_do_not_reach_what_the_proxy_adds() {
    let app = Upstream::well();
    let rig = Rig::with(cluster("app", &[app.at()]), json!({ "use_remote_address": true }));
    rig.ask("GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-request-id, content-length, host\r\n\r\n");
    let seen = app.last().to_ascii_lowercase();
    assert!(
        seen.contains("x-request-id:") && seen.contains("x-forwarded-for:") && seen.contains("host: a"),
        "{seen}"
    );
    let before = app.seen().len();
    rig.refuses(&[
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: X-Forwarded-For\r\nx-forwarded-for: 9.9.9.9\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-forwarded-proto\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: x-forwarded-host\r\n\r\n", 400),
    ]);
    assert_eq!(app.seen().len(), before);
}

/// RFC 9110 section 10.1.4: `TE: trailers` is said anew for the next hop, and named in `Connection`.
#[test]
fn te_is_named_in_connection() {
    let (app, rig) = rig();
    rig.ask("GET / HTTP/1.1\r\nhost: a\r\nte: gzip;q=0.5, trailers\r\nconnection: te, close\r\n\r\n");
    let seen = app.last();
    assert!(seen.contains("te: trailers\r\n") && seen.contains("connection: te\r\n"), "{seen}");
}

/// RFC 9110 section 7.6.2: OPTIONS and TRACE that may go no further are answered here; others have one hop less to go.
#[test]
fn max_forwards_is_counted_down() {
    let (app, rig) = rig();
    let ask = |method: &str, hops: &str| {
        rig.ask(format!(
            "{method} /p HTTP/1.1\r\nhost: a\r\nmax-forwards: {hops}\r\nconnection: close\r\n\r\n"
        ))
        .0
    };
    assert_eq!(ask("OPTIONS", "0").status, 200);
    assert_eq!(ask("TRACE", "0").status, 405);
    assert_eq!(app.seen(), Vec::<String>::new());
    assert_eq!(ask("OPTIONS", "3").body, "well");
    assert!(app.last().contains("max-forwards: 2\r\n"), "{}", app.last());
    assert_eq!(ask("GET", "0").body, "well");
}

/// RFC 9110 section 7.6.3: `Via` where it is configured, as with Envoy.
#[test]
fn via_is_added_where_configured() {
    let app = Upstream::well();
    let rig = Rig::with(cluster("app", &[app.at()]), json!({ "via": "1.1 tulle" }));
    let (response, _) = rig.ask("GET / HTTP/1.1\r\nhost: a\r\nvia: 1.0 fred\r\nconnection: close\r\n\r\n");
    assert_eq!(response.headers["via"], "1.1 tulle");
    assert!(app.last().contains("via: 1.0 fred, 1.1 tulle\r\n"), "{}", app.last());
}

/// RFC 9110 section 6.6.1: a response without `Date` gets one.
#[test]
fn date_is_added() {
    let (_app, rig) = rig();
    let (response, _) = rig.ask("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(response.headers["date"].ends_with(" GMT"));
}
