//! Who asks: a proxy, as its node tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use tulle_base::{Labels, Locality};
use tulle_mesh::workload::Workload;
use tulle_mesh::{NsName, Snapshot};
use tulle_proto::envoy::core::Node;
use tulle_proto::envoy::google::{Struct, Value, value};

use crate::families::Families;

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Sidecar or gateway.
    pub kind: Kind,
    /// The node id as sent.
    pub id: String,
    /// Address of the pod.
    pub ip: String,
    /// The families of all addresses of the pod (`INSTANCE_IPS`).
    pub families: Families,
    /// The pod.
    pub pod: NsName,
    /// Labels of the pod.
    pub labels: Labels,
    /// Service account.
    pub service_account: String,
    /// Name of the workload.
    pub workload: String,
    /// Cluster.
    pub cluster_id: String,
    /// Network, empty for the mesh's own.
    pub network: String,
    /// Where it runs.
    pub locality: Locality,
    /// The texts among the metadata of its node.
    pub metadata: BTreeMap<String, String>,
    /// Node that it runs on, empty where nobody says.
    pub node: String,
    /// An Envoy without Istio's filters: it gets none.
    pub stock_envoy: bool,
    /// What the mesh knows of its workload, where it stands for all proxies with one view and has no pod of its own.
    pub stands_for: Option<Arc<Workload>>,
}

/// Kinds of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Beside a workload.
    Sidecar,
    /// At the edge.
    Router,
}

/// Why a node is not one of the mesh's proxies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The id has another form.
    #[error("node id {0:?} is not of the form TYPE~IP~POD.NAMESPACE~DOMAIN")]
    Id(String),
    /// The type is not served.
    #[error("node type {0:?} is not served; sidecar and router are")]
    Kind(String),
}

impl Proxy {
    /// Reads a node: `TYPE~IP~POD.NAMESPACE~DOMAIN`, and the metadata that Istio's proxies send.
    ///
    /// # Errors
    /// [`NodeError`] when the id has another form or the type is not served.
    pub fn from_node(node: &Node) -> Result<Self, NodeError> {
        let bad = || NodeError::Id(node.id.clone());
        let parts: Vec<&str> = node.id.split('~').collect();
        let [kind, ip, pod, _domain] = parts[..] else { return Err(bad()) };
        let kind = match kind {
            "sidecar" => Kind::Sidecar,
            "router" => Kind::Router,
            other => return Err(NodeError::Kind(other.to_owned())),
        };
        // A pod's name may hold dots, a namespace's may not.
        let (pod, namespace) = pod.rsplit_once('.').ok_or_else(bad)?;
        let metadata = node.metadata.as_ref();
        let or = |key: &str, default: &str| string(metadata, key).unwrap_or_else(|| default.to_owned());
        let locality = node.locality.as_ref().map(|l| Locality {
            region: l.region.clone(),
            zone: l.zone.clone(),
            sub_zone: l.sub_zone.clone(),
        });
        Ok(Self {
            kind,
            id: node.id.clone(),
            ip: ip.to_owned(),
            families: Families::of(or("INSTANCE_IPS", ip).split(',').chain([ip])),
            pod: NsName::new(or("NAMESPACE", namespace), pod),
            labels: map(metadata, "LABELS"),
            service_account: or("SERVICE_ACCOUNT", "default"),
            workload: or("WORKLOAD_NAME", pod),
            cluster_id: or("CLUSTER_ID", "Kubernetes"),
            network: or("NETWORK", ""),
            locality: locality.unwrap_or_default(),
            metadata: metadata.map(texts).unwrap_or_default(),
            node: or("NODE_NAME", ""),
            stock_envoy: node.user_agent_name != "tulle",
            stands_for: None,
        })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.pod.namespace
    }

    /// What the mesh knows of its workload.
    pub(crate) fn workload_in<'a>(&'a self, snapshot: &'a Snapshot) -> Option<&'a Workload> {
        self.stands_for.as_ref().or_else(|| snapshot.workload(&self.pod)).map(Arc::as_ref)
    }

    /// One that stands for all proxies with the view of this one. It has no pod: whatever of that decides on the view is in the view's key,
    /// so that it is the same for all of them.
    #[must_use]
    pub fn representative(&self, snapshot: &Snapshot) -> Self {
        let mut one = self.placed(snapshot);
        one.stands_for = snapshot.workload(&self.pod).cloned();
        one.pod.name.clear();
        one
    }

    /// The same proxy where the mesh knows its workload to be: that knows the labels of its node, which a proxy does not.
    #[must_use]
    pub fn placed(&self, snapshot: &Snapshot) -> Self {
        let mut placed = self.clone();
        if let Some(workload) = self.workload_in(snapshot) {
            if workload.locality != Locality::default() {
                placed.locality.clone_from(&workload.locality);
            }
            for (known, own) in [(&workload.node, &mut placed.node), (&workload.network, &mut placed.network)]
            {
                if !known.is_empty() {
                    own.clone_from(known);
                }
            }
        }
        placed
    }
}

fn field<'a>(metadata: Option<&'a Struct>, key: &str) -> Option<&'a value::Kind> {
    metadata?.fields.get(key)?.kind.as_ref()
}

fn string(metadata: Option<&Struct>, key: &str) -> Option<String> {
    match field(metadata, key)? {
        value::Kind::StringValue(s) if !s.is_empty() => Some(s.clone()),
        _ => None,
    }
}

fn map(metadata: Option<&Struct>, key: &str) -> BTreeMap<String, String> {
    let Some(value::Kind::StructValue(fields)) = field(metadata, key) else { return BTreeMap::new() };
    texts(fields)
}

/// The members that are texts.
fn texts(fields: &Struct) -> BTreeMap<String, String> {
    let text = |v: &Value| match &v.kind {
        Some(value::Kind::StringValue(s)) => Some(s.clone()),
        _ => None,
    };
    fields.fields.iter().filter_map(|(k, v)| Some((k.clone(), text(v)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::{object, structure, text};

    #[test]
    fn reads_istios_nodes() {
        let labels = object([("app", text("reviews"))]);
        let metadata =
            structure([("NAMESPACE", text("shop")), ("LABELS", labels), ("SERVICE_ACCOUNT", text("sa"))]);
        let mut node = Node {
            id: "sidecar~10.1.2.3~reviews-v1-abc.shop~shop.svc.cluster.local".into(),
            metadata: Some(metadata),
            user_agent_name: "tulle".into(),
            ..Node::default()
        };
        let proxy = Proxy::from_node(&node).unwrap();
        assert_eq!((proxy.kind, proxy.ip.as_str()), (Kind::Sidecar, "10.1.2.3"));
        assert_eq!(proxy.pod, NsName::new("shop", "reviews-v1-abc"));
        assert_eq!(proxy.labels["app"], "reviews");
        assert!(!proxy.stock_envoy);
        node.user_agent_name = "envoy".into();
        assert!(Proxy::from_node(&node).unwrap().stock_envoy);
        node.id = "ztunnel~10.1.2.3~a.b~c".into();
        assert_eq!(Proxy::from_node(&node), Err(NodeError::Kind("ztunnel".into())));
        node.id = "nobody".into();
        assert!(matches!(Proxy::from_node(&node), Err(NodeError::Id(_))));
    }
}
