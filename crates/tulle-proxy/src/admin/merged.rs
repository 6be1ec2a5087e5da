//! Merged metrics of 15020: the proxy's, and those of the application where its annotations name a port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tulle_telemetry::metrics::{Extra, ExtraKind, prometheus};

use super::http::{Asked, Reply};
use super::stats;
use crate::boot::Main;

/// The most that an application's metrics may be: 64 MiB.
const MAX_BODY: usize = 64 << 20;
/// How long it may take where Prometheus says nothing.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A plain HTTP/1.1 request within the pod.
#[derive(Debug)]
pub(super) struct Fetch<'a> {
    /// Whom to ask.
    pub(super) address: SocketAddr,
    /// What for.
    pub(super) path: &'a str,
    /// Further headers.
    pub(super) headers: &'a [(String, String)],
    /// Mark of the socket.
    pub(super) mark: Option<u32>,
    /// How long it may take in all.
    pub(super) timeout: Duration,
}

/// Why the application did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// No connection.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The request cannot be written.
    #[error("not a valid request: {0}")]
    Request(#[from] hyper::http::Error),
    /// Broken HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// Too much body, or a broken one.
    #[error("body: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// Too slow.
    #[error("no answer in time")]
    Timeout,
}

/// The metrics of proxy and application together.
pub(super) async fn metrics(main: &Main, asked: &Asked) -> Reply {
    let mut out = stats::prometheus_text(main).await;
    let mut failed = false;
    if let Some((port, path)) = app_endpoint(main) {
        let headers: Vec<(String, String)> = asked
            .headers
            .get(ACCEPT)
            .and_then(|v| v.to_str().ok())
            // OpenMetrics ends with a line that cannot be followed by anything.
            .filter(|accept| !accept.contains("openmetrics"))
            .map(|accept| ("accept".to_owned(), accept.to_owned()))
            .into_iter()
            .collect();
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let wanted = Fetch { address, path: &path, headers: &headers, mark: main.mark, timeout: TIMEOUT };
        match fetch(wanted).await {
            Ok((status, content_type, body))
                if status.is_success() && !content_type.contains("openmetrics") =>
            {
                out.push_str(&String::from_utf8_lossy(&body));
                if !out.ends_with('\n') {
                    out.push('\n');
                }
            }
            Ok((status, _, _)) => {
                failed = true;
                tracing::debug!(%status, port, path, "application's metrics not usable");
            }
            Err(error) => {
                failed = true;
                tracing::debug!(%error, port, path, "application's metrics not read");
            }
        }
    }
    main.count_scrape(failed);
    let mut own = tulle_telemetry::metrics::Snapshot::default();
    for extra in agent_stats(main) {
        own.push(extra);
    }
    out.push_str(&prometheus::render(&own, prometheus::Exposure::All));
    Reply { status: StatusCode::OK, content_type: prometheus::CONTENT_TYPE, body: out.into() }
}

/// The application's metrics port and path, by its annotations; `None` where there is nothing to merge.
fn app_endpoint(main: &Main) -> Option<(u16, String)> {
    let get = |key: &str| main.annotations.get(key).map(String::as_str);
    if get("prometheus.io/scrape") != Some("true")
        || get("prometheus.istio.io/merge-metrics") == Some("false")
    {
        return None;
    }
    let port: u16 = get("prometheus.io/port").unwrap_or("80").parse().ok()?;
    let path = get("prometheus.io/path").unwrap_or("/metrics");
    // The annotations of an injected pod point here.
    (port != 15020).then(|| (port, if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }))
}

/// The agent's own metrics (`istio_agent_*`).
fn agent_stats(main: &Main) -> Vec<Extra> {
    let mut all = vec![
        Extra::metric("istio_agent_scrapes_total", ExtraKind::Counter, main.scrapes() as f64),
        Extra::metric("istio_agent_scrape_failures_total", ExtraKind::Counter, main.scrape_failures() as f64)
            .with("type", "application"),
    ];
    if let Some(status) = main.rotation.as_ref().and_then(tulle_identity::Watched::get) {
        all.push(
            Extra::metric(
                "istio_agent_num_outgoing_requests",
                ExtraKind::Counter,
                (status.issued + status.failures) as f64,
            )
            .with("request_type", "csr"),
        );
        all.push(
            Extra::metric(
                "istio_agent_num_failed_outgoing_requests",
                ExtraKind::Counter,
                status.failures as f64,
            )
            .with("request_type", "csr"),
        );
        if let Some(info) = &status.certificate {
            let left = info.seconds_left(std::time::SystemTime::now());
            all.push(
                Extra::metric("istio_agent_cert_expiry_seconds", ExtraKind::Gauge, left as f64)
                    .with("resource_name", "default"),
            );
        }
    }
    if let Some(seconds) = main.startup_seconds() {
        all.push(Extra::metric("istio_agent_startup_duration_seconds", ExtraKind::Gauge, seconds));
    }
    all.extend(main.dns_stats());
    all
}

/// Sends one GET request and reads the whole answer: status, content type, body.
pub(super) async fn fetch(wanted: Fetch<'_>) -> Result<(StatusCode, String, Bytes), FetchError> {
    let timeout = wanted.timeout;
    tokio::time::timeout(timeout, fetch_within(wanted)).await.unwrap_or(Err(FetchError::Timeout))
}

async fn fetch_within(wanted: Fetch<'_>) -> Result<(StatusCode, String, Bytes), FetchError> {
    let Fetch { address, path, headers, mark, timeout: _ } = wanted;
    let stream = tulle_identity::connect::dial(address, mark).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::task::spawn_local(connection);
    let mut request = Request::get(path).header(HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let (head, body) = response.into_parts();
    let content_type =
        head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(FetchError::Body)?.to_bytes();
    driver.abort();
    Ok((head.status, content_type, body))
}
