//! Whether the application of a workload outside of the cluster is well: asked here as the probe says, told to the control plane
//! with [`HEALTH`] whenever the verdict changes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tulle_base::readiness::{Exec, Grpc, HttpGet, ReadinessProbe, TcpSocket};
use tulle_identity::connect;
use tulle_identity::tls::{ClientTls, VerifyPeer};

/// Type under which health is told on the xDS stream.
pub(super) const HEALTH: &str = "type.googleapis.com/istio.v1.HealthInformation";
/// What a probe's host is where it names none.
const DEFAULT_HOST: &str = "localhost";
/// The most of an answer that is read.
const MAX_BODY: usize = 64 << 10;
/// How often a command is looked after.
const LOOK: Duration = Duration::from_millis(20);

/// What is told: `None` is well, or else what was wrong last.
pub(super) type Verdict = Option<String>;

/// Asks on and on, from the first delay to the end of the process.
pub(super) async fn keep_asking(probe: ReadinessProbe, mark: Option<u32>, tell: mpsc::Sender<Verdict>) {
    let seconds =
        |given: u32, default: u32| Duration::from_secs(u64::from(if given == 0 { default } else { given }));
    let (timeout, period) = (seconds(probe.timeout_seconds, 1), seconds(probe.period_seconds, 10));
    let mut judge = Judge::new(&probe);
    tokio::time::sleep(Duration::from_secs(u64::from(probe.initial_delay_seconds))).await;
    let mut clock = tokio::time::interval(period);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let answer = ask(&probe, mark, timeout).await;
        if let Err(problem) = &answer {
            tracing::debug!(problem, "the application is not well");
        }
        if let Some(verdict) = judge.hear(answer) {
            tracing::info!(problem = verdict.as_deref().unwrap_or("none"), "health of the application");
            if tell.send(verdict).await.is_err() {
                return;
            }
        }
    }
}

/// From single answers to verdicts.
struct Judge {
    success_threshold: u32,
    failure_threshold: u32,
    /// Answers of the same kind in a row, and of which kind.
    row: (bool, u32),
    told: Option<bool>,
}

impl Judge {
    fn new(probe: &ReadinessProbe) -> Self {
        let or = |given: u32, default: u32| if given == 0 { default } else { given };
        Self {
            success_threshold: or(probe.success_threshold, 1),
            failure_threshold: or(probe.failure_threshold, 3),
            row: (true, 0),
            told: None,
        }
    }

    /// What is to be told after an answer, if anything.
    fn hear(&mut self, answer: Result<(), String>) -> Option<Verdict> {
        let well = answer.is_ok();
        self.row = (well, if self.row.0 == well { self.row.1.saturating_add(1) } else { 1 });
        let threshold = if well { self.success_threshold } else { self.failure_threshold };
        if self.told == Some(well) || self.row.1 < threshold {
            return None;
        }
        self.told = Some(well);
        Some(answer.err())
    }
}

async fn ask(probe: &ReadinessProbe, mark: Option<u32>, timeout: Duration) -> Result<(), String> {
    let ReadinessProbe { http_get, tcp_socket, exec, grpc, .. } = probe;
    let answer = async {
        if let Some(http) = http_get {
            return by_http(http, mark).await;
        }
        if let Some(TcpSocket { host, port }) = tcp_socket {
            return dial(host, *port, mark).await.map(drop).map_err(|e| e.to_string());
        }
        if let Some(grpc) = grpc {
            return by_grpc(grpc, mark).await;
        }
        match exec.clone() {
            // Ends the command itself: a future that is dropped would leave it running.
            Some(exec) => tokio::task::spawn_blocking(move || by_command(&exec, timeout))
                .await
                .unwrap_or_else(|e| Err(e.to_string())),
            None => Err("the probe does not say how to ask".to_owned()),
        }
    };
    let limit = if exec.is_some() { timeout + Duration::from_secs(1) } else { timeout };
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(late(timeout)))
}

fn late(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs())
}

