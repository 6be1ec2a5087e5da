//! What is written down of a workload that registers itself: a WorkloadEntry, made of its group and of what its proxy says.

use tulle_api::Object;
use tulle_api::istio::{WorkloadEntry, WorkloadGroup, WorkloadGroupMetadata};
use tulle_api::meta::OwnerReference;
use tulle_base::{Labels, ResourceRef};
use tulle_mesh::entry::HEALTH_CHECKED;
use tulle_translate::Proxy;

/// Which group an entry was made for (Istio's annotation).
pub(crate) const GROUP: &str = "istio.io/autoRegistrationGroup";
/// Which control plane its workload is connected to.
pub(crate) const CONTROLLER: &str = "istio.io/workloadController";
/// Since when it is.
pub(crate) const CONNECTED: &str = "istio.io/connectedAt";
/// Since when it is not any more.
pub(crate) const DISCONNECTED: &str = "istio.io/disconnectedAt";

/// Where a proxy names its group.
const NAMED_IN: &str = "AUTO_REGISTER_GROUP";
/// A label of proxies that says where they are, as `region.zone.subzone`; the entry has a field for that.
const LOCALITY: &str = "istio-locality";
/// Longest name of an object.
const MAX_NAME: usize = 253;

/// Why a workload is not let register itself. The texts go to its proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Nobody knows who it is.
    #[error("to register for WorkloadGroup {0}, connect to the TLS port with a certificate of the mesh")]
    NoIdentity(ResourceRef),
    /// There is no such group.
    #[error("there is no {0} to register for; define it or correct AUTO_REGISTER_GROUP")]
    NoGroup(ResourceRef),
    /// It runs as somebody else.
    #[error("{group} is for service account {wanted}, but the certificate is {given}'s")]
    OtherAccount {
        /// The group.
        group: Box<ResourceRef>,
        /// Whose workloads may register.
        wanted: String,
        /// Who asks.
        given: String,
    },
    /// Only workloads have entries.
    #[error("gateways do not register; remove AUTO_REGISTER_GROUP")]
    Gateway,
    /// It has no address.
    #[error("the node names no IP address to register: {0:?}")]
    NoAddress(String),
}

/// The group that a proxy wants to register for: one of its own namespace.
pub(crate) fn wanted(proxy: &Proxy) -> Option<ResourceRef> {
    let name = proxy.metadata.get(NAMED_IN).filter(|n| !n.is_empty())?;
    Some(ResourceRef::new("networking.istio.io", "WorkloadGroup", proxy.namespace(), &**name))
}

/// The entry of `proxy`, whose namespace and service account its certificate has shown (`known`), in a group.
pub(crate) fn of(
    proxy: &Proxy,
    known: bool,
    reference: &ResourceRef,
    group: Option<&Object>,
) -> Result<Object, Refused> {
    if proxy.kind != tulle_translate::Kind::Sidecar {
        return Err(Refused::Gateway);
    }
    if !known {
        return Err(Refused::NoIdentity(reference.clone()));
    }
    let spec = group.and_then(|g| Some((g, g.get::<WorkloadGroup>()?)));
    let (group, spec) = spec.ok_or_else(|| Refused::NoGroup(reference.clone()))?;
    let WorkloadGroup { metadata, template, probe } = spec;
    let wanted = if template.service_account.is_empty() { "default" } else { &template.service_account };
    if proxy.service_account != wanted {
        return Err(Refused::OtherAccount {
            group: Box::new(reference.clone()),
            wanted: wanted.to_owned(),
            given: proxy.service_account.clone(),
        });
    }
    if proxy.ip.parse::<std::net::IpAddr>().is_err() {
        return Err(Refused::NoAddress(proxy.ip.clone()));
    }
    let none = WorkloadGroupMetadata::default();
    let WorkloadGroupMetadata { labels, annotations } = metadata.as_ref().unwrap_or(&none);
    // The proxy's labels win over those of the group, these over the template's.
    let mut all: Labels = template.labels.clone();
    all.extend(labels.iter().chain(&proxy.labels).map(|(k, v)| (k.clone(), v.clone())));
    all.remove(LOCALITY);
    let network = if proxy.network.is_empty() { &template.network } else { &proxy.network };
    let own = proxy.locality.to_string();
    let entry = WorkloadEntry {
        address: proxy.ip.clone(),
        labels: all.clone(),
        network: network.clone(),
        locality: if proxy.locality.is_empty() { template.locality.clone() } else { own },
        service_account: proxy.service_account.clone(),
        ..template.clone()
    };
    let mut object = Object::new(proxy.namespace(), &name(group, proxy, network), entry);
    object.meta.labels = all;
    object.meta.annotations.clone_from(annotations);
    object.meta.annotations.insert(GROUP.to_owned(), group.meta.name.clone());
    if probe.is_some() {
        object.meta.annotations.insert(HEALTH_CHECKED.to_owned(), "true".to_owned());
    }
    object.meta.owner_references = vec![OwnerReference {
        api_version: group.api_version.clone(),
        kind: "WorkloadGroup".to_owned(),
        name: group.meta.name.clone(),
        uid: group.meta.uid.clone(),
        controller: Some(true),
        ..OwnerReference::default()
    }];
    Ok(object)
}

/// `GROUP-ADDRESS[-NETWORK]`, as Istio names them: the same workload has the same entry when it comes back.
fn name(group: &Object, proxy: &Proxy, network: &str) -> String {
    let ip = proxy.ip.replace(':', "-");
    let mut name = format!("{}-{ip}", group.meta.name);
    if !network.is_empty() {
        name = format!("{name}-{network}");
    }
    // Too long a name loses its beginning: the address tells entries apart.
    let from = name.len().saturating_sub(MAX_NAME);
    name.get(from..).unwrap_or(&name).trim_start_matches(['-', '.']).to_owned()
}
