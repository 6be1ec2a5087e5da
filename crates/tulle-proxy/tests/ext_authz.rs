//! External authorization over gRPC and HTTP: what the service is asked, and what its answers do. What is expected here is what a stock
//! Envoy 1.40 did with the same configurations and answers.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use common::{Backend, Client, Proxy, Request, cluster, get, h2, http, http2, listener, request, router};
use prost::Message as _;
use serde_json::{Value, json};
use tulle_http::{HeaderList, ResponseHead};
use tulle_proto::envoy::{
    auth::{
        CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse, attribute_context::HttpRequest,
        check_response::HttpResponse,
    },
    core::{HeaderValue, HeaderValueOption, QueryParameter},
    google, kind, rpc,
};

type Asked = Arc<Mutex<Vec<CheckRequest>>>;

/// A service that answers so, and what it was asked.
fn service(answer: impl Fn(&HttpRequest) -> CheckResponse + Send + Sync + 'static) -> (Backend, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let backend = h2::backend(move |head, body| {
        assert_eq!(head.path, "/envoy.service.auth.v3.Authorization/Check");
        let message = CheckRequest::decode(&body[5..]).unwrap();
        let http = message.attributes.clone().and_then(|a| a.request).and_then(|r| r.http).unwrap();
        let answer = answer(&http).encode_to_vec();
        seen.lock().unwrap().push(message);
        let mut framed = vec![0];
        framed.extend_from_slice(&u32::try_from(answer.len()).unwrap().to_be_bytes());
        framed.extend_from_slice(&answer);
        (ResponseHead::new(200), framed, [("grpc-status", "0")].into_iter().collect())
    });
    (backend, asked)
}

fn option(key: &str, value: &str) -> HeaderValueOption {
    let header = HeaderValue { key: key.into(), value: value.into(), raw_value: Vec::new() };
    HeaderValueOption { header: Some(header), ..Default::default() }
}

fn no(response: Option<HttpResponse>) -> CheckResponse {
    let status = rpc::Status { code: 7, ..Default::default() };
    CheckResponse { status: Some(status), http_response: response, ..Default::default() }
}

fn yes(response: OkHttpResponse) -> CheckResponse {
    CheckResponse { http_response: Some(HttpResponse::OkResponse(response)), ..Default::default() }
}

/// A proxy in front of `app` whose filter asks the server at `auth`; `filter` is merged into the configuration.
fn proxy(app: &Backend, auth: SocketAddr, filter: Value, routes: Value) -> Proxy {
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
    });
    filter.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
    let over_grpc = config.get("http_service").is_none();
    if over_grpc && config.get("grpc_service").is_none() {
        config["grpc_service"] = json!({ "envoy_grpc": { "cluster_name": "auth" }, "timeout": "10s" });
    }
    let mut all = routes.as_array().unwrap().clone();
    all.push(json!({ "match": { "prefix": "/" }, "route": { "cluster": "app" } }));
    let hosts = json!([{
        "name": "all", "domains": ["*"], "routes": all,
        "typed_per_filter_config": { "auth": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            "check_settings": { "context_extensions": { "a": "host", "c": "3" } },
        } },
    }]);
    let deny = json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {
        "action": "DENY",
        "policies": { "marked": { "permissions": [{ "any": true }], "principals": [{ "metadata": {
            "filter": "envoy.filters.http.ext_authz",
            "path": [{ "key": "k" }],
            "value": { "string_match": { "exact": "bad" } },
        } }] } },
    } });
    let filters = json!([
        { "name": "auth", "typed_config": config },
        { "name": "rbac", "typed_config": deny },
        router(),
    ]);
    let auth = cluster("auth", &[auth]);
    Proxy::start(json!({
        "listeners": [listener("in", http(hosts, json!({ "http_filters": filters })))],
        "clusters": [cluster("app", &[app.address]), if over_grpc { http2(auth) } else { auth }],
    }))
}

fn first(asked: &Asked) -> (BTreeMap<String, String>, HttpRequest, BTreeMap<String, String>) {
    let asked = asked.lock().unwrap();
    let attributes = asked.last().unwrap().attributes.clone().unwrap();
    let http = attributes.request.and_then(|r| r.http).unwrap();
    let extensions = attributes.context_extensions.into_iter().collect();
    (http.headers.clone().into_iter().collect(), http, extensions)
}