async fn dial(host: &str, port: u16, mark: Option<u32>) -> io::Result<TcpStream> {
    let host = if host.is_empty() { DEFAULT_HOST } else { host };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in addresses {
        match connect::dial(address, mark).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn by_http(given: &HttpGet, mark: Option<u32>) -> Result<(), String> {
    let HttpGet { path, port, host, scheme, http_headers } = given;
    let text = |e: &dyn std::error::Error| e.to_string();
    let stream = dial(host, *port, mark).await.map_err(|e| text(&e))?;
    let host = if host.is_empty() { DEFAULT_HOST } else { host };
    let path = if path.starts_with('/') { path.clone() } else { format!("/{path}") };
    let mut request = Request::get(path);
    if !http_headers.iter().any(|h| h.name.eq_ignore_ascii_case("host")) {
        request = request.header(HOST, format!("{host}:{port}"));
    }
    for header in http_headers {
        request = request.header(&header.name, &header.value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| text(&e))?;
    let status = if scheme.eq_ignore_ascii_case("https") {
        // It is asked whether it is well, not who it is.
        let config = ClientTls::new(VerifyPeer::Nothing).build().map_err(|e| text(&e))?;
        let name = rustls_pki_types::ServerName::try_from(host.to_owned()).map_err(|e| text(&e))?;
        let stream = TlsConnector::from(Arc::clone(&config)).connect(name, stream).await;
        status(TokioIo::new(stream.map_err(|e| text(&e))?), request).await
    } else {
        status(TokioIo::new(stream), request).await
    };
    match status.map_err(|e| text(&e))? {
        good if (200..400).contains(&good.as_u16()) => Ok(()),
        bad => Err(format!("answered with {}", bad.as_u16())),
    }
}

async fn status<I>(io: I, request: Request<Empty<Bytes>>) -> Result<StatusCode, hyper::Error>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let driver = tokio::task::spawn_local(connection);
    let answer = sender.send_request(request).await.map(|r| r.status());
    driver.abort();
    answer
}

/// `grpc.health.v1.Health/Check`: a message whose field 1 is the service, and one whose field 1 is the status.
async fn by_grpc(given: &Grpc, mark: Option<u32>) -> Result<(), String> {
    let Grpc { port, service } = given;
    let text = |e: &dyn std::error::Error| e.to_string();
    let stream = dial(DEFAULT_HOST, *port, mark).await.map_err(|e| text(&e))?;
    let mut message = Vec::new();
    if !service.is_empty() {
        prost::encoding::string::encode(1, service, &mut message);
    }
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(message);
    let request = Request::post(format!("http://{DEFAULT_HOST}:{port}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(frame)))
        .map_err(|e| text(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|e| text(&e))?;
    let driver = tokio::task::spawn_local(connection);
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| text(&e))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|e| e.to_string())?;
        let code =
            body.trailers().and_then(|t| t.get("grpc-status")).or_else(|| head.headers.get("grpc-status"));
        let code = code.and_then(|c| c.to_str().ok()).unwrap_or("none").to_owned();
        match (code.as_str(), &*body.to_bytes()) {
            // A frame with one message: field 1 is SERVING.
            ("0", [0, 0, 0, 0, 2, 8, 1]) => Ok(()),
            ("0", _) => Err("answered that it does not serve".to_owned()),
            (code, _) => Err(format!("gRPC status {code}")),
        }
    };
    let answer = answer.await;
    driver.abort();
    answer
}

fn by_command(given: &Exec, timeout: Duration) -> Result<(), String> {
    let [program, arguments @ ..] = &*given.command else { return Err("no command".to_owned()) };
    let null = std::process::Stdio::null;
    let started = Instant::now();
    let child = std::process::Command::new(program)
        .args(arguments)
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .spawn();
    let mut child = child.map_err(|e| format!("{program}: {e}"))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{program}: {status}")),
            Ok(None) if started.elapsed() < timeout => std::thread::sleep(LOOK),
            ended => {
                // Failing to end what has ended is no failure.
                let _ = child.kill();
                let _ = child.wait();
                return Err(ended.err().map_or_else(|| late(timeout), |e| format!("{program}: {e}")));
            }
        }
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
