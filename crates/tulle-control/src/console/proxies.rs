//! Proxies, how far each is, and what each is sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tulle_dashboard::plane::{Proxies, Proxy, TypeState, Unconnected};
use tulle_proto::json::Json;
use tulle_translate::{Kind, View};

use super::Console;
use super::model::{reference, workload_of};

/// States from the best to the worst.
const STATES: [&str; 4] = ["SYNCED", "NOT SENT", "STALE", "ERROR"];

impl Console {
    pub(super) async fn all_proxies(&self) -> Proxies {
        let shown = &self.needs.shown;
        let streams = shown.hub.snapshot().await;
        let expiries = self.expiries();
        let directory = shown.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut proxies: Vec<Proxy> = Vec::new();
        for stream in &streams {
            let Some(connected) = directory.get(&stream.stream) else { continue };
            let proxy = &connected.proxy;
            let types: BTreeMap<String, TypeState> = (stream.types.iter())
                .map(|kind| {
                    let refused: Vec<String> =
                        kind.refused.iter().map(|(name, _)| name.to_string()).collect();
                    let state = match (refused.is_empty(), kind.settled) {
                        (false, _) => "ERROR",
                        (true, true) => "SYNCED",
                        (true, false) => "STALE",
                    };
                    (shown.types.label(kind.kind).to_owned(), TypeState { state, refused })
                })
                .collect();
            let worst = types.values().map(|t| rank(t.state)).max().map_or("NOT SENT", |rank| STATES[rank]);
            let at = SystemTime::now().checked_sub(connected.since.elapsed()).unwrap_or(UNIX_EPOCH);
            let id = format!("{}.{}", proxy.pod.name, proxy.pod.namespace);
            proxies.push(Proxy {
                dump: format!("/api/proxies/{id}/dump"),
                id,
                pod: proxy.pod.name.clone(),
                namespace: proxy.pod.namespace.clone(),
                workload: format!("{}/{}", proxy.pod.namespace, proxy.workload),
                kind: if proxy.kind == Kind::Router { "router" } else { "sidecar" },
                cluster: proxy.cluster_id.clone(),
                version: proxy.metadata.get("ISTIO_VERSION").cloned().unwrap_or_default(),
                stock_envoy: proxy.stock_envoy,
                ip: proxy.ip.clone(),
                connected_since: at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
                types,
                state: worst,
                acknowledged: shown.standing.version(stream.stream),
                last_push: connected.last_push(),
                certificate_expires: expiries
                    .get(&(proxy.pod.namespace.clone(), proxy.pod.name.clone()))
                    .copied(),
            });
        }
        drop(directory);
        proxies.sort_by(|a, b| rank(b.state).cmp(&rank(a.state)).then_with(|| a.id.cmp(&b.id)));
        let unconnected = self.unconnected(&proxies);
        Proxies { proxies, unconnected }
    }

    /// When the certificates of pods end.
    fn expiries(&self) -> HashMap<(String, String), f64> {
        let held = self.needs.issued.held(SystemTime::now());
        #[allow(clippy::cast_precision_loss, reason = "seconds of this century")]
        held.into_iter().filter_map(|h| Some((h.pod?, h.not_after as f64))).collect()
    }

    /// The pods that should have a proxy here, and have none.
    fn unconnected(&self, proxies: &[Proxy]) -> Vec<Unconnected> {
        let here: HashSet<(&str, &str)> =
            proxies.iter().map(|p| (p.namespace.as_str(), p.pod.as_str())).collect();
        let known = self.known();
        let root = known.snapshot.mesh().root_namespace.clone();
        let all = known.snapshot.workloads();
        let missing = all.filter(|pod| !here.contains(&(pod.namespace(), pod.pod.name.as_str())));
        // The control plane itself has none.
        let missing = missing.filter(|pod| pod.mtls_ready || pod.namespace() != root);
        let reason = |pod: &tulle_mesh::workload::Workload| {
            if pod.mtls_ready {
                return "its proxy is not connected: see its log (tulle logs -c istio-proxy)".to_owned();
            }
            format!(
                "it has no proxy: label namespace {} istio-injection=enabled and start the pod again",
                pod.namespace()
            )
        };
        missing
            .map(|pod| Unconnected {
                pod: pod.pod.name.clone(),
                namespace: pod.namespace().to_owned(),
                workload: workload_of(pod),
                reason: reason(pod),
            })
            .collect()
    }

    /// What a proxy is sent, made again of the newest snapshot.
    pub(super) async fn dump_of(&self, id: &str) -> Option<Value> {
        let (stream, proxy) = {
            let directory = self.needs.shown.directory.lock().unwrap_or_else(PoisonError::into_inner);
            let found = directory
                .iter()
                .find(|(_, c)| format!("{}.{}", c.proxy.pod.name, c.proxy.pod.namespace) == id);
            found.map(|(stream, c)| (*stream, c.proxy.clone()))?
        };
        let streams = self.needs.shown.hub.snapshot().await;
        let refused: HashSet<(String, String)> = (streams.iter())
            .filter(|s| s.stream == stream)
            .flat_map(|s| &s.types)
            .flat_map(|kind| {
                let label = self.needs.shown.types.label(kind.kind).to_owned();
                kind.refused.iter().map(move |(name, _)| (label.clone(), name.to_string()))
            })
            .collect();
        let snapshot = self.known().snapshot;
        let made = tokio::task::spawn_blocking(move || {
            let view = View::of(&snapshot, &proxy);
            let names = tulle_translate::route_names(&snapshot, &proxy, &view);
            let routes =
                names.iter().filter_map(|n| tulle_translate::routes(&snapshot, &proxy, &view, n)).collect();
            let names = tulle_translate::endpoint_names(&snapshot, &view);
            let endpoints =
                names.iter().filter_map(|n| tulle_translate::endpoints(&snapshot, &view, n)).collect();
            let types: [(&str, Vec<tulle_translate::Resource>); 4] = [
                ("cds", tulle_translate::clusters(&snapshot, &proxy, &view)),
                ("eds", endpoints),
                ("lds", tulle_translate::listeners(&snapshot, &proxy, &view)),
                ("rds", routes),
            ];
            let writer = Json::load().ok();
            let mut out = json!({});
            for (kind, all) in types {
                let rows = all.iter().map(|resource| {
                    let by: Vec<_> = resource.made_by.iter().map(reference).collect();
                    let body = writer.as_ref().and_then(|w| w.decode(resource.type_url, &resource.body).ok());
                    json!({
                        "name": &*resource.name, "madeBy": by, "resource": body,
                        "refused": refused.contains(&(kind.to_owned(), resource.name.to_string())),
                    })
                });
                out[kind] = json!(rows.collect::<Vec<_>>());
            }
            out
        });
        let types = made.await.ok()?;
        Some(json!({"id": id, "types": types}))
    }
}

fn rank(state: &str) -> usize {
    STATES.iter().position(|s| *s == state).unwrap_or(0)
}
