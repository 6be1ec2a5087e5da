//! What the control plane says of itself, and its certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tulle_ca::{Phase, fingerprint};
use tulle_dashboard::plane::{Certificate, Certificates, Root};
use tulle_identity::CertInfo;
use tulle_mesh::NsName;

use super::Console;
use super::model::workload_of;

/// Below this share of its life a certificate should have been renewed: proxies do at half of it.
const DUE: f64 = 0.2;

impl Console {
    pub(super) async fn about_all(&self) -> Value {
        let shown = &self.needs.shown;
        shown.gather();
        let samples = shown.metrics.samples();
        let by_type = |name: &str| {
            let all = samples.iter().filter(|s| s.name == name);
            let each = all.filter_map(|s| {
                let kind = s.labels.iter().find(|(n, _)| n == "type").map(|(_, v)| v.clone())?;
                match s.value {
                    tulle_dashboard::store::Value::Number(n) => Some((kind, json!(n))),
                    tulle_dashboard::store::Value::Histogram(_) => None,
                }
            });
            Value::Object(each.collect())
        };
        let number = |name: &str| {
            samples.iter().find(|s| s.name == name).and_then(|s| match s.value {
                tulle_dashboard::store::Value::Number(n) => Some(n),
                tulle_dashboard::store::Value::Histogram(_) => None,
            })
        };
        let quantiles = |name: &str| {
            let found = samples.iter().find(|s| s.name == name);
            let of = |q: f64| found.and_then(|s| quantile(q, s.bounds, &s.value));
            json!({"p50": of(0.5), "p99": of(0.99)})
        };
        let (memory, cpu) = process();
        let known = self.known();
        let [resources, versions, bytes, dropped] = self.kept().history.counts();
        let store_version = shown.standing.newest();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime": shown.started.elapsed().as_secs_f64(),
            "ready": *shown.ready.borrow(),
            "trustDomain": known.snapshot.mesh().trust_domain,
            "rootNamespace": known.snapshot.mesh().root_namespace,
            "streams": shown.hub.stream_count(),
            "services": known.snapshot.services().count(),
            "workloads": known.snapshot.workloads().count(),
            "storeVersion": store_version,
            "pushes": by_type("pilot_xds_pushes"),
            "rejects": by_type("pilot_total_xds_rejects"),
            "pushTime": quantiles("pilot_xds_push_time"),
            "convergence": quantiles("pilot_proxy_convergence_time"),
            "memoryBytes": memory,
            "cpuSeconds": cpu,
            "history": {"resources": resources, "versions": versions, "bytes": bytes, "dropped": dropped},
            "audit": {"recorded": shown.audit.recorded(), "lost": shown.audit.lost()},
            "certificateAuthority": {
                "requests": number("citadel_server_csr_count"),
                "issued": number("citadel_server_success_cert_issuance_count"),
                "refused": number("citadel_server_authentication_failure_count"),
                "rootExpires": number("citadel_server_root_cert_expiry_timestamp"),
            },
        })
    }

    pub(super) fn all_certificates(&self) -> Certificates {
        let now = self.needs.shown.authorities.current();
        let (signing, other) = (&now.signing, now.other.as_ref());
        let root = |der: &rustls::pki_types::CertificateDer<'_>, role| {
            let info = CertInfo::read(der).ok();
            #[allow(clippy::cast_precision_loss, reason = "seconds of this century")]
            Root {
                subject: info.as_ref().map(|i| i.subject.clone()).unwrap_or_default(),
                fingerprint: fingerprint(der),
                expires: info.as_ref().map_or(0.0, |i| i.not_after as f64),
                role,
            }
        };
        let mut roots: Vec<Root> = signing.roots().iter().map(|r| root(r, "signing")).collect();
        let role = if now.phase == Phase::Distributing { "coming" } else { "going" };
        roots.extend(other.iter().flat_map(|o| o.roots()).map(|r| root(r, role)));
        let at = SystemTime::now();
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let snapshot = self.known().snapshot;
        let life = self.needs.shown.cert_ttl.as_secs_f64();
        let mut workloads: Vec<Certificate> = (self.needs.issued.held(at).into_iter())
            .map(|held| {
                #[allow(clippy::cast_precision_loss, reason = "seconds of this century")]
                let expires = held.not_after as f64;
                let pod = held.pod.as_ref().map(|(ns, name)| NsName::new(ns.as_str(), name.as_str()));
                let workload = pod.as_ref().and_then(|pod| snapshot.workload(pod)).map(|w| workload_of(w));
                Certificate {
                    workload,
                    pod: held.pod.map(|(ns, name)| format!("{ns}/{name}")),
                    identity: held.id,
                    serial: held.serial,
                    root: held.root,
                    expires,
                    state: match expires - since {
                        left if left <= 0.0 => "expired",
                        left if left < DUE * life => "due",
                        _ => "fresh",
                    },
                }
            })
            .collect();
        workloads.sort_by(|a, b| a.expires.total_cmp(&b.expires));
        Certificates {
            roots,
            phase: now.phase.as_str().to_owned(),
            signs_until: signing.not_after().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            workloads,
        }
    }
}

/// A quantile of a histogram, in its unit; the bound above which none of them lie.
fn quantile(q: f64, bounds: &[f64], value: &tulle_dashboard::store::Value) -> Option<f64> {
    let tulle_dashboard::store::Value::Histogram(buckets) = value else { return None };
    let mut sum = 0.0;
    #[allow(clippy::cast_precision_loss, reason = "counts")]
    let mut all: Vec<(f64, f64)> = buckets
        .counts
        .iter()
        .enumerate()
        .map(|(i, n)| {
            sum += *n as f64;
            (bounds.get(i).copied().unwrap_or(f64::INFINITY), sum)
        })
        .collect();
    Some(tulle_dashboard::query::histogram_quantile(q, &mut all)).filter(|v| v.is_finite())
}

/// Bytes of memory and seconds of CPU that this process took.
fn process() -> (Option<u64>, Option<f64>) {
    let statm = std::fs::read_to_string("/proc/self/statm").ok();
    let pages: Option<u64> = statm.and_then(|text| text.split(' ').nth(1)?.parse().ok());
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    // After the name in brackets: the 12th and 13th fields are ticks of 1/100 s.
    let ticks = stat.and_then(|text| {
        let rest = text.rsplit_once(") ")?.1.to_owned();
        let mut fields = rest.split(' ').skip(11);
        let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((user + system) / 100.0)
    });
    (pages.map(|p| p * 4096), ticks)
}
