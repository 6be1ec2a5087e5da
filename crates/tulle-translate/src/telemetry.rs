//! Metrics of Telemetry as configuration of `istio.stats`, merged as Istio merges them.
//!
//! Providers that a document names are in place of those of weaker ones; what it overrides comes on top. Turning `ALL_METRICS` off by
//! name takes the filter away; any later override brings it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tulle_mesh::Snapshot;
use tulle_mesh::config::MeshConfig;
use tulle_mesh::provider::ProviderKind;
use tulle_mesh::telemetry::{
    IstioMetric, MetricMatch, MetricOverride, Metrics, Mode, TagOverride, Telemetry,
};
use tulle_proto::istio::stats::{MetricConfig, PluginConfig};

use crate::pb::duration;
use crate::proxy::Proxy;

/// What is done to one metric at one end.
#[derive(Clone, Debug, Default)]
struct Change {
    disabled: Option<bool>,
    tags: BTreeMap<String, TagOverride>,
}

/// What is done to the metrics of a provider.
#[derive(Clone, Debug, Default)]
struct Provider {
    off: bool,
    client: BTreeMap<String, Change>,
    server: BTreeMap<String, Change>,
}

/// The documents of a proxy, from the weakest on.
pub(crate) fn of_proxy(snapshot: &Snapshot, proxy: &Proxy) -> Vec<Arc<Telemetry>> {
    let all = snapshot.telemetry_of(proxy.namespace(), &proxy.labels);
    all.into_iter().cloned().collect()
}

/// Which metrics a proxy reports as a server; `None` for none.
pub(crate) fn of_server(snapshot: &Snapshot, proxy: &Proxy) -> Option<PluginConfig> {
    let documents = of_proxy(snapshot, proxy);
    metrics(snapshot.mesh(), &documents, Mode::Server).filter(|_| !proxy.stock_envoy)
}

/// The configuration of metrics at one end (`end` is one of the two); `None` where none are reported.
pub(crate) fn metrics(mesh: &MeshConfig, documents: &[Arc<Telemetry>], end: Mode) -> Option<PluginConfig> {
    let all: Vec<&Metrics> = documents.iter().flat_map(|document| &document.metrics).collect();
    let providers = merged(&all, &mesh.default_metrics);
    let is_prometheus = |name: &str| matches!(mesh.telemetry_provider(name), Some(ProviderKind::Prometheus));
    // Whatever provider asks for them, there is one set of metrics that whoever wants can scrape.
    let (_, provider) =
        providers.into_iter().find(|(name, provider)| is_prometheus(name) && !provider.off)?;
    let changes = if end == Mode::Server { provider.server } else { provider.client };
    let interval: Option<Duration> = all.iter().filter_map(|metrics| metrics.reporting_interval).next_back();
    Some(PluginConfig {
        tcp_reporting_duration: interval.map(duration),
        metrics: changes.into_iter().map(|(name, change)| metric(name, change)).collect(),
        ..PluginConfig::default()
    })
}

fn metric(name: String, change: Change) -> MetricConfig {
    let Change { disabled, tags } = change;
    let mut out = MetricConfig { name, drop: disabled.unwrap_or(false), ..MetricConfig::default() };
    for (label, change) in tags {
        match change {
            TagOverride::Set(expression) => drop(out.dimensions.insert(label, expression)),
            TagOverride::Remove => out.tags_to_remove.push(label),
        }
    }
    out
}

fn merged(all: &[&Metrics], defaults: &[String]) -> BTreeMap<String, Provider> {
    if all.is_empty() {
        return defaults.iter().map(|name| (name.clone(), Provider::default())).collect();
    }
    let strongest = all.iter().rev().map(|m| m.providers.as_slice()).find(|names| !names.is_empty());
    let wanted: BTreeSet<&String> = strongest.unwrap_or(defaults).iter().collect();
    let mut parents = defaults;
    let mut out: BTreeMap<String, Provider> = BTreeMap::new();
    for metrics in all {
        if !metrics.providers.is_empty() {
            parents = &metrics.providers;
        }
        for name in parents.iter().filter(|name| wanted.contains(name)) {
            let provider = out.entry(name.clone()).or_default();
            metrics.overrides.iter().for_each(|change| provider.take(change));
        }
    }
    out
}

