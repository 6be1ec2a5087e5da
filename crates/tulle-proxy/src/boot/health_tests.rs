use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use tulle_base::readiness::Header;

use super::*;

fn judge(success: u32, failure: u32) -> Judge {
    Judge::new(&ReadinessProbe {
        success_threshold: success,
        failure_threshold: failure,
        ..ReadinessProbe::default()
    })
}

fn bad() -> Result<(), String> {
    Err("bad".to_owned())
}

#[test]
fn a_verdict_needs_its_answers_in_a_row_and_is_told_once() {
    let mut j = judge(2, 3);
    assert_eq!(j.hear(Ok(())), None);
    assert_eq!(j.hear(bad()), None, "the row is broken");
    assert_eq!(j.hear(Ok(())), None);
    assert_eq!(j.hear(Ok(())), Some(None));
    assert_eq!(j.hear(Ok(())), None, "it was told");
    assert_eq!((j.hear(bad()), j.hear(bad())), (None, None));
    assert_eq!(j.hear(bad()), Some(Some("bad".to_owned())));
    assert_eq!(j.hear(Ok(())), None);
    // Istio's defaults.
    let mut j = judge(0, 0);
    assert_eq!((j.hear(bad()), j.hear(bad())), (None, None));
    assert_eq!(j.hear(bad()), Some(Some("bad".to_owned())));
    assert_eq!(j.hear(Ok(())), Some(None));
}

/// Answers one request with `status`, and gives what was asked.
fn server(status: &'static str) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            text.extend(byte);
        }
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        String::from_utf8(text).unwrap()
    });
    (port, asked)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

fn answer(probe: &ReadinessProbe) -> Result<(), String> {
    run(ask(probe, None, Duration::from_secs(5)))
}

#[test]
fn a_get_asks_for_the_path_with_its_headers_and_takes_200_to_399() {
    for (status, good) in [("200 OK", true), ("302 Found", true), ("404 Not Found", false), ("503 No", false)]
    {
        let (port, asked) = server(status);
        let probe = ReadinessProbe {
            http_get: Some(HttpGet {
                path: "ready".into(),
                port,
                host: "127.0.0.1".into(),
                http_headers: vec![Header { name: "X-Asks".into(), value: "mesh".into() }],
                ..HttpGet::default()
            }),
            ..ReadinessProbe::default()
        };
        assert_eq!(answer(&probe).is_ok(), good, "{status}");
        let asked = asked.join().unwrap().to_lowercase();
        assert!(asked.starts_with("get /ready http/1.1"), "{asked}");
        assert!(
            asked.contains("x-asks: mesh") && asked.contains(&format!("host: 127.0.0.1:{port}")),
            "{asked}"
        );
    }
}

#[test]
fn a_connection_is_enough_for_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = ReadinessProbe {
        tcp_socket: Some(TcpSocket { host: "127.0.0.1".into(), port }),
        ..ReadinessProbe::default()
    };
    assert_eq!(answer(&probe), Ok(()));
    // A port that is taken, and where nobody listens.
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    deaf.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = deaf.local_addr().unwrap().as_socket().unwrap().port();
    let tcp_socket = Some(TcpSocket { host: "127.0.0.1".into(), port });
    let probe = ReadinessProbe { tcp_socket, ..ReadinessProbe::default() };
    assert!(answer(&probe).unwrap_err().contains("refused"));
}

#[test]
fn a_command_says_it_with_its_exit_code_and_does_not_outlive_its_time() {
    let probe = |command: &[&str]| ReadinessProbe {
        exec: Some(Exec { command: command.iter().map(|&c| c.to_owned()).collect() }),
        ..ReadinessProbe::default()
    };
    assert_eq!(answer(&probe(&["true"])), Ok(()));
    assert!(answer(&probe(&["sh", "-c", "exit 3"])).unwrap_err().contains('3'));
    assert!(answer(&probe(&["/nowhere/to/be/found"])).unwrap_err().contains("/nowhere"));
    let slow = probe(&["sleep", "600"]);
    assert_eq!(run(ask(&slow, None, Duration::from_secs(1))).unwrap_err(), "no answer within 1 s");
}

#[test]
fn a_grpc_server_says_that_it_serves() {
    use hyper::service::service_fn;
    for (body, good) in [(&[0, 0, 0, 0, 2, 8, 1], true), (&[0, 0, 0, 0, 2, 8, 2], false)] {
        let out = run(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::task::spawn_local(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service_fn(move |request: Request<hyper::body::Incoming>| async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let asked = request.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(&*asked, b"\0\0\0\0\x06\n\x04cart");
                    let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
                    let body = Full::new(Bytes::from_static(body))
                        .with_trailers(async move { Some(Ok(trailers.into_iter().collect())) });
                    Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
            let grpc = Some(Grpc { port, service: "cart".into() });
            ask(&ReadinessProbe { grpc, ..ReadinessProbe::default() }, None, Duration::from_secs(5)).await
        });
        assert_eq!(out.is_ok(), good, "{out:?}");
    }
}
