//! One health check: a request, a call or a connection, and what the answer means.

use std::{future::poll_fn, rc::Rc, task::Poll, time::Instant};

use bytes::BytesMut;
use tulle_engine::{
    decide::health::CheckResult,
    runtime::{
        headers::Template,
        health::{GrpcCheck, HealthCheck, HealthCheckKind, HttpCheck, TcpCheck},
    },
};
use tulle_http::{
    HeaderList, Known, Method, RequestHead, ResponseHead, Version,
    h1::{Persistence, RequestSent},
};

use crate::{
    cluster::{
        Host, LocalCluster, PoolKey, connecting,
        host::Class,
        local::{Hold, LocalTransport},
    },
    http::{
        side::{Length, Piece},
        upstream::{self, Upstream, Wish},
    },
    net::stream::Stream,
    worker::Worker,
};

/// The most that is read of an answer.
const LONGEST: usize = 64 * 1024;

/// The name of the asker, which services know from Envoy.
const USER_AGENT: &str = "Envoy/HC";

/// Asks `host` as `check` says, for `hostname` if that is not empty. The caller bounds the time.
pub(super) async fn ask(
    worker: &Rc<Worker>,
    cluster: &Rc<LocalCluster>,
    host: &Rc<Host>,
    (check, hostname): (&HealthCheck, &str),
) -> CheckResult {
    let asked = match &check.kind {
        HealthCheckKind::Tcp(tcp) => by_tcp(worker, cluster, host, tcp).await,
        HealthCheckKind::Http(http) => by_http(worker, cluster, host, (check, hostname), http).await,
        HealthCheckKind::Grpc(grpc) => by_grpc(worker, cluster, host, (check, hostname), grpc).await,
    };
    asked.unwrap_or(CheckResult::Unreachable)
}

async fn by_tcp(
    worker: &Rc<Worker>,
    cluster: &Rc<LocalCluster>,
    host: &Rc<Host>,
    check: &TcpCheck,
) -> Option<CheckResult> {
    let sni = match cluster.transports.get(host.transport) {
        Some(LocalTransport::Tls(tls)) => tls.context.sni.clone(),
        _ => cluster.no_name.clone(),
    };
    let key = PoolKey { transport: host.transport, class: Class::Tcp, sni, owner: None };
    let (mut stream, _facts) =
        connecting::connect(worker, cluster, host, &key, None, Hold::uncounted()).await.ok()?;
    let mut rest: &[u8] = &check.send;
    while !rest.is_empty() {
        let written = poll_fn(|cx| stream.poll_write_buf(cx, &rest)).await.ok()?;
        rest = rest.get(written..)?;
    }
    poll_fn(|cx| stream.poll_flush(cx)).await.ok()?;
    answered_in_order(&mut stream, &check.receive).await
}

/// Reads until everything that is wanted has come, in its order.
async fn answered_in_order(stream: &mut Stream, wanted: &[Vec<u8>]) -> Option<CheckResult> {
    let (mut read, mut at) = (BytesMut::new(), 0);
    for pattern in wanted {
        loop {
            let rest = &read[at..];
            if let Some(found) = rest.windows(pattern.len()).position(|window| window == pattern.as_slice()) {
                at += found + pattern.len();
                break;
            }
            let count = poll_fn(|cx| stream.poll_read_bytes(cx, &mut read, 4096)).await.ok()?;
            if count == 0 || read.len() > LONGEST {
                return None;
            }
        }
    }
    Some(CheckResult::Healthy)
}

async fn by_http(
    worker: &Rc<Worker>,
    cluster: &Rc<LocalCluster>,
    host: &Rc<Host>,
    (check, hostname): (&HealthCheck, &str),
    http: &HttpCheck,
) -> Option<CheckResult> {
    let mut head = RequestHead {
        method: Method::from_bytes(http.method.as_bytes())?,
        authority: authority([hostname, &http.host], cluster),
        path: http.path.to_string(),
        version: if http.http2 { Version::Http2 } else { Version::Http11 },
        ..RequestHead::default()
    };
    head.headers.set("user-agent", USER_AGENT.as_bytes());
    for name in &http.headers.remove {
        head.headers.remove(name.as_str());
    }
    for add in &http.headers.add {
        if let Template::Text(value) = &add.value {
            head.headers.set(add.name.as_str(), value.as_bytes());
        }
    }
    let class = if http.http2 { Class::Http2 } else { Class::Http1 };
    let (status, _, _) = exchange(worker, cluster, host, check, (&head, &[], class)).await?;
    let within = |ranges: &[(u16, u16)]| ranges.iter().any(|(from, to)| (*from..*to).contains(&status));
    Some(match (within(&http.expected), within(&http.retriable)) {
        (true, _) => CheckResult::Healthy,
        (false, true) => CheckResult::Unreachable,
        (false, false) => CheckResult::Unhealthy,
    })
}