#[test]
fn the_service_sees_the_request_and_changes_it() {
    let app = Backend::echo();
    let (auth, asked) = service(|_| {
        yes(OkHttpResponse {
            headers: vec![option("x-user", "ann"), option("a", "2")],
            headers_to_remove: vec!["authorization".into()],
            query_parameters_to_set: vec![QueryParameter { key: "q".into(), value: "new".into() }],
            response_headers_to_add: vec![option("x-seen", "yes")],
            ..Default::default()
        })
    });
    let route = json!([{
        "match": { "path": "/own" },
        "route": { "cluster": "app" },
        "typed_per_filter_config": { "auth": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            "check_settings": { "context_extensions": { "a": "route", "b": "2" } },
        } },
    }, {
        "match": { "path": "/free" },
        "route": { "cluster": "app" },
        "typed_per_filter_config": { "auth": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            "disabled": true,
        } },
    }]);
    let proxy = proxy(
        &app,
        auth.address,
        json!({ "disallowed_headers": { "patterns": [{ "exact": "x-no" }] } }),
        route,
    );
    let fields = [("authorization", "secret"), ("a", "1"), ("a", "other"), ("x-no", "1")];
    let response = request(proxy.address("in"), "GET /p?q=1", &fields);
    assert_eq!((response.status, response.headers["x-seen"].as_str()), (200, "yes"));
    assert!(response.body.starts_with("GET /p?q=new "), "{}", response.body);
    assert!(response.body.contains("x-user: ann") && response.body.contains("a: 2"), "{}", response.body);
    assert!(!response.body.contains("secret") && !response.body.contains("other"), "{}", response.body);
    let (headers, http, extensions) = first(&asked);
    for (name, want) in [
        (":method", "GET"),
        (":path", "/p?q=1"),
        (":scheme", "http"),
        ("authorization", "secret"),
        ("a", "1,other"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(headers.get(name).map(String::as_str), Some(want), "{name}");
    }
    assert!(!headers.contains_key("x-no") && !headers.contains_key("x-envoy-auth-partial-body"));
    assert_eq!(
        (http.method.as_str(), http.path.as_str(), http.protocol.as_str()),
        ("GET", "/p?q=1", "HTTP/1.1")
    );
    assert_eq!(extensions, [("a".into(), "host".into()), ("c".into(), "3".into())].into());
    let attributes = asked.lock().unwrap()[0].attributes.clone().unwrap();
    assert!(
        attributes.source.unwrap().address.is_some() && attributes.destination.unwrap().address.is_some()
    );
    get(proxy.address("in"), "/own");
    let want = [("a".into(), "route".into()), ("b".into(), "2".into()), ("c".into(), "3".into())];
    assert_eq!(first(&asked).2, want.into(), "the levels are merged");
    assert_eq!(get(proxy.address("in"), "/free").status, 200);
    assert_eq!(asked.lock().unwrap().len(), 2, "a route may switch it off");
    assert_eq!(proxy.stat("http.test.ext_authz.ok"), 2);
}

#[test]
fn a_refusal_is_what_the_service_says() {
    let app = Backend::text("hello");
    let (auth, _) = service(|http| match http.path.as_str() {
        "/plain" => no(None),
        "/unclean" => yes(OkHttpResponse { headers: vec![option("x", "a\r\nb: c")], ..Default::default() }),
        "/error" => no(Some(HttpResponse::ErrorResponse(DeniedHttpResponse {
            body: "broken".into(),
            ..Default::default()
        }))),
        "/marked" => {
            let value = google::Value { kind: Some(google::value::Kind::StringValue("bad".into())) };
            let metadata = google::Struct { fields: [("k".to_owned(), value)].into() };
            CheckResponse { dynamic_metadata: Some(metadata), ..Default::default() }
        }
        _ => no(Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(kind::HttpStatus { code: 401 }),
            headers: vec![
                option("set-cookie", "1"),
                option("content-length", "99"),
                option("content-type", "x/y"),
            ],
            body: "log in".into(),
        }))),
    });
    let proxy = proxy(&app, auth.address, json!({ "max_denied_response_body_bytes": 3 }), json!([]));
    let mut client = Client::connect(proxy.address("in"));
    let denied = client.get("/");
    assert_eq!((denied.status, denied.body.as_str()), (401, "log"));
    assert_eq!(
        (denied.headers["set-cookie"].as_str(), denied.headers["content-type"].as_str()),
        ("1", "x/y")
    );
    let plain = client.get("/plain");
    assert_eq!((plain.status, plain.body.as_str()), (403, ""));
    assert_eq!(client.get("/unclean").status, 500);
    let error = client.get("/error");
    assert_eq!((error.status, error.body.as_str()), (403, "bro"));
    assert_eq!(client.get("/marked").body, "RBAC: access denied", "metadata is there for the next filters");
    assert_eq!(app.hits(), 0);
    for (stat, want) in [("denied", 2), ("invalid", 1), ("error", 1), ("ok", 1)] {
        assert_eq!(proxy.stat(&format!("http.test.ext_authz.{stat}")), want, "{stat}");
    }
}

