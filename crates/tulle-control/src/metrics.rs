//! What the control plane counts, under Istio's names (those that are true here).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use tulle_dashboard::store;

use crate::telemetry::{Sample, histogram};

/// What a metric is.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

struct Definition {
    name: &'static str,
    kind: Kind,
    help: &'static str,
}

const SECONDS: &[f64] = &[0.001, 0.01, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0];
const BYTES: &[f64] = &[1.0, 10_000.0, 1e6, 4e6, 1e7, 4e7];

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $kind:expr;)*) => {
        /// Every metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Metric { $($(#[doc = $doc])+ $variant,)* }

        const DEFINITIONS: &[Definition] = &[$(Definition { name: $name, kind: $kind, help: concat!($($doc),+) },)*];
    };
}

metrics! {
    /// Connected proxies.
    Connected = "pilot_xds", Kind::Gauge;
    /// Responses sent, by type.
    Pushes = "pilot_xds_pushes", Kind::Counter;
    /// Time from a change to its acknowledgement by a proxy, in seconds.
    Convergence = "pilot_proxy_convergence_time", Kind::Histogram(SECONDS);
    /// Bytes of the resources in a response, by type.
    ConfigSize = "pilot_xds_config_size_bytes", Kind::Histogram(BYTES);
    /// Responses refused by proxies, by type.
    Rejects = "pilot_total_xds_rejects", Kind::Counter;
    /// Acknowledgements of responses that are not the last.
    ExpiredNonce = "pilot_xds_expired_nonce", Kind::Counter;
    /// Streams ended for breaking the protocol or a limit.
    InternalErrors = "pilot_total_xds_internal_errors", Kind::Counter;
    /// Time to take changes into the snapshot, in seconds.
    SnapshotTime = "pilot_pushcontext_init_seconds", Kind::Histogram(SECONDS);
    /// Time to make what changed for all proxies, in seconds.
    PushTime = "pilot_xds_push_time", Kind::Histogram(SECONDS);
    /// Changes seen, by what they are.
    InboundUpdates = "pilot_inbound_updates", Kind::Counter;
    /// Events of the store, by kind and event.
    ConfigEvents = "pilot_k8s_cfg_events", Kind::Counter;
    /// Known services.
    Services = "pilot_services", Kind::Gauge;
    /// Known virtual services.
    VirtualServices = "pilot_virt_services", Kind::Gauge;
    /// Resources encoded, by type.
    Encodes = "tulle_xds_encodes_total", Kind::Counter;
    /// Resources refused because of what is written in them, by kind.
    RejectedConfigs = "pilot_total_rejected_configs", Kind::Counter;
    /// Virtual services that lose a host to another.
    DuplicateDomains = "pilot_vservice_dup_domain", Kind::Gauge;
    /// Destination rules that lose to another for the same host.
    DuplicateSubsets = "pilot_destrule_subsets", Kind::Gauge;
    /// Resources that some proxy refuses and is given another form of.
    Quarantined = "tulle_quarantined_resources", Kind::Gauge;
    /// Statuses written.
    StatusWrites = "tulle_status_writes_total", Kind::Counter;
    /// Certificates asked for.
    CsrCount = "citadel_server_csr_count", Kind::Counter;
    /// Certificates issued.
    CsrIssued = "citadel_server_success_cert_issuance_count", Kind::Counter;
    /// Callers refused.
    CsrUnauthenticated = "citadel_server_authentication_failure_count", Kind::Counter;
    /// Signing requests that cannot be read.
    CsrUnreadable = "citadel_server_csr_parsing_err_count", Kind::Counter;
    /// Signing failures.
    CsrUnsigned = "citadel_server_csr_sign_err_count", Kind::Counter;
    /// Requests for what their sender may not have.
    CsrOverreaching = "tulle_ca_overreaching_requests_total", Kind::Counter;
    /// Requests that came too often.
    CsrLimited = "tulle_ca_limited_requests_total", Kind::Counter;
    /// Audit events recorded.
    AuditRecorded = "tulle_audit_events_total", Kind::Counter;
    /// Audit events lost.
    AuditLost = "tulle_audit_lost_events_total", Kind::Counter;
    /// Why proxies are sent something, by cause.
    PushTriggers = "pilot_push_triggers", Kind::Counter;
    /// Time from the first change to the work on it and those that came with it, in seconds.
    DebounceTime = "pilot_debounce_time", Kind::Histogram(SECONDS);
    /// Time that a proxy's part of a change waits for its turn, in seconds.
    QueueTime = "pilot_proxy_queue_time", Kind::Histogram(SECONDS);
    /// Events of services, endpoints, pods and nodes, by kind and event.
    RegistryEvents = "pilot_k8s_reg_events", Kind::Counter;
    /// Component and version, always 1.
    Build = "istio_build", Kind::Gauge;
    /// Seconds until the signing certificate expires.
    RootLeft = "citadel_server_root_cert_expiry_seconds", Kind::Gauge;
    /// Unix time at which the chain of issued certificates expires.
    ChainExpiry = "citadel_server_cert_chain_expiry_timestamp", Kind::Gauge;
    /// Seconds until the chain of issued certificates expires.
    ChainLeft = "citadel_server_cert_chain_expiry_seconds", Kind::Gauge;
    /// Resources accepted by the admission webhook, which is Kubernetes' alone.
    ValidationPassed = "galley_validation_passed", Kind::Counter;
    /// Resources refused by the admission webhook, which is Kubernetes' alone.
    ValidationFailed = "galley_validation_failed", Kind::Counter;
    /// Pods shown to the injection webhook, which is Kubernetes' alone.
    InjectionRequests = "sidecar_injection_requests_total", Kind::Counter;
    /// Pods that the injection webhook gave a proxy.
    InjectionSuccess = "sidecar_injection_success_total", Kind::Counter;
    /// Pods that the injection webhook could give no proxy.
    InjectionFailure = "sidecar_injection_failure_total", Kind::Counter;
    /// Pods that the injection webhook left alone.
    InjectionSkip = "sidecar_injection_skip_total", Kind::Counter;
    /// Sets of keys that check tokens, fetched.
    KeysFetched = "pilot_jwks_resolver_network_fetch_success_total", Kind::Counter;
    /// Sets of keys that check tokens, not fetched or without a usable key.
    KeysFailed = "pilot_jwks_resolver_network_fetch_fail_total", Kind::Counter;
    /// Workloads outside of the cluster that were registered.
    Registered = "auto_registration_success_total", Kind::Counter;
    /// Registered workloads that connected again.
    RegisteredAgain = "auto_registration_updates_total", Kind::Counter;
    /// Registered workloads that went.
    Unregistered = "auto_registration_unregister_total", Kind::Counter;
    /// Entries of registered workloads that were removed, because these stayed away.
    RegistrationsRemoved = "auto_registration_deletes_total", Kind::Counter;
    /// Changes of registered workloads that could not be written down, and are tried again.
    RegistrationErrors = "auto_registration_errors_total", Kind::Counter;
    /// Resources looked for among those encoded already (hit), and encoded (miss).
    CacheReads = "xds_cache_reads", Kind::Counter;
    /// Encoded resources that are shared.
    CacheSize = "xds_cache_size", Kind::Gauge;
    /// Clusters that are watched.
    Clusters = "istiod_managed_clusters", Kind::Gauge;
    /// Unix time at which the signing certificate expires.
    RootExpiry = "citadel_server_root_cert_expiry_timestamp", Kind::Gauge;
    /// Seconds since the start.
    Uptime = "istiod_uptime_seconds", Kind::Gauge;
    /// Always 1.
    Info = "pilot_info", Kind::Gauge;
}

