//! SPIFFE identities as X.509 SVIDs and the TLS configuration made from them.
//!
//! Certificates and trust bundles live in cells ([`Watched`]) that the TLS configurations read at every handshake: a rotation is
//! one pointer swap, and connections that stand keep what they began with. [`Secrets`] gives the cells names, as SDS does.
//!
//! A workload's key is made here ([`WorkloadKey`]), is used here and cannot be taken out; what other processes of the pod are given
//! is a certificate with a key of its own ([`Svid`]). [`ca`] asks for the certificate, [`rotate`] keeps it fresh.
//!
//! What is missing or broken fails closed: without a certificate or a bundle every handshake is refused.

pub mod ca;
pub mod cert;
pub mod connect;
pub mod key;
pub mod material;
pub mod peer;
pub mod revocation;
pub mod rotate;
pub mod san;
pub mod secrets;
pub mod spiffe_bundle;
pub mod svid;
pub mod tls;
pub mod trust;
mod verify;
mod watched;

pub use cert::CertInfo;
pub use key::WorkloadKey;
pub use material::{Certificate, MaterialError, TrustBundle};
pub use peer::PeerIdentity;
pub use revocation::Revocations;
pub use san::{SanKind, SanMatcher, TextMatch};
pub use secrets::{CertificateSource, Secrets, TrustSource};
pub use svid::Svid;
pub use tls::{CipherSuite, ClientTls, PeerRules, ServerTls, TlsBuildError, TlsVersion, VerifyPeer};
pub use trust::Trust;
pub use verify::{PeerFault, peer_fault};
pub use watched::Watched;
