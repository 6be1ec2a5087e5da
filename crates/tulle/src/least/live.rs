//! What runs: the workloads and policies that the API has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Method;
use tulle_analysis::reason::written::with_written;
use tulle_api::istio::{AuthorizationAction, AuthorizationPolicy};
use tulle_api::{Kind, Object, decode_object};
use tulle_base::Labels;
use tulle_mesh::{Change, MeshConfig, NsName, Snapshot};

use crate::commands::resources::{Api, path, succeeded};
use crate::outcome::Failure;

/// What is asked for: what workloads, their labels and the policies for them depend on.
const KINDS: [Kind; 7] = [
    Kind::ConfigMap,
    Kind::Namespace,
    Kind::Pod,
    Kind::Gateway,
    Kind::GatewayApiGateway,
    Kind::PeerAuthentication,
    Kind::AuthorizationPolicy,
];

/// The mesh as it is now.
pub(crate) struct Live {
    /// The model of it.
    pub(crate) mesh: Snapshot,
    /// Labels of AuthorizationPolicies.
    pub(crate) labels: BTreeMap<NsName, Labels>,
    /// ALLOW policies for workloads, those on trial left out.
    pub(crate) allow: BTreeSet<NsName>,
}

/// Pods of the same workload.
pub(crate) struct Running {
    /// The labels of each.
    pub(crate) pods: Vec<Labels>,
    /// Whether all have a proxy that takes mutual TLS.
    pub(crate) meshed: bool,
}

impl Live {
    /// Asks the API.
    pub(crate) fn ask(api: &Api) -> Result<Self, Failure> {
        let (runtime, client) = api.connect()?;
        let json = "application/json";
        let mut objects = Vec::new();
        for kind in KINDS {
            let path = path(kind, "", "");
            let asked = client.request(Method::GET, &path, json, json, Vec::new());
            let reply = runtime.block_on(asked).map_err(Failure::unreachable)?;
            if reply.code == 404 {
                // A cluster without the kind has none of it.
                continue;
            }
            let mut list = succeeded(reply)?;
            let (version, info) = (list["apiVersion"].clone(), kind.info());
            for mut item in list["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
                item["apiVersion"] = version.clone();
                item["kind"] = info.kind.into();
                // One that cannot be read is of another version, and `analyze` says so.
                objects.extend(decode_object(&item).ok().map(Arc::new));
            }
        }
        Ok(Self::of(&objects))
    }

    /// The mesh that `objects` are.
    pub(crate) fn of(objects: &[Arc<Object>]) -> Self {
        let settings = with_written(MeshConfig::default(), objects.iter().map(|o| &**o));
        let changes: Vec<Change> = objects.iter().map(|o| Change::Put(Arc::clone(o))).collect();
        let (mesh, _) = Snapshot::new(settings).apply(&changes);
        let name = |o: &Object| NsName::new(o.meta.namespace.as_str(), o.meta.name.as_str());
        let policies = objects.iter().filter(|o| o.kind() == Kind::AuthorizationPolicy);
        let allows = |o: &&Arc<Object>| {
            let on_trial = o.meta.annotations.get("istio.io/dry-run").is_some_and(|v| v == "true");
            let spec = o.get::<AuthorizationPolicy>();
            !on_trial && spec.is_some_and(|s| matches!(s.action, None | Some(AuthorizationAction::Allow)))
        };
        Self {
            mesh,
            allow: policies.clone().filter(allows).map(|o| name(o)).collect(),
            labels: policies.map(|o| (name(o), o.meta.labels.clone())).collect(),
        }
    }

    /// The workloads with sidecars or without, gateways and the control plane left out, by name.
    pub(crate) fn workloads(&self) -> BTreeMap<NsName, Running> {
        let root = self.mesh.mesh().root_namespace.as_str();
        let mut all: BTreeMap<NsName, Running> = BTreeMap::new();
        let gateways: BTreeSet<_> =
            self.mesh.gateways().flat_map(|g| &g.pods).map(|p| (&p.namespace, &p.labels.0)).collect();
        for workload in self.mesh.workloads().filter(|w| w.namespace() != root) {
            let is_gateway = gateways.iter().any(|(namespace, labels)| {
                namespace.as_ref().is_none_or(|ns| ns == workload.namespace())
                    && !labels.is_empty()
                    && labels.iter().all(|(k, v)| workload.labels.get(k) == Some(v))
            });
            if is_gateway {
                continue;
            }
            let name = NsName::new(workload.namespace(), workload.workload_name.as_str());
            let running = all.entry(name).or_insert_with(|| Running { pods: Vec::new(), meshed: true });
            running.meshed &= workload.mtls_ready;
            running.pods.push(workload.labels.clone());
        }
        all
    }
}