/// `grpc.health.v1.Health/Check`: a message whose field 1 is the service, and one whose field 1 is the status.
async fn by_grpc(
    worker: &Rc<Worker>,
    cluster: &Rc<LocalCluster>,
    host: &Rc<Host>,
    (check, hostname): (&HealthCheck, &str),
    grpc: &GrpcCheck,
) -> Option<CheckResult> {
    /// `SERVING`.
    const SERVING: &[u8] = &[0x08, 0x01];
    let mut head = RequestHead {
        method: Method::Post,
        authority: authority([hostname, &grpc.authority], cluster),
        path: "/grpc.health.v1.Health/Check".to_owned(),
        version: Version::Http2,
        ..RequestHead::default()
    };
    for (name, value) in
        [("user-agent", USER_AGENT), ("content-type", "application/grpc"), ("te", "trailers")]
    {
        head.headers.set(name, value.as_bytes());
    }
    head.headers.set(Known::GrpcTimeout, format!("{}m", check.timeout.as_millis()).as_bytes());
    let mut message = Vec::new();
    if !grpc.service.is_empty() {
        prost::encoding::string::encode(1, &grpc.service.to_string(), &mut message);
    }
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(message.len()).ok()?.to_be_bytes());
    body.extend_from_slice(&message);
    let (status, answer, trailers) =
        exchange(worker, cluster, host, check, (&head, &body, Class::Http2)).await?;
    let ended_well = trailers.get_str("grpc-status").is_some_and(|code| code == "0");
    let serves = answer.get(5..).is_some_and(|message| message == SERVING);
    Some(if status == 200 && ended_well && serves { CheckResult::Healthy } else { CheckResult::Unhealthy })
}

/// The first that is written, else the cluster's name.
fn authority(written: [&str; 2], cluster: &LocalCluster) -> String {
    let written = written.into_iter().find(|text| !text.is_empty());
    written.unwrap_or(&cluster.config.name).to_owned()
}

/// Sends a request; the status, the body and the trailers (or headers, where there is nothing else) of its answer. Breakers
/// of high priority count the connection, so that a cluster that is full can still be asked.
async fn exchange(
    worker: &Rc<Worker>,
    cluster: &Rc<LocalCluster>,
    host: &Rc<Host>,
    check: &HealthCheck,
    (head, body, class): (&RequestHead, &[u8], Class),
) -> Option<(u16, Vec<u8>, HeaderList)> {
    let mut key = upstream::pool_key(cluster, host, head);
    key.class = class;
    let fresh = !check.reuse_connection;
    let wish = Wish { worker, cluster, host, key: &key, alpn: None, fresh, priority: 1, is_check: true };
    let mut up = upstream::acquire(&wish).await.ok()?;
    let length = if body.is_empty() { Length::None } else { Length::Known(body.len() as u64) };
    up.side.write_request(head, length, Persistence::KeepAlive);
    if !body.is_empty() {
        poll_fn(|cx| up.side.poll_room(cx)).await.ok()?;
        up.side.write_data(body).ok()?;
        up.side.write_end(&HeaderList::new()).ok()?;
    }
    let mut answer = ResponseHead::default();
    let keep = loop {
        let sent = || RequestSent { method: &head.method, upgrade: false };
        let got = poll_fn(|cx| {
            let _ = up.side.poll_flush(cx);
            up.side.poll_response(cx, sent(), &mut answer)
        })
        .await
        .ok()?;
        if !answer.is_informational() {
            break got.keep_alive;
        }
    };
    let read = read_body(&mut up).await?;
    let trailers = match answer.headers.contains("grpc-status") {
        true => answer.headers.clone(),
        false => up.side.trailers().clone(),
    };
    if keep && check.reuse_connection {
        up.give_back(worker, cluster, host, &key, Instant::now());
    }
    Some((answer.status, read, trailers))
}

async fn read_body(up: &mut Upstream) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    poll_fn(|cx| {
        loop {
            match up.side.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data)) => {
                    let count = up.side.data().len();
                    if read.len() + count > LONGEST {
                        return Poll::Ready(None);
                    }
                    read.extend_from_slice(up.side.data());
                    up.side.consume(count);
                }
                Poll::Ready(Ok(Piece::End)) => return Poll::Ready(Some(())),
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await?;
    Some(read)
}