enum Value {
    Number(f64),
    Buckets { counts: Vec<u64>, sum: f64 },
}

/// All metrics. The lock is held for nanoseconds, by the one task that changes things and by scrapes.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<(Metric, String), Value>>);

/// One label, already decided on by the caller: values come from bounded sets.
pub(crate) type Label<'a> = (&'static str, &'a str);

/// What is shown from the start on, so that rates and sums over it have something to say before the first event.
const FROM_THE_START: &[(Metric, &[Label<'static>])] = &[
    (Metric::Rejects, &[("type", "cds")]),
    (Metric::Rejects, &[("type", "eds")]),
    (Metric::Rejects, &[("type", "lds")]),
    (Metric::Rejects, &[("type", "rds")]),
    (Metric::InternalErrors, &[]),
    (Metric::ExpiredNonce, &[]),
    (Metric::ValidationPassed, &[]),
    (Metric::ValidationFailed, &[]),
    (Metric::InjectionRequests, &[]),
    (Metric::InjectionSuccess, &[]),
    (Metric::InjectionFailure, &[]),
    (Metric::InjectionSkip, &[]),
    (Metric::KeysFetched, &[]),
    (Metric::KeysFailed, &[]),
    (Metric::Registered, &[]),
    (Metric::RegisteredAgain, &[]),
    (Metric::Unregistered, &[]),
    (Metric::RegistrationsRemoved, &[]),
    (Metric::RegistrationErrors, &[]),
    (Metric::DuplicateDomains, &[]),
    (Metric::DuplicateSubsets, &[]),
    (Metric::Quarantined, &[]),
];

impl Metrics {
    /// Puts in what is to be shown from the start on.
    pub(crate) fn begin(&self) {
        for (metric, labels) in FROM_THE_START {
            self.add(*metric, labels, 0.0);
        }
    }

    pub(crate) fn add(&self, metric: Metric, labels: &[Label<'_>], by: f64) {
        self.with(metric, labels, |value| {
            if let Value::Number(n) = value {
                *n += by;
            }
        });
    }

    pub(crate) fn set(&self, metric: Metric, labels: &[Label<'_>], to: f64) {
        self.with(metric, labels, |value| {
            if let Value::Number(n) = value {
                *n = to;
            }
        });
    }

    pub(crate) fn observe(&self, metric: Metric, labels: &[Label<'_>], seen: f64) {
        let Kind::Histogram(bounds) = DEFINITIONS[metric as usize].kind else { return };
        self.with(metric, labels, |value| {
            if let Value::Buckets { counts, sum } = value {
                let bucket = bounds.iter().position(|b| seen <= *b).unwrap_or(bounds.len());
                counts[bucket] += 1;
                *sum += seen;
            }
        });
    }

    fn with(&self, metric: Metric, labels: &[Label<'_>], change: impl FnOnce(&mut Value)) {
        let mut text = String::new();
        for (i, (name, value)) in labels.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{name}={value:?}");
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry((metric, text)).or_insert_with(|| match DEFINITIONS[metric as usize].kind {
            Kind::Histogram(bounds) => Value::Buckets { counts: vec![0; bounds.len() + 1], sum: 0.0 },
            Kind::Counter | Kind::Gauge => Value::Number(0.0),
        }));
    }

    /// All of them with their values.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |(metric, labels): &(Metric, String), value: &Value| {
            let Definition { name, kind, help: _ } = &DEFINITIONS[*metric as usize];
            let (kind, bounds): (_, &[f64]) = match kind {
                Kind::Counter => (store::Kind::Counter, &[]),
                Kind::Gauge => (store::Kind::Gauge, &[]),
                Kind::Histogram(bounds) => (store::Kind::Histogram, bounds),
            };
            let value = match value {
                Value::Number(number) => store::Value::Number(*number),
                Value::Buckets { counts, sum } => histogram(counts, *sum),
            };
            Sample { name, labels: read_labels(labels), kind, bounds, value }
        };
        all.iter().map(|(key, value)| one(key, value)).collect()
    }

    /// Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        let mut last = None;
        for ((metric, labels), value) in all.iter() {
            let Definition { name, kind, help } = &DEFINITIONS[*metric as usize];
            if last != Some(*metric) {
                last = Some(*metric);
                let kind = match kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram(_) => "histogram",
                };
                let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", help.trim());
            }
            match (value, kind) {
                (Value::Number(n), _) if labels.is_empty() => drop(writeln!(out, "{name} {n}")),
                (Value::Number(n), _) => drop(writeln!(out, "{name}{{{labels}}} {n}")),
                (Value::Buckets { counts, sum }, Kind::Histogram(bounds)) => {
                    buckets(&mut out, name, labels, bounds, counts, *sum);
                }
                (Value::Buckets { .. }, _) => {}
            }
        }
        out
    }
}

/// The labels that [`Metrics::with`] wrote.
fn read_labels(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((name, behind)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let mut end = behind.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                c => value.push(c),
            }
        }
        out.push((name.to_owned(), value));
        rest = behind[end..].trim_start_matches(',');
    }
    out
}

