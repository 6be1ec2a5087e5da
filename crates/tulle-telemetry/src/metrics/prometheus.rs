//! Prometheus text (exposition format 0.0.4) and OpenMetrics.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use crate::metrics::exemplar::Exemplar;
use crate::metrics::gauge_set::{Extra, ExtraKind};
use crate::metrics::histogram::Histogram;
use crate::metrics::pairs::{Family, Pairs, any_tagged, grouped};
use crate::metrics::proxy::{PolicyStats, StatBlock as _, StatKind};
use crate::metrics::rules::Metric;
use crate::metrics::snapshot::{BlockKind, SeriesLabels, Snapshot, Sum};
use crate::metrics::store::RequestSeries;

/// `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which of the proxy's own statistics are shown. Istio's metrics are always shown.
#[derive(Clone, Copy)]
pub enum Exposure<'a> {
    /// All of them, as Envoy does.
    All,
    /// Those that Istio shows by default: `cluster_manager`, `listener_manager`, `server`, `control_plane`, `wasm` and the cluster
    /// `xds-grpc`.
    IstioDefault,
    /// Those whose Envoy name the function accepts.
    Matching(&'a dyn Fn(&str) -> bool),
}

impl Exposure<'_> {
    /// Whether a statistic of this name is shown.
    pub fn shows(self, name: &str) -> bool {
        const DEFAULTS: &[&str] = &[
            "cluster_manager.",
            "listener_manager.",
            "server.",
            "control_plane.",
            "wasm.",
            "cluster.xds-grpc.",
        ];
        match self {
            Self::All => true,
            Self::IstioDefault => DEFAULTS.iter().any(|prefix| name.starts_with(prefix)),
            Self::Matching(f) => f(name),
        }
    }
}

/// How metrics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text.
    #[default]
    Text,
    /// OpenMetrics, with exemplars.
    OpenMetrics,
}

impl Format {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The form that a client's `Accept` prefers among those that are known; text where it says nothing.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (0.0, Self::Text);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let mut quality: f64 = 1.0;
            let mut version = "";
            for part in parts {
                match part.split_once('=') {
                    Some(("q", value)) => quality = value.parse().unwrap_or(0.0),
                    Some(("version", value)) => version = value,
                    _ => {}
                }
            }
            let format = match kind {
                "application/openmetrics-text" if matches!(version, "" | "1.0.0" | "0.0.1") => {
                    Self::OpenMetrics
                }
                "text/plain" if matches!(version, "" | "0.0.4" | "1.0.0") => Self::Text,
                "text/*" | "*/*" => Self::Text,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }
}

/// What is written so far.
struct Out {
    text: String,
    format: Format,
    /// The families whose lines were written.
    heads: HashSet<String>,
}

impl Out {
    /// The lines before a family. In OpenMetrics counters are called without `_total`; those whose names do not end so are of
    /// unknown type there, so that every sample has the same name in both forms.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Statistics of one name come from workers and from the main thread.
        if !self.heads.insert(name.to_owned()) {
            return;
        }
        let (name, kind) = match (self.format, kind) {
            (Format::OpenMetrics, "counter") => match name.strip_suffix("_total") {
                Some(short) => (short, kind),
                None => (name, "unknown"),
            },
            _ => (name, kind),
        };
        let out = &mut self.text;
        if !help.is_empty() {
            let _ = writeln!(out, "# HELP {name} {help}");
        }
        let _ = writeln!(out, "# TYPE {name} {kind}");
    }
}

/// The snapshot as Prometheus text. Series are in the order of their labels, so two renderings of one state are equal.
pub fn render(snapshot: &Snapshot, exposure: Exposure<'_>) -> String {
    render_as(snapshot, exposure, Format::Text)
}

/// The snapshot in one of the forms. OpenMetrics is to be ended with [`END`].
pub fn render_as(snapshot: &Snapshot, exposure: Exposure<'_>, format: Format) -> String {
    let mut out = Out { text: String::with_capacity(4096), format, heads: HashSet::new() };
    render_requests(snapshot, &mut out);
    render_messages(snapshot, &mut out);
    render_tcp(snapshot, &mut out);
    render_policies(snapshot, &mut out);
    for kind in snapshot.block_kinds().iter().filter(|kind| kind.label != POLICY) {
        render_blocks(kind, exposure, &mut out);
    }
    render_extras(&snapshot.extras, exposure, &mut out);
    if snapshot.overflow > 0 {
        let help = "Series, labels and values refused, cut or counted as other because of limits";
        out.head("tulle_metrics_overflow_total", "counter", help);
        let _ = writeln!(out.text, "tulle_metrics_overflow_total {}", snapshot.overflow);
    }
    out.text
}

