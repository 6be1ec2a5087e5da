//! `/api/workloads` and one of them.

use serde::Serialize;
use serde_json::{Value, json};

use super::golden::Golden;
use super::health::{Health, Judged, Reason};
use super::{Seen, quoted};
use crate::plane::{Proxies, Workload};

#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    workload: &'a Workload,
    pods: Pods,
    #[serde(flatten)]
    judged: Judged,
    inbound: Golden,
    outbound: Golden,
}

/// Pods, counted.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Pods {
    total: usize,
    ready: usize,
    injected: usize,
    synced: usize,
}

/// Counts the pods of a workload.
pub(super) fn pods(workload: &Workload, proxies: &Proxies) -> Pods {
    let count = |test: &dyn Fn(&crate::plane::Pod) -> bool| workload.pods.iter().filter(|p| test(p)).count();
    let synced = |pod: &crate::plane::Pod| {
        let mut all = proxies.proxies.iter();
        all.any(|p| p.pod == pod.name && p.namespace == workload.namespace && p.state == "SYNCED")
    };
    Pods {
        total: workload.pods.len(),
        ready: count(&|p| p.ready),
        injected: count(&|p| p.injected),
        synced: count(&synced),
    }
}

/// How a workload is: as what it is asked, and whether it has what it was sent.
pub(super) fn judge(seen: &Seen, workload: &Workload, pods: Pods) -> Judged {
    let mut judged = Judged::of(&Golden::of(seen.inbound(&workload.id)), seen.seconds());
    if judged.health == Health::Idle && seen.outbound(&workload.id).next().is_some() {
        judged.health = Health::Healthy;
    }
    if pods.synced < pods.injected {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let (have, of) = (pods.synced as f64, pods.injected as f64);
        let text = format!("{} of {} proxies have what was sent", pods.synced, pods.injected);
        judged.add(Health::Degraded, Reason::new("not-synced", text, have, of));
    }
    judged
}

fn row<'a>(seen: &'a Seen, workload: &'a Workload, proxies: &Proxies) -> Row<'a> {
    let pods = pods(workload, proxies);
    Row {
        workload,
        pods,
        judged: judge(seen, workload, pods),
        inbound: Golden::of(seen.inbound(&workload.id)),
        outbound: Golden::of(seen.outbound(&workload.id)),
    }
}

/// Those of a namespace (empty: all) with `part` in their name.
pub(crate) fn workloads(seen: &Seen, proxies: &Proxies, namespace: &str, part: &str) -> Value {
    let all = seen.model.workloads.values();
    let wanted = all.filter(|w| (namespace.is_empty() || w.namespace == namespace) && w.id.contains(part));
    let rows: Vec<Row<'_>> = wanted.map(|w| row(seen, w, proxies)).collect();
    json!({"time": seen.time(), "window": seen.seconds(), "workloads": rows})
}

/// One workload; `None` if there is no such one.
pub(crate) fn workload(seen: &Seen, proxies: &Proxies, id: &str) -> Option<Value> {
    let workload = seen.model.workloads.get(id)?;
    let mut out = json!(row(seen, workload, proxies));
    out["time"] = json!(seen.time());
    out["window"] = json!(seen.seconds());
    let pods = workload.pods.iter().map(|pod| {
        let proxy = proxies.proxies.iter().find(|p| p.pod == pod.name && p.namespace == workload.namespace);
        let mut out = json!(pod);
        out["principal"] = json!(workload.principal);
        out["proxy"] = match proxy {
            Some(p) => {
                json!({"id": p.id, "synced": p.state == "SYNCED", "state": p.state, "version": p.version})
            }
            None => Value::Null,
        };
        out
    });
    out["podsList"] = json!(pods.collect::<Vec<Value>>());
    out["peers"] = json!({
        "inbound": seen.peers(seen.inbound(id), |key| &key.source),
        "outbound": seen.peers(seen.outbound(id), |key| &key.target),
    });
    out["mtlsMode"] = json!(workload.peering);
    out["configuration"] = json!(workload.configuration);
    out["policies"] = json!(workload.policies);
    out["queries"] = queries(workload);
    out["commands"] = json!([
        format!("tulle logs -n {} {} -c istio-proxy -f", workload.namespace, workload.name),
        "tulle top".to_owned(),
    ]);
    Some(out)
}

fn queries(workload: &Workload) -> Value {
    let side = |side: &str, reporter: &str| {
        format!(
            r#"{{reporter="{reporter}",{side}_workload="{}",{side}_workload_namespace="{}"}}"#,
            quoted(&workload.name),
            quoted(&workload.namespace)
        )
    };
    let (inbound, outbound) = (side("destination", "destination"), side("source", "source"));
    let rate = |selector: &str| format!("sum(rate(istio_requests_total{selector}[1m]))");
    let p99 = |selector: &str| {
        format!(
            "histogram_quantile(0.99, sum by (le) (rate(istio_request_duration_milliseconds_bucket{selector}[1m])))"
        )
    };
    json!({
        "inboundRate": rate(&inbound), "outboundRate": rate(&outbound),
        "inboundP99": p99(&inbound), "outboundP99": p99(&outbound),
    })
}
