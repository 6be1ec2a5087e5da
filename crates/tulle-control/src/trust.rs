//! Whom proxies are to trust, and the control plane itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use tulle_ca::InForce;
use tulle_identity::{MaterialError, TrustBundle, TrustSource, material};
use tulle_mesh::MeshConfig;
use tulle_mesh::config::{AnchorSource, TrustAnchors};
use tulle_proto::Message as _;
use tulle_proto::trust;
use tulle_proto::type_url;
use tulle_xds::Resource;
use tulle_xds::server::{Hub, SetId, TypeId};

use crate::federation::{Bundle, Wanted};
use crate::press::of_nothing;
use crate::sets::Published;

/// The only resource of its type.
const NAME: &str = "default";

/// The roots of our own trust domain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted {
    /// Grows with every change in the life of this process, from 1.
    pub(crate) version: u64,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// Those that sign now.
    pub(crate) signing: Vec<CertificateDer<'static>>,
    pub(crate) roots_pem: String,
}

impl Trusted {
    pub(crate) fn of(version: u64, in_force: &InForce) -> Self {
        Self {
            version,
            roots: in_force.roots(),
            signing: in_force.signing.roots().to_vec(),
            roots_pem: in_force.roots_pem(),
        }
    }
}

/// What is published about trust.
pub(crate) struct Trust {
    set: Published,
    /// By which the control plane knows its clients.
    serving: TrustSource,
    /// Bundles that were fetched, by their address.
    fetched: BTreeMap<String, Vec<CertificateDer<'static>>>,
}

/// A trust domain with its other names, and its roots.
struct Domain {
    names: Vec<String>,
    roots: Vec<CertificateDer<'static>>,
}

impl Trust {
    pub(crate) fn new(hub: &Hub, kind: TypeId, serving: TrustSource) -> Self {
        Self { set: Published::new(hub, kind, None), serving, fetched: BTreeMap::new() }
    }

    pub(crate) fn id(&self) -> SetId {
        self.set.id
    }

    /// Takes in a bundle that was fetched; whether it is another.
    pub(crate) fn fetched(&mut self, (address, roots): Bundle) -> bool {
        self.fetched.insert(address, roots.clone()) != Some(roots)
    }

    /// Publishes what is to be trusted now.
    pub(crate) fn publish(&mut self, hub: &Hub, trusted: &Trusted, mesh: &MeshConfig, at: Instant) {
        let wanted = wanted(mesh);
        self.fetched.retain(|address, _| wanted.contains(address));
        let domains = domains(trusted.roots.clone(), mesh, &self.fetched);
        let der = |roots: &[CertificateDer<'static>]| roots.iter().map(|r| r.to_vec()).collect::<Vec<_>>();
        let message = trust::TrustBundle {
            domains: domains
                .iter()
                .map(|d| trust::TrustDomain { names: d.names.clone(), roots: der(&d.roots) })
                .collect(),
            signing_roots: der(&trusted.signing),
        };
        let resource = Resource::new(type_url::TRUST_BUNDLE, NAME, message.to_wire().into());
        self.set.set(hub, NAME, Some(of_nothing(Arc::new(resource))), at, &mut |_, _| {});
        // Whoever is of another trust domain is no client of this control plane.
        let own = domains.into_iter().next();
        match own.map(bundle) {
            Some(Ok(bundle)) => self.serving.set(Arc::new(bundle)),
            Some(Err(error)) => tracing::error!(%error, "the roots in force cannot be used"),
            None => {}
        }
    }
}

/// The bundles that are to be fetched.
pub(crate) fn wanted(mesh: &MeshConfig) -> Wanted {
    let address = |anchors: &TrustAnchors| match &anchors.source {
        AnchorSource::SpiffeBundle(address) => Some(address.clone()),
        AnchorSource::Pem(_) => None,
    };
    mesh.anchors.iter().filter_map(address).collect()
}

/// Our own trust domain first, then the others. Roots that cannot be used are left out, and told.
fn domains(
    roots: Vec<CertificateDer<'static>>,
    mesh: &MeshConfig,
    fetched: &BTreeMap<String, Vec<CertificateDer<'static>>>,
) -> Vec<Domain> {
    let names = std::iter::once(&mesh.trust_domain).chain(&mesh.trust_domain_aliases).cloned().collect();
    let mut all = vec![Domain { names, roots }];
    for TrustAnchors { trust_domains, source } in &mesh.anchors {
        let more = match source {
            AnchorSource::Pem(pem) => material::read_certificates(pem.as_bytes()).and_then(|roots| {
                // Each must be usable, or a proxy would refuse all of them.
                TrustBundle::from_der(roots.clone()).map(|_| roots)
            }),
            AnchorSource::SpiffeBundle(address) => match fetched.get(address) {
                Some(roots) => Ok(roots.clone()),
                // It is on its way.
                None => continue,
            },
        };
        let more = match more {
            Ok(more) => more,
            Err(error) => {
                tracing::error!(%error, ?trust_domains, "caCertificates of the mesh's settings cannot be used; left out");
                continue;
            }
        };
        let own = trust_domains.is_empty() || trust_domains.iter().any(|d| all[0].names.contains(d));
        let same = all.iter_mut().skip(1).find(|d| &d.names == trust_domains);
        match same {
            _ if own => add(&mut all[0].roots, more),
            Some(domain) => add(&mut domain.roots, more),
            None => all.push(Domain { names: trust_domains.clone(), roots: more }),
        }
    }
    all
}

fn add(roots: &mut Vec<CertificateDer<'static>>, more: Vec<CertificateDer<'static>>) {
    for root in more {
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
}

fn bundle(domain: Domain) -> Result<TrustBundle, MaterialError> {
    let bundle = TrustBundle::from_der(domain.roots)?;
    Ok(domain.names.into_iter().fold(bundle, TrustBundle::for_trust_domain))
}

/// Whom the control plane lets in until the mesh's settings are known.
pub(crate) fn first_bundle(
    roots: Vec<CertificateDer<'static>>,
    trust_domain: &str,
) -> Result<TrustBundle, MaterialError> {
    bundle(Domain { names: vec![trust_domain.to_owned()], roots })
}
