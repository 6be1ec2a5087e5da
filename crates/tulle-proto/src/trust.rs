//! `tulle.identity.v1`: whom a proxy is to trust, from our control plane to our proxies.
//!
//! A proxy acknowledges a bundle once it is in force and its own certificate leads to one of the signing roots.

/// Whom to trust, trust domain by trust domain.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrustBundle {
    /// The proxy's own trust domain first, then those that it is federated with.
    #[prost(message, repeated, tag = "1")]
    pub domains: Vec<TrustDomain>,
    /// The roots, DER, to one of which certificates of the proxy's own trust domain lead that are issued now.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub signing_roots: Vec<Vec<u8>>,
}
crate::istio::named!(TrustBundle, "tulle.identity.v1", "TrustBundle");

/// One trust domain.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrustDomain {
    /// Its name, then its other names.
    #[prost(string, repeated, tag = "1")]
    pub names: Vec<String>,
    /// Its roots, DER.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub roots: Vec<Vec<u8>>,
}
crate::istio::named!(TrustDomain, "tulle.identity.v1", "TrustDomain");
