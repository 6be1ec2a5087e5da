//! Merged metrics of 15020: the proxy's, and those of the application where its annotations name a port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tulle_telemetry::metrics::prometheus::END;
use tulle_telemetry::metrics::{Extra, ExtraKind, Format, prometheus, render_as};

use super::http::{Asked, Reply};
use super::{exposition, stats};
use crate::boot::Main;

/// The most that an application's metrics may be: 16 MiB.
const MAX_BODY: usize = 16 << 20;
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

/// The metrics of proxy and application together. They are in one form: the application's where it has any, else the one that the
/// client prefers.
pub(super) async fn metrics(main: &Main, asked: &Asked) -> Reply {
    let app = application(main, asked).await;
    main.count_scrape(app.as_ref().is_some_and(Result::is_err));
    let (format, app) = match app {
        Some(Ok((format, text))) => (format, text),
        Some(Err(())) | None => (stats::wanted(asked), String::new()),
    };
    let mut out = stats::prometheus_text(main, format).await;
    // The end of the application's is not the end of all.
    out.push_str(app.trim_end().strip_suffix(END.trim_end()).unwrap_or(&app));
    if !out.ends_with('\n') {
        out.push('\n');
    }
    let mut own = tulle_telemetry::metrics::Snapshot::default();
    for extra in agent_stats(main) {
        own.push(extra);
    }
    out.push_str(&render_as(&own, prometheus::Exposure::All, format));
    if format == Format::OpenMetrics {
        out.push_str(END);
    }
    Reply { status: StatusCode::OK, content_type: format.content_type(), body: out.into() }
}

/// The application's metrics and their form; `None` where there are none to merge. What is wrong is told in our log.
async fn application(main: &Main, asked: &Asked) -> Option<Result<(Format, String), ()>> {
    let (port, path) = app_endpoint(main)?;
    let accept = asked.headers.get(ACCEPT).and_then(|v| v.to_str().ok());
    let headers: Vec<(String, String)> =
        accept.map(|accept| ("accept".to_owned(), accept.to_owned())).into_iter().collect();
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let wanted = Fetch { address, path: &path, headers: &headers, mark: main.mark, timeout: patience(asked) };
    let problem = match fetch(wanted).await {
        Ok((status, content_type, body)) if status.is_success() => {
            let openmetrics = content_type.contains("application/openmetrics-text");
            let format = if openmetrics { Format::OpenMetrics } else { Format::Text };
            let asked_for = !openmetrics || accept.is_some_and(|a| a.contains("openmetrics"));
            match (String::from_utf8(body.into()), asked_for) {
                (Ok(text), true) => match exposition::first_bad_line(&text, format) {
                    None => return Some(Ok((format, text))),
                    Some(line) => format!("line {line} is no metric"),
                },
                (Err(_), _) => "not UTF-8".to_owned(),
                (_, false) => "OpenMetrics, which nobody asked for".to_owned(),
            }
        }
        Ok((status, _, _)) => format!("status {status}"),
        Err(error) => error.to_string(),
    };
    tracing::debug!(problem, port, path, "application's metrics left out");
    Some(Err(()))
}

/// How long the application may take: less than whoever scrapes waits for all, as Prometheus says with each request.
fn patience(asked: &Asked) -> Duration {
    let told = asked.headers.get("x-prometheus-scrape-timeout-seconds").and_then(|v| v.to_str().ok());
    let seconds = told.and_then(|text| text.parse::<f64>().ok()).filter(|s| s.is_finite() && *s > 0.0);
    seconds.map_or(TIMEOUT, |seconds| Duration::from_secs_f64((seconds * 0.8).min(TIMEOUT.as_secs_f64())))
}

/// The application's metrics port and path, by its annotations; `None` where there is nothing to merge.
fn app_endpoint(main: &Main) -> Option<(u16, String)> {
    let get = |key: &str| main.annotations.get(key).map(String::as_str);
    if !main.merge_metrics
        || get("prometheus.io/scrape") != Some("true")
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
    all.extend(tulle_telemetry::metrics::process());
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
