//! How a pod's proxy is run: what the mesh's settings, ProxyConfigs and the pod's annotation say, from the weakest to the
//! strongest. It holds from the proxy's start on, so a change is for pods that start later, as in Istio.

use std::collections::BTreeMap;
use std::time::Duration;

use tulle_api::Object;
use tulle_api::istio::ProxyConfig;
use tulle_api::kubernetes::ConfigMap;
use tulle_api::mesh::{
    InterceptionMode, IstioOperator, MeshConfig, MeshProxyConfig, PROXY_ANNOTATION, ProxyStatsMatcher,
    read_config_map, read_proxy_annotation,
};

use tulle_base::agent::{ConnectionLimits, StatsShown};

use crate::cluster::view::View;

/// The namespace whose settings are the mesh's.
const ROOT: &str = "istio-system";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    /// Worker threads; 0 is one per core.
    pub(super) concurrency: Option<usize>,
    /// Most connections at a time.
    pub(super) limits: ConnectionLimits,
    /// How long it keeps accepting after it was told to stop.
    pub(super) drain: Option<Duration>,
    /// How traffic gets to it.
    pub(super) interception: Option<InterceptionMode>,
    /// Id of the mesh in its metadata.
    pub(super) mesh_id: String,
    /// Which of Envoy's statistics are shown besides.
    pub(super) stats: StatsShown,
    /// Whether the application's metrics are served beside its own; yes by default.
    pub(super) merge_metrics: Option<bool>,
    /// Its environment, of which what begins with `ISTIO_META_` is its metadata.
    environment: BTreeMap<String, String>,
}

/// What the names of metadata begin with among the environment of a proxy.
const METADATA: &str = "ISTIO_META_";

impl Running {
    /// What is in force for a pod.
    pub(super) fn of(view: &View, pod: &Object) -> Self {
        let mut out = Self::default();
        let mut operators: Vec<_> = view.all::<IstioOperator>().collect();
        operators.sort_by_key(|(object, _)| age(object));
        for (_, operator) in operators {
            if let Some(mesh) = &operator.mesh_config {
                out.take_mesh(mesh);
            }
        }
        let map = view.get::<ConfigMap>(ROOT, "istio").and_then(|(_, map)| read_config_map(map).0.mesh);
        if let Some(mesh) = &map {
            out.take_mesh(mesh);
        }
        let mut configs: Vec<_> =
            view.all::<ProxyConfig>().filter_map(|(o, c)| Some((rank(o, c, pod)?, o, c))).collect();
        // The oldest of those that are equally near is in force.
        configs.sort_by(|a, b| (a.0, age(b.1)).cmp(&(b.0, age(a.1))));
        for (_, _, config) in configs {
            out.concurrency = count(config.concurrency).or(out.concurrency);
            out.environment.extend(config.environment_variables.clone());
        }
        if let Some(text) = pod.meta.annotations.get(PROXY_ANNOTATION)
            && let (Some(proxy), _) = read_proxy_annotation(text)
        {
            out.take(&proxy);
        }
        out.take_annotations(&pod.meta.annotations);
        out
    }

    /// Istio's older annotations for statistics, each a list separated by commas.
    fn take_annotations(&mut self, annotations: &BTreeMap<String, String>) {
        let list = |name: &str| {
            let written = annotations.get(&format!("sidecar.istio.io/{name}"))?;
            Some(written.split(',').map(|part| part.trim().to_owned()).filter(|p| !p.is_empty()).collect())
        };
        let StatsShown { prefixes, suffixes, regexps } = &mut self.stats;
        for (name, to) in [
            ("statsInclusionPrefixes", prefixes),
            ("statsInclusionSuffixes", suffixes),
            ("statsInclusionRegexps", regexps),
        ] {
            if let Some(given) = list(name) {
                *to = given;
            }
        }
    }

    fn take_mesh(&mut self, mesh: &MeshConfig) {
        self.merge_metrics = mesh.enable_prometheus_merge.or(self.merge_metrics);
        if let Some(proxy) = &mesh.default_config {
            self.take(proxy);
        }
    }

    fn take(&mut self, proxy: &MeshProxyConfig) {
        if let Some(ProxyStatsMatcher { inclusion_prefixes, inclusion_suffixes, inclusion_regexps }) =
            &proxy.proxy_stats_matcher
        {
            self.stats = StatsShown {
                prefixes: inclusion_prefixes.clone(),
                suffixes: inclusion_suffixes.clone(),
                regexps: inclusion_regexps.clone(),
            };
        }
        self.concurrency = count(proxy.concurrency).or(self.concurrency);
        self.drain = proxy.termination_drain_duration.as_ref().map(|d| d.get()).or(self.drain);
        if let Some(connections) = &proxy.connection_settings {
            let most = |written: Option<i32>| written.and_then(|n| u64::try_from(n).ok());
            self.limits.each = most(connections.listener_connection_limit).or(self.limits.each);
            self.limits.all = most(connections.global_downstream_connection_limit).or(self.limits.all);
        }
        self.interception = proxy.interception_mode.or(self.interception);
        if !proxy.mesh_id.is_empty() {
            self.mesh_id.clone_from(&proxy.mesh_id);
        }
        self.environment.extend(proxy.proxy_metadata.clone());
    }

    /// What it is to tell of itself besides.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let of = |(k, v): (&String, &String)| Some((k.strip_prefix(METADATA)?.to_owned(), v.clone()));
        self.environment.iter().filter_map(of).collect()
    }

    /// Whether it answers the pod's questions for names; yes by default.
    pub(super) fn captures_dns(&self) -> bool {
        self.environment.get("ISTIO_META_DNS_CAPTURE").is_none_or(|v| v != "false")
    }
}