#[test]
fn bodies_are_sent_along_whole_or_in_part() {
    let app = Backend::echo();
    let (auth, asked) = service(|_| CheckResponse::default());
    let config = |partial: bool| json!({ "with_request_body": { "max_request_bytes": 10, "allow_partial_message": partial } });
    let part = proxy(&app, auth.address, config(true), json!([]));
    let whole = proxy(&app, auth.address, config(false), json!([]));
    let post = |proxy: &Proxy, framing: &str| {
        let mut client = Client::connect(proxy.address("in"));
        client.send(format!("POST / HTTP/1.1\r\nhost: a\r\nx-envoy-auth-partial-body: false\r\n{framing}"));
        client.receive().unwrap()
    };
    let long = post(&part, "content-length: 13\r\n\r\n0123456789abc");
    assert_eq!(long.status, 200);
    assert!(
        long.body.ends_with("0123456789abc") && long.body.contains("content-length: 13"),
        "{}",
        long.body
    );
    let (headers, http, _) = first(&asked);
    assert_eq!((http.body.as_str(), headers["x-envoy-auth-partial-body"].as_str()), ("0123456789", "true"));
    let chunked = post(&part, "transfer-encoding: chunked\r\n\r\n6\r\n012345\r\n7\r\n6789abc\r\n0\r\n\r\n");
    assert!(chunked.body.ends_with("0123456789abc"), "{}", chunked.body);
    assert_eq!(first(&asked).1.body, "0123456789");
    let exact = post(&whole, "content-length: 10\r\n\r\n0123456789");
    assert!(exact.body.ends_with("0123456789"), "{}", exact.body);
    let (headers, http, _) = first(&asked);
    assert_eq!((http.body.as_str(), headers["x-envoy-auth-partial-body"].as_str()), ("0123456789", "false"));
    assert_eq!(http.size, 10);
    let asked_so_far = asked.lock().unwrap().len();
    let refused = post(&whole, "content-length: 13\r\n\r\n0123456789abc");
    assert_eq!((refused.status, refused.body.as_str()), (413, "Payload Too Large"));
    assert_eq!(asked.lock().unwrap().len(), asked_so_far, "nobody is asked about a body that is too long");
}

#[test]
fn without_an_answer_requests_are_refused_or_pass() {
    let app = Backend::echo();
    let dead = {
        let gone = Backend::text("");
        gone.address
    };
    let silent = h2::backend(|_, _| {
        let mut head = ResponseHead::new(200);
        head.headers.append("grpc-status", b"14");
        (head, Vec::new(), HeaderList::new())
    });
    for (name, address) in [("dead", dead), ("unavailable", silent.address)] {
        let closed = proxy(&app, address, json!({}), json!([]));
        assert_eq!(get(closed.address("in"), "/").status, 403, "{name}");
        let other = proxy(&app, address, json!({ "status_on_error": { "code": 503 } }), json!([]));
        assert_eq!(get(other.address("in"), "/").status, 503, "{name}");
        let config = json!({ "failure_mode_allow": true, "failure_mode_allow_header_add": true });
        let open = proxy(&app, address, config, json!([]));
        let passed = get(open.address("in"), "/");
        assert!(passed.body.contains("x-envoy-auth-failure-mode-allowed: true"), "{name}: {}", passed.body);
        assert_eq!(open.stat("http.test.ext_authz.failure_mode_allowed"), 1);
    }
    let off = json!({
        "filter_enabled": { "default_value": { "numerator": 0 } },
        "deny_at_disable": { "default_value": true, "runtime_key": "" },
        "status_on_error": { "code": 429 },
    });
    let off = proxy(&app, dead, off, json!([]));
    assert_eq!(get(off.address("in"), "/").status, 429);
}