impl Provider {
    fn take(&mut self, change: &MetricOverride) {
        if change.metric == (MetricMatch::All { named: true }) && change.disabled == Some(true) {
            self.off = true;
            return;
        }
        self.off = false;
        let names: Vec<&str> = match &change.metric {
            MetricMatch::All { named: _ } => IstioMetric::ALL.iter().map(|metric| metric.name()).collect(),
            MetricMatch::Istio(metric) => vec![metric.name()],
            MetricMatch::Custom(name) => vec![name],
        };
        for (end, metrics) in [(Mode::Client, &mut self.client), (Mode::Server, &mut self.server)] {
            if !change.mode.includes(end) {
                continue;
            }
            for name in &names {
                let known = metrics.entry((*name).to_owned()).or_default();
                known.disabled = change.disabled.or(known.disabled);
                known.tags.extend(change.tags.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(specs: &[&str]) -> Vec<Arc<Telemetry>> {
        let mut snapshot = Snapshot::new(MeshConfig::default());
        for (i, spec) in specs.iter().enumerate() {
            // The first is the mesh's, the second the namespace's, the third the workload's.
            let namespace = if i == 0 { "istio-system" } else { "shop" };
            let selector = if i == 2 { "selector: {matchLabels: {app: web}}, " } else { "" };
            let yaml = format!(
                "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t{i}, namespace: {namespace}}}\n\
                 spec: {{{selector}metrics: [{spec}]}}\n"
            );
            let (objects, problems) = tulle_api::parse_manifests("t.yaml", yaml.as_bytes());
            assert!(problems.is_empty(), "{problems:?}");
            let changes: Vec<_> = objects.into_iter().map(|o| tulle_mesh::Change::Put(Arc::new(o))).collect();
            snapshot = snapshot.apply(&changes).0;
        }
        let labels = [("app".to_owned(), "web".to_owned())].into();
        snapshot.telemetry_of("shop", &labels).into_iter().cloned().collect()
    }

    /// `name: drop, +label=expression, -label`, a line for each metric; `off` without metrics.
    fn shown(specs: &[&str], end: Mode) -> String {
        let Some(config) = metrics(&MeshConfig::default(), &documents(specs), end) else {
            return "off".into();
        };
        let one = |m: &MetricConfig| {
            let mut parts: Vec<String> = m.drop.then(|| "drop".to_owned()).into_iter().collect();
            parts.extend(m.dimensions.iter().map(|(label, e)| format!("+{label}={e}")));
            parts.extend(m.tags_to_remove.iter().map(|label| format!("-{label}")));
            format!("{}: {}", m.name, parts.join(", "))
        };
        config.metrics.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    const PROVIDED: &str = "providers: [{name: prometheus}]";

    #[test]
    fn what_nobody_changes_is_istios() {
        assert_eq!(shown(&[], Mode::Client), "");
        assert_eq!(shown(&[&format!("{{{PROVIDED}}}")], Mode::Server), "");
        assert_eq!(shown(&["{providers: [{name: other}]}"], Mode::Client), "off");
    }

    #[test]
    fn stronger_documents_come_on_top_of_weaker_ones() {
        let tag = |op: &str| {
            format!("{{overrides: [{{match: {{metric: REQUEST_COUNT}}, tagOverrides: {{{op}}}}}]}}")
        };
        let mesh = tag("a: {value: '\"mesh\"'}, b: {value: request.host}");
        let namespace = tag("a: {value: '\"namespace\"'}, c: {operation: REMOVE}");
        let workload = tag("c: {value: request.method}");
        let all = shown(&[&mesh, &namespace, &workload], Mode::Server);
        for part in ["+a=\"namespace\"", "+b=request.host", "+c=request.method"] {
            assert!(all.contains(part), "{all}");
        }
        assert!(all.starts_with("requests_total: ") && !all.contains('\n'), "{all}");
    }

    #[test]
    fn ends_are_told_apart() {
        let client = "{overrides: [{match: {metric: REQUEST_SIZE, mode: CLIENT}, disabled: true}]}";
        assert_eq!(shown(&[client], Mode::Client), "request_bytes: drop");
        assert_eq!(shown(&[client], Mode::Server), "");
    }

    #[test]
    fn all_of_them_can_be_turned_off_and_on_again() {
        let off = "{overrides: [{match: {metric: ALL_METRICS}, disabled: true}]}";
        assert_eq!(shown(&[off], Mode::Client), "off");
        let on = "{overrides: [{match: {metric: REQUEST_COUNT}, disabled: false}]}";
        assert_eq!(shown(&[off, on], Mode::Client), "requests_total: ");
        // Without a name, as in Istio, each of them is dropped and the filter stays.
        let each = shown(&["{overrides: [{disabled: true}]}"], Mode::Client);
        assert_eq!(each.lines().count(), 10);
        assert!(each.lines().all(|line| line.ends_with(": drop")), "{each}");
    }

    #[test]
    fn providers_of_a_stronger_document_replace_those_of_a_weaker_one() {
        let other = "{providers: [{name: other}], overrides: [{disabled: true}]}";
        let back =
            format!("{{{PROVIDED}, overrides: [{{match: {{metric: REQUEST_COUNT}}, disabled: true}}]}}");
        assert_eq!(shown(&[other, &back], Mode::Client), "requests_total: drop");
    }
}
