//! `istio.v1.auth`: the messages of `IstioCertificateService`.

use crate::envoy::google::Struct;

/// gRPC path of the only method, `CreateCertificate`.
pub const CREATE_CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/// Asks for a certificate. The caller's identity comes from its token or client certificate, never from here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IstioCertificateRequest {
    /// PEM-encoded certificate signing request; only its public key is used.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// How long the certificate is to be valid, in seconds; 0 for the CA's default.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
    /// Options such as `CertSigner`; may be left out.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<Struct>,
}
super::named!(IstioCertificateRequest, "istio.v1.auth", "IstioCertificateRequest");

/// The certificate.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IstioCertificateResponse {
    /// PEM-encoded certificates: leaf first, root last.
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}
super::named!(IstioCertificateResponse, "istio.v1.auth", "IstioCertificateResponse");