fn count(written: Option<i32>) -> Option<usize> {
    written.and_then(|n| usize::try_from(n).ok())
}

fn age(object: &Object) -> (String, String, String) {
    let created = object.meta.creation_timestamp.as_ref().map(|t| t.as_str().to_owned()).unwrap_or_default();
    (created, object.meta.namespace.clone(), object.meta.name.clone())
}

/// How near a ProxyConfig is to a pod: for the mesh, for its namespace, for itself; `None` if it is for others.
fn rank(object: &Object, config: &ProxyConfig, pod: &Object) -> Option<u8> {
    let none = BTreeMap::new();
    let labels = config.selector.as_ref().map_or(&none, |s| &s.match_labels);
    let selected = labels.iter().all(|(k, v)| pod.meta.labels.get(k) == Some(v));
    match (object.meta.namespace == pod.meta.namespace, object.meta.namespace == ROOT) {
        (true, _) if !labels.is_empty() => selected.then_some(3),
        (true, false) => Some(2),
        (_, true) => labels.is_empty().then_some(1),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(annotation: &str, documents: &str) -> Running {
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: shop, labels: {{app: a}}, \
             annotations: {{proxy.istio.io/config: '{annotation}'}}}}\nspec: {{containers: [{{name: a}}]}}\n---\n"
        );
        let (objects, problems) = tulle_api::parse_manifests("", format!("{pod}{documents}").as_bytes());
        let mut objects = objects.into_iter();
        let pod = objects.next().unwrap_or_else(|| panic!("{problems:?}"));
        let view = View::new(objects.map(std::sync::Arc::new));
        Running::of(&view, &pod)
    }

    fn config(name: &str, namespace: &str, spec: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
        )
    }

    #[test]
    fn statistics_that_are_shown_are_named_by_the_mesh_or_the_pod() {
        let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
             data: {mesh: '{enablePrometheusMerge: false, defaultConfig: {proxyStatsMatcher: \
             {inclusionPrefixes: [cluster.outbound], inclusionSuffixes: [upstream_rq_retry], inclusionRegexps: [\".*rbac.*\"]}}}'}\n---\n";
        let of = running("", mesh);
        assert_eq!(of.merge_metrics, Some(false));
        let expected = StatsShown {
            prefixes: vec!["cluster.outbound".into()],
            suffixes: vec!["upstream_rq_retry".into()],
            regexps: vec![".*rbac.*".into()],
        };
        assert_eq!(of.stats, expected);
        let own = running("proxyStatsMatcher: {inclusionPrefixes: [http.]}", mesh);
        assert_eq!((own.stats.prefixes, own.stats.suffixes), (vec!["http.".to_owned()], vec![]));
        assert_eq!(running("", "").merge_metrics, None);
    }

    #[test]
    fn the_nearest_word_is_in_force() {
        let operator = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: a, namespace: istio-system}\n\
             spec: {meshConfig: {defaultConfig: {concurrency: 1, terminationDrainDuration: 9s}}}\n---\n";
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
             data: {mesh: 'defaultConfig: {concurrency: 2}'}\n---\n";
        let mut all = String::new();
        assert_eq!(running("", &all), Running::default());
        let mut add = |more: &str| {
            all.push_str(more);
            running("", &all).concurrency
        };
        assert_eq!(add(operator), Some(1));
        assert_eq!(add(map), Some(2));
        assert_eq!(add(&config("mesh", "istio-system", "{concurrency: 3}")), Some(3));
        assert_eq!(add(&config("other", "other", "{concurrency: 9}")), Some(3));
        assert_eq!(add(&config("ns", "shop", "{concurrency: 4}")), Some(4));
        assert_eq!(add(&config("b", "shop", "{selector: {matchLabels: {app: b}}, concurrency: 9}")), Some(4));
        assert_eq!(add(&config("a", "shop", "{selector: {matchLabels: {app: a}}, concurrency: 5}")), Some(5));
        let annotated = running("concurrency: 0", &all);
        let limited = running(
            "connectionSettings: {listenerConnectionLimit: 5}",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'defaultConfig: \
             {connectionSettings: {listenerConnectionLimit: 7, globalDownstreamConnectionLimit: 9}}'}\n---\n",
        );
        assert_eq!((limited.limits.each, limited.limits.all), (Some(5), Some(9)));
        assert_eq!((annotated.concurrency, annotated.drain), (Some(0), Some(Duration::from_secs(9))));
        let told = config(
            "env",
            "shop",
            "{environmentVariables: {ISTIO_META_A: near, ISTIO_META_DNS_CAPTURE: 'false', OTHER: x}}",
        );
        let map = map.replace(
            "{concurrency: 2}",
            "{interceptionMode: NONE, meshId: m, proxyMetadata: {ISTIO_META_A: far, ISTIO_META_B: far}}",
        );
        let told = running("", &format!("{map}{told}"));
        assert_eq!((told.interception, told.mesh_id.as_str()), (Some(InterceptionMode::None), "m"));
        assert!(!told.captures_dns());
        let pairs = [("A", "near"), ("B", "far"), ("DNS_CAPTURE", "false")];
        assert_eq!(told.metadata(), pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        // One that cannot be read says nothing.
        assert_eq!(running("concurrency: x", &all).concurrency, Some(5));
    }
}
