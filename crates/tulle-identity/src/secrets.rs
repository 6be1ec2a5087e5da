//! Names for certificates and bundles, as SDS has them: `default` and `ROOTCA` for the workload's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::material::{Certificate, TrustBundle};
use crate::watched::Watched;

/// SDS name of a workload's own certificate.
pub const OWN_CERTIFICATE: &str = "default";
/// SDS name of the mesh's roots.
pub const MESH_ROOTS: &str = "ROOTCA";

/// Where a TLS configuration takes its certificate from, at each handshake. Several cells: the first whose key the peer can
/// check, and of these the first that carries the name asked for.
#[derive(Clone, Debug, Default)]
pub struct CertificateSource(Arc<[Watched<Certificate>]>);

/// Where a TLS configuration takes its roots from, at each handshake.
pub type TrustSource = Watched<TrustBundle>;

impl CertificateSource {
    /// A source with one cell.
    pub fn one(cell: Watched<Certificate>) -> Self {
        Self(Arc::from([cell]))
    }

    /// A source with several cells, in order of preference.
    pub fn several(cells: Vec<Watched<Certificate>>) -> Self {
        Self(cells.into())
    }

    /// A source whose certificate never changes.
    pub fn fixed(certificate: Certificate) -> Self {
        Self::one(Watched::of(certificate))
    }

    /// Whether a handshake could succeed now.
    pub fn is_ready(&self) -> bool {
        self.0.iter().any(|cell| cell.get().is_some())
    }

    /// The certificate that a peer without preferences gets.
    pub fn current(&self) -> Option<Arc<Certificate>> {
        self.0.iter().find_map(Watched::get)
    }

    /// A number that grows whenever a certificate is replaced.
    pub fn version(&self) -> u64 {
        self.0.iter().map(Watched::version).sum()
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let usable = |c: &Arc<Certificate>| c.certified_key().key.choose_scheme(schemes).is_some();
        if let [only] = &*self.0 {
            return only.get().filter(usable).map(|c| Arc::clone(c.certified_key()));
        }
        let all: Vec<_> = self.0.iter().filter_map(Watched::get).filter(usable).collect();
        let named = name.and_then(|name| all.iter().find(|c| carries(c, name)));
        named.or(all.first()).map(|c| Arc::clone(c.certified_key()))
    }
}

fn carries(certificate: &Certificate, name: &str) -> bool {
    let matcher = crate::san::SanMatcher::dns(name);
    certificate.info().dns_sans.iter().any(|san| matcher.matches(crate::san::SanKind::Dns, san))
}

impl ResolvesServerCert for CertificateSource {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

impl ResolvesClientCert for CertificateSource {
    fn resolve(&self, _roots: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.choose(None, schemes)
    }

    fn has_certs(&self) -> bool {
        self.is_ready()
    }
}

/// All secrets of a proxy by their SDS name. Clones are the same set.
///
/// A name may be asked for before its secret is there: what is built on it works from the moment it arrives, and refuses
/// handshakes until then. The lock is taken when configuration changes, never for a request.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<Mutex<Named>>);

#[derive(Debug, Default)]
struct Named {
    certificates: BTreeMap<String, Watched<Certificate>>,
    bundles: BTreeMap<String, TrustSource>,
}

impl Secrets {
    /// The cell of the certificate `name`.
    pub fn certificate(&self, name: &str) -> Watched<Certificate> {
        self.with(|named| cell(&mut named.certificates, name))
    }

    /// The cell of the bundle `name`.
    pub fn bundle(&self, name: &str) -> TrustSource {
        self.with(|named| cell(&mut named.bundles, name))
    }

    /// All certificates that are there now, by name.
    pub fn certificates(&self) -> Vec<(String, Arc<Certificate>)> {
        self.with(|named| present(&named.certificates))
    }

    /// All bundles that are there now, by name.
    pub fn bundles(&self) -> Vec<(String, Arc<TrustBundle>)> {
        self.with(|named| present(&named.bundles))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Named) -> R) -> R {
        // Nothing that runs under the lock can leave the maps half changed.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn cell<T>(map: &mut BTreeMap<String, Watched<T>>, name: &str) -> Watched<T> {
    if let Some(cell) = map.get(name) {
        return cell.clone();
    }
    map.entry(name.to_owned()).or_default().clone()
}

fn present<T>(map: &BTreeMap<String, Watched<T>>) -> Vec<(String, Arc<T>)> {
    map.iter().filter_map(|(name, cell)| Some((name.clone(), cell.get()?))).collect()
}
