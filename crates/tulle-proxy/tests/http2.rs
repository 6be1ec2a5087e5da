//! HTTP/2 on either side, gRPC with its trailers, many streams on one connection.

mod common;

use common::{
    Backend, Proxy, any_host, cluster, get,
    h2::{H2Client, backend, head},
    http, http2, listener,
};
use serde_json::{Value, json};
use tulle_http::{HeaderList, Known, Method, ResponseHead};

fn proxy(app: Value) -> Proxy {
    Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/" }, "route": { "cluster": "app" } }
        ])), json!({})))],
        "clusters": [app],
    }))
}

#[test]
fn streams_of_one_client_share_its_connection_and_answers_do_not_mix() {
    let echo = Backend::echo();
    let proxy = proxy(cluster("app", &[echo.address]));
    let mut client = H2Client::connect(proxy.address("in"));
    let paths: Vec<String> = (0..50).map(|i| format!("/{i}")).collect();
    let requests: Vec<_> = paths.iter().map(|p| (head(p), &b""[..])).collect();
    for (path, received) in paths.iter().zip(client.all(&requests)) {
        assert_eq!(received.status, 200);
        let body = String::from_utf8(received.body).unwrap();
        assert!(body.starts_with(&format!("GET {path} HTTP/1.1\n")), "{body}");
    }
    assert_eq!(proxy.stat("http.test.downstream_cx_http2_total"), 1);
    assert_eq!(proxy.stat("http.test.downstream_rq_http2_total"), 50);
}

#[test]
fn large_bodies_pass_flow_control_both_ways() {
    let echo = Backend::echo();
    let proxy = proxy(cluster("app", &[echo.address]));
    let big = vec![b'z'; 3_000_000];
    let mut post = head("/big");
    post.method = Method::Post;
    let received = H2Client::connect(proxy.address("in")).all(&[(post, &big)]).remove(0);
    assert_eq!(received.status, 200);
    assert!(received.body.ends_with(&big));
}

#[test]
fn grpc_keeps_its_trailers_and_our_own_answers_are_trailers_only() {
    let app = backend(|request, body| {
        assert_eq!(request.headers.get(Known::Te), Some(&b"trailers"[..]));
        let mut head = ResponseHead::new(200);
        head.headers.append(Known::ContentType, b"application/grpc");
        let mut trailers = HeaderList::new();
        trailers.append(Known::GrpcStatus, b"0");
        (head, body.to_vec(), trailers)
    });
    let proxy = proxy(http2(cluster("app", &[app.address])));
    let mut call = head("/shop.Cart/Get");
    call.method = Method::Post;
    call.headers.append(Known::ContentType, b"application/grpc");
    call.headers.append(Known::Te, b"trailers");
    let mut client = H2Client::connect(proxy.address("in"));
    let received = client.all(&[(call.clone(), b"\0\0\0\0\x02hi")]).remove(0);
    assert_eq!((received.status, received.body.as_slice()), (200, &b"\0\0\0\0\x02hi"[..]));
    assert_eq!(received.trailers.get(Known::GrpcStatus), Some(&b"0"[..]));
    let address = app.address;
    drop(app);
    let lost = self::proxy(http2(cluster("app", &[address])));
    let refused = H2Client::connect(lost.address("in")).all(&[(call, b"x")]).remove(0);
    assert_eq!(refused.status, 200);
    assert_eq!(refused.headers.get(Known::GrpcStatus), Some(&b"14"[..]));
}

#[test]
fn http1_clients_share_one_http2_connection_upstream() {
    let app = backend(|request, _| {
        let mut head = ResponseHead::new(200);
        head.headers.append("x-path", request.path.as_bytes());
        (head, b"h2".to_vec(), HeaderList::new())
    });
    let proxy = proxy(http2(cluster("app", &[app.address])));
    let at = proxy.address("in");
    let threads: Vec<_> = (0..8)
        .map(|i| {
            std::thread::spawn(move || {
                for j in 0..20 {
                    let response = get(at, &format!("/{i}/{j}"));
                    assert_eq!((response.status, response.body.as_str()), (200, "h2"));
                    assert_eq!(response.headers["x-path"], format!("/{i}/{j}"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(app.connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}