/// The last line of OpenMetrics.
pub const END: &str = "# EOF\n";

/// A name with everything but letters, digits and `_` replaced by `_`.
pub fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// Appends a label value with backslash, quote and line feed escaped.
pub fn escape_into(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// The series of one metric as text of labels and values, in the order of their labels.
type Rows<'a, V> = Vec<(String, Cow<'a, V>)>;

/// Calls `write` for each metric of a family with its series.
fn each<'a, V: Sum>(
    series: &'a hashbrown::HashMap<SeriesLabels, V>,
    family: Family,
    metrics: &[Metric],
    mut write: impl FnMut(Metric, &Rows<'a, V>),
) {
    if series.is_empty() {
        return;
    }
    let rows = |metric| -> Rows<'a, V> {
        grouped(series, family, metric).into_iter().map(|(pairs, values)| (text(&pairs), values)).collect()
    };
    // Without overrides all metrics of a family have the same labels.
    if !any_tagged(series) {
        let all = rows(metrics[0]);
        metrics.iter().for_each(|metric| write(*metric, &all));
        return;
    }
    for metric in metrics {
        write(*metric, &rows(*metric));
    }
}

fn render_requests(snapshot: &Snapshot, out: &mut Out) {
    use Metric::{RequestBytes, RequestDuration, Requests, ResponseBytes};
    let metrics = [Requests, RequestDuration, RequestBytes, ResponseBytes];
    each(&snapshot.requests, Family::Requests, &metrics, |metric, rows| {
        type Read = fn(&RequestSeries) -> &Histogram;
        let (help, read): (&str, Read) = match metric {
            RequestDuration => ("Duration of requests that completed, in milliseconds", |s| &s.duration_ms),
            RequestBytes => ("Bytes received from the client for a request", |s| &s.request_bytes),
            ResponseBytes => ("Bytes sent to the client for a request", |s| &s.response_bytes),
            _ => {
                return counters(out, metric, "Requests, counted once when they end", rows, |s| s.count);
            }
        };
        if rows.is_empty() {
            return;
        }
        out.head(metric.name(), "histogram", help);
        for (labels, values) in rows {
            let exemplars = if metric == RequestDuration { values.exemplars.as_slice() } else { &[] };
            histogram(out, metric.name(), labels, read(values), exemplars);
        }
    });
}

fn render_messages(snapshot: &Snapshot, out: &mut Out) {
    let metrics = [Metric::RequestMessages, Metric::ResponseMessages];
    each(&snapshot.messages, Family::Messages, &metrics, |metric, rows| match metric {
        Metric::RequestMessages => counters(out, metric, "gRPC messages from clients", rows, |s| s.requests),
        _ => counters(out, metric, "gRPC messages to clients", rows, |s| s.responses),
    });
}

fn render_tcp(snapshot: &Snapshot, out: &mut Out) {
    let metrics = [Metric::TcpOpened, Metric::TcpClosed, Metric::TcpSent, Metric::TcpReceived];
    each(&snapshot.tcp, Family::Tcp, &metrics, |metric, rows| match metric {
        Metric::TcpOpened => counters(out, metric, "TCP connections opened", rows, |s| s.opened),
        Metric::TcpClosed => counters(out, metric, "TCP connections closed", rows, |s| s.closed),
        Metric::TcpSent => counters(out, metric, "Bytes sent to TCP clients", rows, |s| s.sent),
        _ => counters(out, metric, "Bytes received from TCP clients", rows, |s| s.received),
    });
}

fn counters<V: Clone>(out: &mut Out, metric: Metric, help: &str, rows: &Rows<'_, V>, read: fn(&V) -> u64) {
    if rows.is_empty() {
        return;
    }
    out.head(metric.name(), "counter", help);
    for (labels, values) in rows {
        let _ = writeln!(out.text, "{}{{{labels}}} {}", metric.name(), read(values));
    }
}

/// The kind of blocks that has a family of its own, which is always shown.
const POLICY: &str = "policy";

/// What each rule of authorization policies decided.
pub(crate) const AUTHORIZATION: &str = "tulle_authorization_total";

