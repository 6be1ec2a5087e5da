//! `/stats` and `/stats/prometheus`.

use std::fmt::Write as _;

use hyper::StatusCode;
use hyper::header::ACCEPT;
use regex::Regex;
use serde_json::json;
use tulle_base::agent::StatsShown;
use tulle_telemetry::metrics::prometheus::END;
use tulle_telemetry::metrics::{Exposure, Extra, ExtraKind, Format, Snapshot, render_as};

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

/// `/stats/prometheus`, in the form that the client prefers.
pub(super) async fn prometheus(main: &Main, asked: &Asked) -> Reply {
    let format = wanted(asked);
    let mut text = prometheus_text(main, format).await;
    if format == Format::OpenMetrics {
        text.push_str(END);
    }
    Reply { status: StatusCode::OK, content_type: format.content_type(), body: text.into() }
}

/// The form that a client prefers.
pub(super) fn wanted(asked: &Asked) -> Format {
    let accept = asked.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.map_or(Format::Text, Format::negotiate)
}

/// All metrics of the proxy, without the last line of OpenMetrics.
pub(super) async fn prometheus_text(main: &Main, format: Format) -> String {
    let snapshot = snapshot(main).await;
    if !main.istio_stats {
        return render_as(&snapshot, Exposure::All, format);
    }
    match &main.shown {
        None => render_as(&snapshot, Exposure::IstioDefault, format),
        Some(shown) => {
            let both = |name: &str| Exposure::IstioDefault.shows(name) || shown.has(name);
            render_as(&snapshot, Exposure::Matching(&both), format)
        }
    }
}

/// Statistics that are shown besides those that Istio shows.
pub(crate) struct Shown {
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    regexps: Vec<Regex>,
}

impl Shown {
    /// What a configuration says; `None` if it says nothing. Expressions that cannot be used are left out, with a line in our log.
    pub(crate) fn new(given: StatsShown) -> Option<Self> {
        if given == StatsShown::default() {
            return None;
        }
        let StatsShown { prefixes, suffixes, regexps } = given;
        let compile = |text: &String| {
            let built = regex::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 20).build();
            built.inspect_err(|error| tracing::error!(%error, "proxyStatsMatcher: expression left out")).ok()
        };
        Some(Self { prefixes, suffixes, regexps: regexps.iter().filter_map(compile).collect() })
    }

    fn has(&self, name: &str) -> bool {
        self.prefixes.iter().any(|prefix| name.starts_with(prefix))
            || self.suffixes.iter().any(|suffix| name.ends_with(suffix))
            || self.regexps.iter().any(|regex| regex.is_match(name))
    }
}

/// What workers and the main thread have counted.
pub(crate) async fn snapshot(main: &Main) -> Snapshot {
    let mut snapshot = main.remote.stats().await;
    snapshot.merge(main.retired.borrow().clone());
    main.remember_vitals(main.remote.vitals().await);
    for extra in main.own_stats() {
        snapshot.push(extra);
    }
    snapshot.push(
        Extra::metric("istio_build", ExtraKind::Gauge, 1.0)
            .with("component", "proxy")
            .help("Component and version, always 1")
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
