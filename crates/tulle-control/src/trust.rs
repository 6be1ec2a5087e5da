//! Whom proxies are to trust, and the control plane itself.

use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use tulle_ca::InForce;
use tulle_identity::{TrustBundle, TrustSource};
use tulle_mesh::MeshConfig;
use tulle_proto::Message as _;
use tulle_proto::trust;
use tulle_proto::type_url;
use tulle_xds::Resource;
use tulle_xds::server::{Hub, SetId, TypeId};

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
}

impl Trust {
    pub(crate) fn new(hub: &Hub, kind: TypeId, serving: TrustSource) -> Self {
        Self { set: Published::new(hub, kind, None), serving }
    }

    pub(crate) fn id(&self) -> SetId {
        self.set.id
    }

    /// Publishes what is to be trusted now.
    pub(crate) fn publish(&mut self, hub: &Hub, trusted: &Trusted, mesh: &MeshConfig, at: Instant) {
        let der = |roots: &[CertificateDer<'static>]| roots.iter().map(|r| r.to_vec()).collect::<Vec<_>>();
        let own = trust::TrustDomain { names: names(mesh), roots: der(&trusted.roots) };
        let message = trust::TrustBundle { domains: vec![own], signing_roots: der(&trusted.signing) };
        let resource = Resource::new(type_url::TRUST_BUNDLE, NAME, message.to_wire().into());
        self.set.set(hub, NAME, Some(of_nothing(Arc::new(resource))), at, &mut |_, _| {});
        match bundle(trusted.roots.clone(), mesh) {
            Ok(bundle) => self.serving.set(Arc::new(bundle)),
            Err(error) => tracing::error!(%error, "the roots in force cannot be used"),
        }
    }
}

/// The trust domain with its other names.
fn names(mesh: &MeshConfig) -> Vec<String> {
    std::iter::once(&mesh.trust_domain).chain(&mesh.trust_domain_aliases).cloned().collect()
}

/// Whom the control plane lets in: workloads of its own trust domain.
pub(crate) fn bundle(
    roots: Vec<CertificateDer<'static>>,
    mesh: &MeshConfig,
) -> Result<TrustBundle, tulle_identity::MaterialError> {
    let bundle = TrustBundle::from_der(roots)?;
    Ok(names(mesh).into_iter().fold(bundle, TrustBundle::for_trust_domain))
}
