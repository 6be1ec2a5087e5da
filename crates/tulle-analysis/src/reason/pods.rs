//! The pods that run, or will run: pods themselves and what makes them.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use tulle_api::kubernetes::{
    DaemonSet, Deployment, Job, Namespace, PodSpec, PodTemplateSpec, ReplicaSet, StatefulSet,
};
use tulle_api::{Object, ObjectMeta};
use tulle_base::Labels;

use super::matches::contains;
use crate::whole::Whole;

/// A set of equal pods.
#[derive(Clone, Copy, Debug)]
pub struct Pods<'a> {
    /// Its place among all, for sets and maps.
    pub id: usize,
    /// The document that makes them (or the pod itself).
    pub object: &'a Object,
    /// Labels and annotations of the pods.
    pub meta: &'a ObjectMeta,
    /// What runs in them.
    pub spec: &'a PodSpec,
    /// How many, where it is written or has a default.
    pub replicas: u32,
    /// Whether a sidecar is injected.
    pub injected: bool,
    /// The path of the template in the document, `` for a pod.
    pub template: &'static str,
}

impl<'a> Pods<'a> {
    /// The namespace.
    pub fn namespace(&self) -> &'a str {
        &self.object.meta.namespace
    }

    /// Labels of the pods.
    pub fn labels(&self) -> &'a Labels {
        &self.meta.labels
    }

    /// The service account, `default` when none is written.
    pub fn service_account(&self) -> &'a str {
        let spec = self.spec;
        [&spec.service_account_name, &spec.service_account]
            .into_iter()
            .find(|s| !s.is_empty())
            .map_or("default", String::as_str)
    }

    /// Whether it is a gateway of Istio's API or the Gateway API: the container `istio-proxy` is written, not injected.
    pub fn is_gateway(&self) -> bool {
        self.labels().contains_key(GATEWAY_NAME)
            || self.spec.containers.iter().any(|c| c.name == "istio-proxy" && !self.is_sidecar_of_another())
    }

    fn is_sidecar_of_another(&self) -> bool {
        self.spec.containers.len() > 1
    }

    /// Whether its traffic passes a proxy of the mesh.
    pub fn in_mesh(&self) -> bool {
        self.injected || self.is_gateway() || self.spec.containers.iter().any(|c| c.name == "istio-proxy")
    }
}

/// Label that pods of a Gateway API gateway have.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// All pods, found by namespace or by label.
#[derive(Debug)]
pub struct PodIndex<'a> {
    all: Vec<Pods<'a>>,
    by_namespace: BTreeMap<&'a str, Vec<usize>>,
    by_label: HashMap<(&'a str, &'a str), Vec<usize>>,
    namespaces: BTreeMap<&'a str, &'a Object>,
    looked_at: Cell<u64>,
}

impl<'a> PodIndex<'a> {
    /// The pods of a configuration. A pod with an owner that is part of it counts with its owner.
    pub fn new(whole: &Whole<'a>) -> Self {
        let namespaces: BTreeMap<&str, &Object> =
            whole.all::<Namespace>().map(|(o, _)| (o.meta.name.as_str(), o)).collect();
        let mut index = Self {
            all: Vec::new(),
            by_namespace: BTreeMap::new(),
            by_label: HashMap::new(),
            namespaces,
            looked_at: Cell::new(0),
        };
        let count = |n: Option<i32>| u32::try_from(n.unwrap_or(1)).unwrap_or(0);
        for (object, spec) in whole.all::<Deployment>() {
            index.add_template(object, &spec.template, count(spec.replicas));
        }
        for (object, spec) in whole.all::<StatefulSet>() {
            index.add_template(object, &spec.template, count(spec.replicas));
        }
        for (object, spec) in whole.all::<DaemonSet>() {
            index.add_template(object, &spec.template, 1);
        }
        for (object, spec) in whole.all::<Job>() {
            index.add_template(object, &spec.template, count(spec.parallelism));
        }
        for (object, spec) in whole.all::<ReplicaSet>().filter(|(o, _)| o.meta.owner_references.is_empty()) {
            if let Some(template) = &spec.template {
                index.add_template(object, template, count(spec.replicas));
            }
        }
        for (object, spec) in whole.all::<PodSpec>().filter(|(o, _)| o.meta.owner_references.is_empty()) {
            index.add(object, &object.meta, spec, 1, "");
        }
        index
    }

