//! `/stats` and `/stats/prometheus`.

use std::fmt::Write as _;

use hyper::StatusCode;
use regex::Regex;
use serde_json::json;
use tulle_telemetry::metrics::{Exposure, Extra, ExtraKind, Snapshot, prometheus, render};

use super::http::{Asked, Reply};
use crate::boot::Main;

/// `/stats`: one counter a line, sorted by name.
pub(super) async fn stats(main: &Main, asked: &Asked) -> Reply {
    match asked.parameter("format") {
        None | Some("text") => {}
        Some("prometheus") => return prometheus(main, asked).await,
        Some("json") => return json_stats(main, asked).await,
        Some(other) => {
            let text = format!("usage: /stats?format=text|json|prometheus (not {other:?})\n");
            return Reply::of(StatusCode::BAD_REQUEST, text);
        }
    }
    match filtered(main, asked).await {
        Ok(stats) => {
            let mut out = String::new();
            for (name, value) in stats {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "{name}: {value}");
            }
            Reply::text(out)
        }
        Err(refusal) => refusal,
    }
}

/// `/stats/prometheus`.
pub(super) async fn prometheus(main: &Main, _asked: &Asked) -> Reply {
    Reply {
        status: StatusCode::OK,
        content_type: prometheus::CONTENT_TYPE,
        body: prometheus_text(main).await.into(),
    }
}

/// All metrics of the proxy for Prometheus.
pub(super) async fn prometheus_text(main: &Main) -> String {
    let exposure = if main.istio_stats { Exposure::IstioDefault } else { Exposure::All };
    render(&snapshot(main).await, exposure)
}

/// What workers and the main thread have counted.
pub(crate) async fn snapshot(main: &Main) -> Snapshot {
    let mut snapshot = main.remote.stats().await;
    main.remember_vitals(main.remote.vitals().await);
    for extra in main.own_stats() {
        snapshot.push(extra);
    }
    snapshot.push(
        Extra::metric("istio_build", ExtraKind::Gauge, 1.0)
            .with("component", "proxy")
            .with("tag", env!("CARGO_PKG_VERSION")),
    );
    snapshot
}

async fn filtered(main: &Main, asked: &Asked) -> Result<Vec<(String, u64)>, Reply> {
    let filter = match asked.parameter("filter") {
        Some(pattern) if !pattern.is_empty() => Some(
            Regex::new(pattern).map_err(|e| Reply::of(StatusCode::BAD_REQUEST, format!("filter: {e}\n")))?,
        ),
        _ => None,
    };
    let used_only = asked.parameter("usedonly").is_some();
    let mut stats = snapshot(main).await.envoy_stats();
    stats.retain(|(name, value)| {
        filter.as_ref().is_none_or(|f| f.is_match(name)) && (!used_only || *value != 0)
    });
    Ok(stats)
}

async fn json_stats(main: &Main, asked: &Asked) -> Reply {
    match filtered(main, asked).await {
        Ok(stats) => {
            let all: Vec<_> =
                stats.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            Reply::json(&json!({ "stats": all }))
        }
        Err(refusal) => refusal,
    }
}
