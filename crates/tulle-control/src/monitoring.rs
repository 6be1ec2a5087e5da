//! The HTTP ports for people and Prometheus: `/metrics`, `/ready`, `/version`, `/debug/syncz`.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tulle_ca::{Authorities, Counters};
use tulle_telemetry::audit::AuditLog;
use tulle_xds::server::Hub;

use crate::metrics::{Metric, Metrics};
use crate::standing::Standing;
use crate::stop::Stop;
use crate::types::Types;
use crate::world::Directory;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 256;
/// How long a connection may last.
const MAX_AGE: Duration = Duration::from_secs(120);

/// What is shown.
pub(crate) struct Shown {
    pub(crate) hub: Hub,
    pub(crate) types: Types,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) directory: Directory,
    pub(crate) standing: Standing,
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) audit: AuditLog,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) started: Instant,
    /// Longest life of workload certificates.
    pub(crate) cert_ttl: Duration,
}

/// Serves a port until told to stop.
pub(crate) async fn serve(listener: TcpListener, shown: Arc<Shown>, mut stop: Stop) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.said() => return,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let shown = shown.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let shown = shown.clone();
                async move { Ok::<_, Infallible>(shown.answer(&request).await) }
            });
            let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new());
            let connection = builder.serve_connection(TokioIo::new(socket), service);
            // A client that goes away, or stays too long, is no concern of ours.
            let _ = tokio::time::timeout(MAX_AGE, connection).await;
            drop(slot);
        });
    }
}

impl Shown {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        match request.uri().path() {
            "/ready" | "/healthz/ready" if *self.ready.borrow() => text(StatusCode::OK, String::new()),
            "/ready" | "/healthz/ready" => {
                text(StatusCode::SERVICE_UNAVAILABLE, "the store has not been read yet\n".to_owned())
            }
            "/version" => text(StatusCode::OK, format!("tulle-{}\n", env!("CARGO_PKG_VERSION"))),
            "/metrics" => self.metrics(),
            "/debug/syncz" => json_answer(&self.syncz().await),
            "/debug/connections" => json_answer(&self.connections()),
            "/" | "/debug" => {
                let pages = "/metrics\n/ready\n/version\n/debug/syncz\n/debug/connections\n";
                text(StatusCode::OK, pages.to_owned())
            }
            _ => text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
        }
    }

    /// Brings the metrics up to date that others keep.
    pub(crate) fn gather(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let metrics = &self.metrics;
        let Counters { requests, issued, unauthenticated, unreadable, unsigned, overreaching, limited } =
            &*self.counters;
        for (metric, counter) in [
            (Metric::CsrCount, requests),
            (Metric::CsrIssued, issued),
            (Metric::CsrUnauthenticated, unauthenticated),
            (Metric::CsrUnreadable, unreadable),
            (Metric::CsrUnsigned, unsigned),
            (Metric::CsrOverreaching, overreaching),
            (Metric::CsrLimited, limited),
        ] {
            metrics.set(metric, &[], counter.load(Relaxed) as f64);
        }
        let expiry =
            self.authorities.current().signing.not_after().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = expiry.as_secs_f64()
            - std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // What is issued is signed by the root itself.
        for (at, until) in [(Metric::RootExpiry, Metric::RootLeft), (Metric::ChainExpiry, Metric::ChainLeft)]
        {
            metrics.set(at, &[], expiry.as_secs() as f64);
            metrics.set(until, &[], left.floor());
        }
        metrics.set(Metric::AuditRecorded, &[], self.audit.recorded() as f64);
        metrics.set(Metric::AuditLost, &[], self.audit.lost() as f64);
        metrics.set(Metric::Uptime, &[], self.started.elapsed().as_secs_f64());
        metrics.begin();
        metrics.set(Metric::Info, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        metrics.set(Metric::Clusters, &[("cluster_type", "local")], 1.0);
        metrics.set(Metric::Build, &[("component", "pilot"), ("tag", env!("CARGO_PKG_VERSION"))], 1.0);
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        self.gather();
        let mut all = self.metrics.render();
        let mut process = tulle_telemetry::metrics::Snapshot::default();
        tulle_telemetry::metrics::process().into_iter().for_each(|extra| process.push(extra));
        all.push_str(&tulle_telemetry::metrics::render(&process, tulle_telemetry::metrics::Exposure::All));
        let mut response = text(StatusCode::OK, all);
        let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    /// One entry per proxy: what it has acknowledged, type by type, and up to which version of the store.
    async fn syncz(&self) -> Value {
        let snapshot = self.hub.snapshot().await;
        let directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = snapshot.iter().filter_map(|stream| {
            let connected = directory.get(&stream.stream)?;
            let mut entry = json!({
                "proxy": format!("{}.{}", connected.proxy.pod.name, connected.proxy.pod.namespace),
                "proxy_type": format!("{:?}", connected.proxy.kind).to_ascii_lowercase(),
                "cluster_id": connected.proxy.cluster_id,
                "node": connected.proxy.id,
                "stock_envoy": connected.proxy.stock_envoy,
                "acknowledged_version": self.standing.version(stream.stream),
            });
            for kind in &stream.types {
                let label = self.types.label(kind.kind);
                let refused: Vec<_> = kind.refused.iter().map(|(name, _)| name.as_ref()).collect();
                let state = match (refused.is_empty(), kind.settled) {
                    (false, _) => "ERROR",
                    (true, true) => "SYNCED",
                    (true, false) => "STALE",
                };
                entry[format!("{label}_status")] = json!(state);
                if !refused.is_empty() {
                    entry[format!("{label}_refused")] = json!(refused);
                }
            }
            Some(entry)
        });
        Value::Array(entries.collect())
    }

    fn connections(&self) -> Value {
        let directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let clients: Vec<Value> = directory
            .iter()
            .map(|(stream, c)| {
                let at = SystemTime::now().checked_sub(c.since.elapsed()).unwrap_or(UNIX_EPOCH);
                let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                json!({"stream": stream.0, "node": c.proxy.id, "view": c.view, "connected_at": at})
            })
            .collect();
        json!({"totalClients": clients.len(), "clients": clients})
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn json_answer(value: &Value) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, format!("{value:#}\n"));
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
