//! Fourteen minutes of a small mesh, as ticks of our store and as OpenMetrics.

use std::fmt::Write as _;

use tulle_dashboard::store::{Buckets, Description, Kind, Limits, SeriesRef, SourceRef, Store, Tick, Value};

/// First sample.
pub(crate) const START: i64 = 1_700_000_000_000;
/// Last sample, and the moment of queries.
pub(crate) const END: i64 = START + 14 * 60_000;
const EVERY: i64 = 5_000;

const BOUNDS: [f64; 6] = [0.5, 1.0, 5.0, 10.0, 50.0, 1000.0];

struct Series {
    source: &'static str,
    name: &'static str,
    kind: Kind,
    labels: Vec<(&'static str, String)>,
    /// Time and value; a missing one is a gap.
    values: Vec<(i64, Value)>,
}

/// Like a random number, and the same in every run.
fn noise(a: i64, b: i64) -> i64 {
    let mut x = (a.wrapping_mul(0x9E37_79B9) ^ b.wrapping_mul(0x85EB_CA6B)).unsigned_abs();
    x ^= x >> 15;
    x = x.wrapping_mul(0x2C1B_3C6D);
    x ^= x >> 12;
    i64::try_from(x % 1_000).unwrap_or(0)
}

fn times() -> impl Iterator<Item = (i64, i64)> {
    (0..=(END - START) / EVERY).map(|i| (i, START + i * EVERY))
}

#[allow(clippy::cast_precision_loss, reason = "small numbers")]
fn all() -> Vec<Series> {
    let mut all = Vec::new();
    for (n, (id, zone)) in
        [("a", "east"), ("b", "east"), ("c", "west"), ("d", "west"), ("e", "west")].into_iter().enumerate()
    {
        let n = n as i64;
        let labels = || vec![("id", id.to_owned()), ("zone", zone.to_owned())];
        // d is away for a minute, e ends early.
        let there = move |i: i64| !(id == "d" && (60..100).contains(&i) || id == "e" && i > 130);
        let source = match id {
            "d" => "gap",
            "e" => "short",
            _ => "full",
        };
        let gauge = |i: i64| ((noise(n, i / 3) - 400) * 10 + n) as f64 / 37.0;
        let values = times().filter(|(i, _)| there(*i)).map(|(i, t)| (t, Value::Number(gauge(i))));
        all.push(Series {
            source,
            name: "gauge",
            kind: Kind::Gauge,
            labels: labels(),
            values: values.collect(),
        });
        let mut total = 0;
        let values = times().filter(|(i, _)| there(*i)).map(|(i, t)| {
            total += if noise(n + 9, i) < 300 { 0 } else { noise(n, i) % 20 };
            // b begins anew now and then.
            if id == "b" && i % 50 == 49 {
                total = 1;
            }
            (t, Value::Number(total as f64))
        });
        let values = values.collect();
        all.push(Series { source, name: "counter", kind: Kind::Counter, labels: labels(), values });
    }
    for (n, (from, to, reporter, code, flags)) in [
        ("web", "cart", "source", "200", "-"),
        ("web", "cart", "destination", "200", "-"),
        ("web", "cart", "source", "503", "UO"),
        ("web", "pay", "destination", "200", "-"),
        ("api", "cart", "destination", "404", "-"),
        ("api", "unknown", "source", "0", "DC"),
    ]
    .into_iter()
    .enumerate()
    {
        mesh(&mut all, n as i64, from, to, reporter, code, flags);
    }
    for (name, value, label) in [
        ("istio_build", 1.0, Some(("component", "proxy"))),
        ("citadel_server_root_cert_expiry_timestamp", (START / 1000 + 86_400) as f64, None),
        ("up", 1.0, Some(("app", "istiod"))),
    ] {
        let mut labels: Vec<_> = label.into_iter().map(|(n, v)| (n, v.to_owned())).collect();
        labels.push(("tag", "1.0".to_owned()));
        let values = times().map(|(_, t)| (t, Value::Number(value))).collect();
        all.push(Series { source: "full", name, kind: Kind::Gauge, labels, values });
    }
    all
}

/// The series of one pair of workloads with one outcome.
#[allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "small numbers")]
fn mesh(all: &mut Vec<Series>, n: i64, from: &str, to: &str, reporter: &str, code: &str, flags: &str) {
    let policy = if n % 2 == 0 { "mutual_tls" } else { "unknown" };
    let mut labels = vec![
        ("reporter", reporter.to_owned()),
        ("source_workload", from.to_owned()),
        ("source_workload_namespace", "shop".to_owned()),
        ("source_principal", format!("spiffe://cluster.local/ns/shop/sa/{from}")),
        ("source_cluster", "Kubernetes".to_owned()),
        ("destination_workload", to.to_owned()),
        ("destination_workload_namespace", "shop".to_owned()),
        ("destination_principal", format!("spiffe://cluster.local/ns/shop/sa/{to}")),
        ("destination_cluster", if to == "unknown" { "unknown" } else { "Kubernetes" }.to_owned()),
        ("destination_service", format!("{to}.shop.svc.cluster.local")),
        ("destination_service_name", to.to_owned()),
        ("destination_service_namespace", "shop".to_owned()),
        ("connection_security_policy", policy.to_owned()),
        ("response_flags", flags.to_owned()),
        ("app", from.to_owned()),
    ];
    let tcp = labels.clone();
    labels.extend([("request_protocol", "http".to_owned()), ("response_code", code.to_owned())]);
    let grow = |salt: i64, most: i64| {
        let mut total = 0;
        let next = move |(i, t)| {
            total += noise(n * 7 + salt, i) % most;
            (t, Value::Number(total as f64))
        };
        times().map(next).collect::<Vec<_>>()
    };
    let mut counts = vec![0_u64; BOUNDS.len() + 1];
    let mut sum = 0.0;
    let durations = times().map(|(i, t)| {
        for (bucket, count) in counts.iter_mut().enumerate() {
            let more = (noise(n + bucket as i64, i) % (9 - bucket as i64)) as u64;
            *count += more;
            sum += more as f64 * (bucket as f64 + 0.5);
        }
        (t, Value::Histogram(Buckets { counts: counts.clone().into(), sum }))
    });
    let durations = durations.collect();
    let mut add = |name, kind, labels: &[(&'static str, String)], values| {
        all.push(Series { source: "full", name, kind, labels: labels.to_vec(), values });
    };
    add("istio_requests_total", Kind::Counter, &labels, grow(1, 12));
    add("istio_request_duration_milliseconds", Kind::Histogram, &labels, durations);
    add("istio_request_bytes_sum", Kind::Counter, &labels, grow(2, 4000));
    add("istio_tcp_received_bytes_total", Kind::Counter, &tcp, grow(3, 900));
    add("istio_tcp_sent_bytes_total", Kind::Counter, &tcp, grow(4, 900));
    add("istio_request_messages_total", Kind::Counter, &tcp, grow(5, 30));
}

/// The data in our store, in the order of time.
pub(crate) fn store() -> Store {
    let store = Store::new(Limits::default());
    let all = all();
    let mut series: Vec<(SourceRef, SeriesRef, &Series, usize)> = all
        .iter()
        .map(|s| {
            let owner = store.source(s.source);
            let labels: Vec<(&str, &str)> = s.labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let bounds: &[f64] = if s.kind == Kind::Histogram { &BOUNDS } else { &[] };
            let described = Description { name: s.name, kind: s.kind, labels: &labels, bounds };
            (owner, store.define(owner, &described).expect("room"), s, 0)
        })
        .collect();
    for (_, time) in times() {
        for source in ["full", "gap", "short"] {
            let owner = store.source(source);
            // Only what changed, as proxies send it.
            let mut changed = Vec::new();
            let mut there = false;
            for (_, series, data, next) in series.iter_mut().filter(|s| s.0 == owner) {
                let Some((_, value)) = data.values.get(*next).filter(|(t, _)| *t == time) else { continue };
                there = true;
                if *next == 0 || data.values[*next - 1].1 != *value {
                    changed.push((*series, value.clone()));
                }
                *next += 1;
            }
            if there {
                store.tick(owner, &Tick { time, changed: &changed }).expect("in order");
            }
        }
    }
    store
}

/// The data for promtool.
pub(crate) fn open_metrics() -> String {
    let mut out = String::new();
    for series in all() {
        let labels: Vec<String> = series.labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        let labels = labels.join(",");
        let name = series.name;
        for (time, value) in &series.values {
            let time = time / 1000;
            match value {
                Value::Number(value) => {
                    let _ = writeln!(out, "{name}{{{labels}}} {value} {time}");
                }
                Value::Histogram(value) => {
                    let mut total = 0;
                    for (i, count) in value.counts.iter().enumerate() {
                        total += count;
                        let le = BOUNDS.get(i).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{le}\"}} {total} {time}");
                    }
                    let _ = writeln!(out, "{name}_sum{{{labels}}} {} {time}", value.sum);
                    let _ = writeln!(out, "{name}_count{{{labels}}} {total} {time}");
                }
            }
        }
    }
    out.push_str("# EOF\n");
    out
}
