//! Workloads: the pods, and what the mesh knows of each.

use std::collections::BTreeMap;

use tulle_base::{Labels, Locality, SpiffeId};

use crate::config::GatewayTopology;
use crate::meta::NsName;
use crate::proxies::ProxySettings;

/// One running instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Namespace and name of the pod.
    pub pod: NsName,
    /// Addresses, the primary one first; empty until the pod has one.
    pub ips: Vec<String>,
    /// Labels of the pod.
    pub labels: Labels,
    /// Service account, `default` when none is written.
    pub service_account: String,
    /// Name of what owns the pod (a Deployment's name), else the pod's.
    pub workload_name: String,
    /// Canonical service name (labels, then the workload's name).
    pub canonical_name: String,
    /// Canonical revision, `latest` when nothing says otherwise.
    pub canonical_revision: String,
    /// Whether clients can use mutual TLS with it: a sidecar was injected.
    pub mtls_ready: bool,
    /// Where it runs.
    pub locality: Locality,
    /// Network, empty for the mesh's own.
    pub network: String,
    /// Node's name, empty until scheduled.
    pub node: String,
    /// Ready to serve, as its conditions say.
    pub ready: bool,
    /// Container ports by name.
    pub named_ports: BTreeMap<String, u16>,
    /// What stands before it if it is a gateway, as its annotation says.
    pub topology: GatewayTopology,
    /// What HTTP of its proxy is like, as its annotation says.
    pub proxy: ProxySettings,
}

impl Workload {
    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.pod.namespace
    }

    /// Its identity in `trust_domain`.
    pub fn identity(&self, trust_domain: &str) -> SpiffeId {
        SpiffeId::new(trust_domain, self.namespace(), self.service_account.clone())
    }
}

/// The canonical service name of a workload (Istio's order of labels).
pub fn canonical_name<'a>(labels: &'a Labels, workload: &'a str) -> &'a str {
    ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]
        .iter()
        .find_map(|key| labels.get(*key).filter(|v| !v.is_empty()))
        .map_or(workload, String::as_str)
}

/// The canonical revision of a workload, `latest` by default.
pub fn canonical_revision(labels: &Labels) -> &str {
    ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]
        .iter()
        .find_map(|key| labels.get(*key).filter(|v| !v.is_empty()))
        .map_or("latest", String::as_str)
}

/// The name of the workload that owns a pod: the label, then the owner; a ReplicaSet of a Deployment gives the
/// Deployment's name (its own name without the pod template hash), a Job of a CronJob the CronJob's.
pub fn workload_name(pod: &str, labels: &Labels, owner: Option<(&str, &str)>) -> String {
    if let Some(name) = labels.get("service.istio.io/workload-name").filter(|n| !n.is_empty()) {
        return name.clone();
    }
    match owner {
        Some(("ReplicaSet", name)) => {
            let hash = labels.get("pod-template-hash");
            hash.and_then(|hash| name.strip_suffix(hash.as_str())?.strip_suffix('-'))
                .unwrap_or(name)
                .to_owned()
        }
        Some(("Job", name)) => cron_job_of(name).unwrap_or(name).to_owned(),
        Some((_, name)) => name.to_owned(),
        None => pod.to_owned(),
    }
}

/// `NAME-MINUTES` as the CronJob controller names its jobs: eight digits or more at the end.
fn cron_job_of(job: &str) -> Option<&str> {
    let (name, minutes) = job.rsplit_once('-')?;
    (minutes.len() >= 8 && minutes.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_named_after_their_owner() {
        let labels: Labels = [("pod-template-hash".into(), "6d4cf56db6".into())].into();
        let name = |owner| workload_name("reviews-v1-6d4cf56db6-x2x9k", &labels, owner);
        assert_eq!(name(Some(("ReplicaSet", "reviews-v1-6d4cf56db6"))), "reviews-v1");
        assert_eq!(name(Some(("StatefulSet", "db"))), "db");
        assert_eq!(name(Some(("Job", "backup-28451234"))), "backup");
        assert_eq!(name(Some(("Job", "once-2"))), "once-2");
        assert_eq!(name(None), "reviews-v1-6d4cf56db6-x2x9k");
    }

    #[test]
    fn canonical_names_fall_back() {
        let labels: Labels = [("app".into(), "reviews".into()), ("version".into(), "v1".into())].into();
        assert_eq!(canonical_name(&labels, "w"), "reviews");
        assert_eq!(canonical_revision(&labels), "v1");
        assert_eq!(canonical_name(&Labels::new(), "w"), "w");
        assert_eq!(canonical_revision(&Labels::new()), "latest");
    }
}