/// The labels of the rule that `name` names: `ns[NAMESPACE]-policy[NAME]-rule[INDEX]`, also behind or before other words.
pub(crate) fn policy_labels(name: &str) -> [(&'static str, &str); 3] {
    let between = |start: &str, end: &str| {
        let (_, rest) = name.split_once(start)?;
        rest.split_once(end).map(|(inner, _)| inner)
    };
    [
        ("policy_namespace", between("ns[", "]").unwrap_or_default()),
        (POLICY, between("-policy[", "]").unwrap_or(name)),
        ("rule", between("]-rule[", "]").unwrap_or_default()),
    ]
}

fn render_policies(snapshot: &Snapshot, out: &mut Out) {
    if snapshot.policies.0.is_empty() {
        return;
    }
    out.head(AUTHORIZATION, "counter", "Decisions of authorization policies on requests and connections");
    for (name, values) in &snapshot.policies.0 {
        let mut labels = String::new();
        for (key, value) in policy_labels(name) {
            label(&mut labels, key, value);
        }
        for (info, value) in PolicyStats::STATS.iter().zip(values).filter(|(_, value)| **value > 0) {
            let _ = writeln!(out.text, "{AUTHORIZATION}{{{labels},result=\"{}\"}} {value}", info.name);
        }
    }
}

fn histogram(out: &mut Out, name: &str, labels: &str, values: &Histogram, exemplars: &[Exemplar]) {
    let exemplars = if out.format == Format::OpenMetrics { exemplars } else { &[] };
    let count = values.count();
    let last = (String::from("+Inf"), count);
    let bounds = values.cumulative().map(|(bound, count)| (bound.to_string(), count)).chain([last]);
    for (index, (bound, count)) in bounds.enumerate() {
        let _ = write!(out.text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        if let Some(Exemplar { trace, value, at, .. }) =
            exemplars.iter().find(|e| usize::from(e.bucket) == index)
        {
            let (seconds, milliseconds) = (at / 1000, at % 1000);
            let _ = write!(out.text, " # {{trace_id=\"{trace}\"}} {value} {seconds}.{milliseconds:03}");
        }
        out.text.push('\n');
    }
    let _ = writeln!(out.text, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {count}", values.sum());
}

fn text(pairs: &Pairs<'_>) -> String {
    let mut out = String::with_capacity(768);
    for (name, value) in pairs {
        label(&mut out, name, value);
    }
    out
}

fn label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    let _ = write!(out, "{name}=\"");
    escape_into(out, value);
    out.push('"');
}

fn render_blocks(kind: &BlockKind<'_>, exposure: Exposure<'_>, out: &mut Out) {
    let mut last_head = String::new();
    for (index, info) in kind.stats.iter().enumerate() {
        let (base, class) = split_class(info.name);
        let metric = format!("envoy_{}_{}", kind.prefix, sanitize(base));
        for (name, values) in &kind.blocks.0 {
            if !exposure.shows(&format!("{}.{name}.{}", kind.prefix, info.name)) {
                continue;
            }
            if last_head != metric {
                let type_name = if info.kind == StatKind::Counter { "counter" } else { "gauge" };
                out.head(&metric, type_name, info.help);
                last_head.clone_from(&metric);
            }
            let mut labels = String::new();
            if let Some(class) = class {
                label(&mut labels, "response_code_class", class);
            }
            label(&mut labels, kind.label, name);
            let _ = writeln!(out.text, "{metric}{{{labels}}} {}", values[index]);
        }
    }
}

/// `upstream_rq_2xx` is `upstream_rq` with a label in Prometheus text.
fn split_class(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('_') {
        Some((base, class)) if class.len() == 3 && class.ends_with("xx") => (base, Some(class)),
        _ => (name, None),
    }
}

fn render_extras(extras: &[Extra], exposure: Exposure<'_>, out: &mut Out) {
    let mut shown: Vec<&Extra> =
        extras.iter().filter(|e| e.envoy_name.as_deref().is_none_or(|name| exposure.shows(name))).collect();
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    let mut last = "";
    for extra in shown {
        if extra.name != last {
            let kind = if extra.kind == ExtraKind::Counter { "counter" } else { "gauge" };
            let help = match (extra.help, &extra.envoy_name) {
                ("", Some(_)) => "Statistic of this name in Envoy",
                ("", None) => "See docs/metrics.md",
                (help, _) => help,
            };
            out.head(&extra.name, kind, help);
            last = &extra.name;
        }
        let mut labels = String::new();
        for (name, value) in &extra.labels {
            label(&mut labels, name, value);
        }
        let _ = if labels.is_empty() {
            writeln!(out.text, "{} {}", extra.name, extra.value)
        } else {
            writeln!(out.text, "{}{{{labels}}} {}", extra.name, extra.value)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn clients_get_what_they_prefer() {
        let cases = [
            ("", Format::Text),
            ("text/html, */*;q=0.1", Format::Text),
            // Prometheus 2.
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            // Prometheus 3, and with text first.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5", Format::Text),
            ("application/openmetrics-text;version=9.0.0", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
        ];
        for (accept, expected) in cases {
            assert_eq!(Format::negotiate(accept), expected, "{accept}");
        }
    }
}