fn buckets(out: &mut String, name: &str, labels: &str, bounds: &[f64], counts: &[u64], sum: f64) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut total = 0;
    for (i, count) in counts.iter().enumerate() {
        total += count;
        let bound = bounds.get(i).map_or_else(|| "+Inf".to_owned(), f64::to_string);
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
    }
    let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = writeln!(out, "{name}_sum{braces} {sum}\n{name}_count{braces} {total}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/metrics.md` may shorten a name that begins as the one before it: `..._end`.
    #[test]
    fn every_metric_is_documented() {
        let page = include_str!("../../../docs/metrics.md");
        let words: Vec<&str> = page.split('`').collect();
        let fits = |word: &str, name: &str| match (word.strip_prefix("..."), word.split_once('*')) {
            (Some(end), _) => name.ends_with(end),
            (None, Some((start, end))) => {
                start.starts_with("sidecar_") && name.starts_with(start) && name.ends_with(end)
            }
            (None, None) => word == name,
        };
        let missing: Vec<&str> = DEFINITIONS
            .iter()
            .map(|d| d.name)
            .filter(|name| !words.iter().any(|word| fits(word.trim(), name)))
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn samples_have_their_labels() {
        let metrics = Metrics::default();
        metrics.add(Metric::ConfigEvents, &[("type", "Virtual\"Service"), ("event", "add")], 1.0);
        metrics.observe(Metric::Convergence, &[], 0.02);
        let samples = metrics.samples();
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let events = samples.iter().find(|s| s.name == "pilot_k8s_cfg_events").map(|s| s.labels.clone());
        assert_eq!(events, Some(vec![pair("type", "Virtual\"Service"), pair("event", "add")]));
        let convergence = samples.iter().find(|s| s.name == "pilot_proxy_convergence_time");
        assert!(convergence.is_some_and(|s| s.labels.is_empty() && s.bounds.len() == SECONDS.len()));
    }

    #[test]
    fn renders_as_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.add(Metric::Pushes, &[("type", "cds")], 1.0);
        metrics.add(Metric::Pushes, &[("type", "cds")], 1.0);
        metrics.set(Metric::Connected, &[("version", "1")], 3.0);
        metrics.observe(Metric::Convergence, &[], 0.02);
        let text = metrics.render();
        for line in [
            "# TYPE pilot_xds_pushes counter",
            "pilot_xds_pushes{type=\"cds\"} 2",
            "pilot_xds{version=\"1\"} 3",
            "pilot_proxy_convergence_time_bucket{le=\"0.01\"} 0",
            "pilot_proxy_convergence_time_bucket{le=\"0.1\"} 1",
            "pilot_proxy_convergence_time_bucket{le=\"+Inf\"} 1",
            "pilot_proxy_convergence_time_count 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }
}
