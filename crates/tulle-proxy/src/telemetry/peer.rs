//! Who is at the other end, in the words of metrics: from certificates, endpoint metadata and Istio's headers.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tulle_base::{SpiffeId, agent::NodeConfig};
use tulle_engine::runtime::endpoint::WorkloadMeta;
use tulle_http::{HeaderList, Known};
use tulle_identity::PeerIdentity;
use tulle_proto::Message as _;
use tulle_proto::envoy::google::{Struct, Value, value::Kind};
use tulle_telemetry::metrics::{
    PeerLabels,
    labels::{LATEST, UNKNOWN},
};

/// The longest `x-envoy-peer-metadata` that is read.
const MAX_CARD: usize = 16 * 1024;

const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";

/// What we tell peers about ourselves: Istio's headers `x-envoy-peer-metadata` (base64 of a `google.protobuf.Struct`) and
/// `x-envoy-peer-metadata-id` (the node's id). Written once, checked once.
#[derive(Debug)]
pub(crate) struct Card(HeaderList);

impl Card {
    /// The card of a node.
    pub(crate) fn new(node: &NodeConfig) -> Self {
        let labels = ["app", "version", CANONICAL_NAME, CANONICAL_REVISION]
            .into_iter()
            .filter_map(|name| Some((name, node.labels.get(name)?.as_str())));
        let labels = fields(labels);
        let mut card = fields([
            ("NAME", node.pod.as_str()),
            ("NAMESPACE", node.namespace.as_str()),
            ("WORKLOAD_NAME", node.workload.as_str()),
            ("OWNER", node.owner.as_str()),
            ("CLUSTER_ID", node.cluster_id.as_str()),
        ]);
        card.fields.insert("LABELS".into(), Value { kind: Some(Kind::StructValue(labels)) });
        let mut lines = HeaderList::new();
        lines.append(Known::XEnvoyPeerMetadata, STANDARD.encode(card.to_wire()).as_bytes());
        lines.append(Known::XEnvoyPeerMetadataId, node.id().as_bytes());
        Self(lines)
    }

    /// Writes it into a head.
    pub(crate) fn write(&self, headers: &mut HeaderList) {
        headers.remove(Known::XEnvoyPeerMetadata);
        headers.remove(Known::XEnvoyPeerMetadataId);
        headers.extend(&self.0);
    }
}

fn fields<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Struct {
    let value = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    Struct { fields: pairs.into_iter().map(|(k, v)| (k.to_owned(), value(v))).collect() }
}

/// Our own labels.
pub(crate) fn own_labels(node: &NodeConfig, principal: &str) -> PeerLabels {
    let label = |name: &str| node.labels.get(name).map(String::as_str);
    let app = label("app");
    PeerLabels {
        workload: or_unknown(&node.workload),
        namespace: or_unknown(&node.namespace),
        principal: or_unknown(principal),
        app: or_unknown(app.unwrap_or_default()),
        version: or_unknown(label("version").unwrap_or_default()),
        canonical_service: or_unknown(label(CANONICAL_NAME).or(app).unwrap_or(&node.workload)),
        canonical_revision: label(CANONICAL_REVISION).or(label("version")).unwrap_or(LATEST).into(),
        cluster: or_unknown(&node.cluster_id),
    }
}

/// The labels of a client: its certificate first, then what it told about itself.
pub(crate) fn client_labels(identity: Option<&PeerIdentity>, card: Option<&[u8]>) -> PeerLabels {
    let mut labels = card.and_then(read_card).unwrap_or_default();
    if let Some(identity) = identity {
        certify(&mut labels, identity.principal().map_or("", |p| p), identity.spiffe.as_ref());
    }
    labels
}

/// The labels of an endpoint: its certificate first, then what the control plane told, then what it told itself.
pub(crate) fn server_labels(
    workload: Option<&WorkloadMeta>,
    principal: &str,
    card: Option<&[u8]>,
) -> PeerLabels {
    let mut labels = card.and_then(read_card).unwrap_or_default();
    if let Some(WorkloadMeta { name, namespace, canonical_name, canonical_revision, cluster }) = workload {
        let take = |to: &mut Arc<str>, from: &Arc<str>| {
            if !from.is_empty() {
                *to = Arc::clone(from);
            }
        };
        take(&mut labels.workload, name);
        take(&mut labels.namespace, namespace);
        take(&mut labels.canonical_service, canonical_name);
        take(&mut labels.canonical_revision, canonical_revision);
        take(&mut labels.cluster, cluster);
        if &*labels.app == UNKNOWN {
            take(&mut labels.app, canonical_name);
        }
        if &*labels.version == UNKNOWN {
            take(&mut labels.version, canonical_revision);
        }
    }
    certify(&mut labels, principal, SpiffeId::parse(principal).ok().as_ref());
    labels
}

fn certify(labels: &mut PeerLabels, principal: &str, spiffe: Option<&SpiffeId>) {
    if !principal.is_empty() {
        labels.principal = principal.into();
    }
    if let Some(spiffe) = spiffe {
        labels.namespace = spiffe.namespace.as_str().into();
    }
}

fn read_card(header: &[u8]) -> Option<PeerLabels> {
    if header.is_empty() || header.len() > MAX_CARD {
        return None;
    }
    let card = Struct::from_wire(&STANDARD.decode(header).ok()?).ok()?;
    let text = |fields: &Struct, name: &str| match fields.fields.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        _ => None,
    };
    let labels = match card.fields.get("LABELS").and_then(|v| v.kind.as_ref()) {
        Some(Kind::StructValue(labels)) => labels.clone(),
        _ => Struct::default(),
    };
    let of = |text: Option<String>| or_unknown(&text.unwrap_or_default());
    let app = text(&labels, "app");
    let version = text(&labels, "version");
    let workload = text(&card, "WORKLOAD_NAME");
    let canonical = text(&labels, CANONICAL_NAME).or_else(|| app.clone()).or_else(|| workload.clone());
    let revision = text(&labels, CANONICAL_REVISION).or_else(|| version.clone());
    Some(PeerLabels {
        workload: of(workload),
        namespace: of(text(&card, "NAMESPACE")),
        principal: UNKNOWN.into(),
        app: of(app),
        version: of(version),
        canonical_service: of(canonical),
        canonical_revision: revision.map_or_else(|| LATEST.into(), Arc::from),
        cluster: of(text(&card, "CLUSTER_ID")),
    })
}

fn or_unknown(text: &str) -> Arc<str> {
    if text.is_empty() { UNKNOWN.into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let node = NodeConfig {
            pod: "reviews-v2-1".into(),
            namespace: "default".into(),
            workload: "reviews-v2".into(),
            cluster_id: "Kubernetes".into(),
            labels: [("app".into(), "reviews".into()), ("version".into(), "v2".into())].into(),
            ..NodeConfig::default()
        };
        let mut headers = HeaderList::new();
        Card::new(&node).write(&mut headers);
        let labels = client_labels(None, headers.get(Known::XEnvoyPeerMetadata));
        let expected = PeerLabels { principal: UNKNOWN.into(), ..own_labels(&node, "") };
        assert_eq!(labels, expected);
        assert_eq!(client_labels(None, Some(b"garbage!")), PeerLabels::default());
    }
}