    fn add_template(&mut self, object: &'a Object, template: &'a PodTemplateSpec, replicas: u32) {
        self.add(object, &template.metadata, &template.spec, replicas, "spec.template.");
    }

    fn add(
        &mut self,
        object: &'a Object,
        meta: &'a ObjectMeta,
        spec: &'a PodSpec,
        replicas: u32,
        template: &'static str,
    ) {
        let namespace = object.meta.namespace.as_str();
        let injected = injected(self.namespace_labels(namespace), meta, spec, namespace);
        let at = self.all.len();
        self.all.push(Pods { id: at, object, meta, spec, replicas, injected, template });
        self.by_namespace.entry(namespace).or_default().push(at);
        for (key, value) in &meta.labels {
            self.by_label.entry((key, value)).or_default().push(at);
        }
    }

    /// The pods with this id.
    pub fn get(&self, id: usize) -> &Pods<'a> {
        &self.all[id]
    }

    /// Every set of pods.
    pub fn iter(&self) -> impl Iterator<Item = &Pods<'a>> {
        self.all.iter()
    }

    /// The namespaces that have pods, sorted.
    pub fn namespaces(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.by_namespace.keys().copied()
    }

    /// The document of a namespace, if it is part of the configuration.
    pub fn namespace_object(&self, namespace: &str) -> Option<&'a Object> {
        self.namespaces.get(namespace).copied()
    }

    /// The labels of a namespace; none when its document is not part of the configuration.
    pub fn namespace_labels(&self, namespace: &str) -> Option<&'a Labels> {
        self.namespaces.get(namespace).map(|o| &o.meta.labels)
    }

    /// The pods of a namespace.
    pub fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = &Pods<'a>> {
        self.by_namespace.get(namespace).into_iter().flatten().map(|i| &self.all[*i])
    }

    /// The pods with every label of `wanted`, of `namespace` or (`None`) of all. Without labels: all of them.
    pub fn select<'s>(
        &'s self,
        namespace: Option<&'s str>,
        wanted: &'s Labels,
    ) -> impl Iterator<Item = &'s Pods<'a>> {
        let rarest = wanted
            .iter()
            .map(|(k, v)| self.by_label.get(&(k.as_str(), v.as_str())).map_or(&[][..], Vec::as_slice))
            .min_by_key(|found| found.len());
        let every = rarest.is_none() && namespace.is_none();
        let in_namespace = match (rarest, namespace) {
            (None, Some(ns)) => self.by_namespace.get(ns).map_or(&[][..], Vec::as_slice),
            (rarest, _) => rarest.unwrap_or_default(),
        };
        let all = every.then_some(0..self.all.len()).into_iter().flatten();
        let candidates = in_namespace.iter().copied().chain(all).map(|i| &self.all[i]);
        candidates
            .filter(move |p| namespace.is_none_or(|ns| p.namespace() == ns) && contains(p.labels(), wanted))
    }

    /// How many sets of pods selectors were compared with so far.
    pub fn looked_at(&self) -> u64 {
        self.looked_at.get()
    }

    /// Whether there are pods at all: without any, nothing can be said about what selects them.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Whether a pod gets a sidecar, by Istio's rules for namespace and pod labels.
pub fn injected(
    namespace_labels: Option<&Labels>,
    meta: &ObjectMeta,
    spec: &PodSpec,
    namespace: &str,
) -> bool {
    const INJECT: &str = "sidecar.istio.io/inject";
    const REVISION: &str = "istio.io/rev";
    let never = matches!(namespace, "kube-system" | "kube-public" | "kube-node-lease" | "local-path-storage");
    if spec.host_network == Some(true) || never {
        return false;
    }
    let explicit = meta.labels.get(INJECT).or_else(|| meta.annotations.get(INJECT)).map(String::as_str);
    if explicit.is_some_and(|v| v != "true") {
        return false;
    }
    let of_namespace = |key: &str| namespace_labels.and_then(|l| l.get(key)).map(String::as_str);
    match (of_namespace("istio-injection"), of_namespace(REVISION)) {
        (Some("enabled"), _) => true,
        (Some("disabled"), _) => false,
        (_, Some(_)) => true,
        _ => meta.labels.contains_key(REVISION) || explicit.is_some(),
    }
}