#[test]
fn an_http_server_may_be_asked() {
    let app = Backend::echo();
    let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let auth = Backend::http(move |asked| {
        let code = match asked.headers.get("authorization").map(String::as_str) {
            Some("deny") => "401 Unauthorized",
            Some("broken") => "503 Unavailable",
            _ => "200 OK",
        };
        kept.lock().unwrap().push(asked.clone());
        format!(
            "HTTP/1.1 {code}\r\nx-one: 1\r\nx-two: t\r\nwww-authenticate: Basic\r\ncontent-type: a/b\r\n\
             x-envoy-auth-headers-to-remove: b, c\r\ncontent-length: 8\r\n\r\nauthbody"
        )
        .into_bytes()
    });
    let exact = |name: &str| json!({ "patterns": [{ "exact": name }] });
    let uri = json!({ "uri": "http://unread", "cluster": "auth", "timeout": "10s" });
    let plain = proxy(&app, auth.address, json!({ "http_service": { "server_uri": uri } }), json!([]));
    let fields = |token: &'static str| [("authorization", token), ("a", "1"), ("b", "bb"), ("x-two", "mine")];
    let passed = request(plain.address("in"), "GET /p?q=1", &fields("ok"));
    assert!(passed.status == 200 && !passed.body.contains("b: bb"), "{}", passed.body);
    let denied = request(plain.address("in"), "GET /p?q=1", &fields("deny"));
    assert_eq!((denied.status, denied.body.as_str()), (401, "authbody"));
    for (name, want) in
        [("x-one", "1"), ("x-two", "t"), ("www-authenticate", "Basic"), ("content-type", "a/b")]
    {
        assert_eq!(denied.headers.get(name).map(String::as_str), Some(want), "{name}");
    }
    assert_eq!(request(plain.address("in"), "GET /", &fields("broken")).status, 403);
    {
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0].line, "GET /p?q=1 HTTP/1.1");
        assert_eq!(seen[0].headers.get("content-length").map(String::as_str), Some("0"));
        assert!(!seen[0].headers.contains_key("a"), "only what is allowed is sent");
    }
    let config = json!({
        "http_service": {
            "server_uri": uri,
            "path_prefix": "/pre",
            "authorization_request": { "headers_to_add": [{ "key": "x-add", "value": "v" }] },
            "authorization_response": {
                "allowed_client_headers": exact("x-two"),
                "allowed_upstream_headers": exact("x-one"),
                "allowed_upstream_headers_to_append": exact("x-two"),
                "allowed_client_headers_on_success": exact("x-one"),
            },
        },
        "allowed_headers": { "patterns": [{ "prefix": "a" }] },
        "with_request_body": { "max_request_bytes": 4, "allow_partial_message": true },
    });
    let full = proxy(&app, auth.address, config, json!([]));
    let passed = request(full.address("in"), "GET /p", &fields("ok"));
    assert_eq!(passed.headers["x-one"], "1");
    assert!(passed.body.contains("x-one: 1"), "{}", passed.body);
    assert!(passed.body.contains("x-two: t"), "{}", passed.body);
    let denied = request(full.address("in"), "GET /p", &fields("deny"));
    assert_eq!(denied.headers.get("x-one"), None, "not on the list");
    assert_eq!(denied.headers["www-authenticate"], "Basic");
    let mut client = Client::connect(full.address("in"));
    client.send("POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n012345");
    assert!(client.receive().unwrap().body.ends_with("012345"));
    let seen = seen.lock().unwrap();
    let last = seen.last().unwrap();
    assert_eq!((last.line.as_str(), last.body.as_slice()), ("POST /pre/b HTTP/1.1", &b"0123"[..]));
    for (name, want) in [("x-add", "v"), ("content-length", "4"), ("x-envoy-auth-partial-body", "true")] {
        assert_eq!(last.headers.get(name).map(String::as_str), Some(want), "{name}");
    }
}
