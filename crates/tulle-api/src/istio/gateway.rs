//! `Gateway` (`networking.istio.io`): ports that a gateway proxy listens on.

use tulle_base::Labels;

use super::common::Port;
use crate::schema::{enumeration, record};

record! {
    /// Ports that gateway proxies listen on.
    pub struct Gateway {
        /// The servers.
        pub servers: Vec<Server> = "servers",
        /// Labels of the gateway's pods, by default in any namespace; none select every gateway.
        pub selector: Labels = "selector",
    }
}

record! {
    /// One port with its hosts.
    pub struct Server {
        /// The port.
        pub port: Port = "port",
        /// Address to bind, an IP address or `unix://` path; all addresses by default.
        pub bind: String = "bind",
        /// Hosts as `[namespace/]dnsName`, with leading wildcard.
        pub hosts: Vec<String> = "hosts",
        /// TLS of the port.
        pub tls: Option<ServerTlsSettings> = "tls",
        /// Never had an effect.
        pub default_endpoint: String = "defaultEndpoint" => no_effect("Istio has never built it for gateways"),
        /// Name, unique within the resource.
        pub name: String = "name",
    }
}

record! {
    /// TLS of a server.
    pub struct ServerTlsSettings {
        /// Answers every plain request with a redirect to HTTPS (301).
        pub https_redirect: Option<bool> = "httpsRedirect",
        /// Which kind of TLS; PASSTHROUGH by default.
        pub mode: Option<ServerTlsMode> = "mode",
        /// File of the certificate; for SIMPLE and MUTUAL without credentials.
        pub server_certificate: String = "serverCertificate",
        /// File of the private key; for SIMPLE and MUTUAL without credentials.
        pub private_key: String = "privateKey",
        /// File of the CA that clients are checked against.
        pub ca_certificates: String = "caCertificates",
        /// File of revoked certificates.
        pub ca_crl: String = "caCrl",
        /// Secret with certificate, key and CA.
        pub credential_name: String = "credentialName",
        /// Up to two secrets, for certificates of two key types.
        pub credential_names: Vec<String> = "credentialNames" => not_empty,
        /// Secret with the CA; wins over the CA in the other secret.
        pub ca_cert_credential_name: String = "caCertCredentialName",
        /// Up to two certificates from files, of two key types.
        pub tls_certificates: Vec<TlsCertificate> = "tlsCertificates" => not_empty,
        /// Names that a client's certificate may carry; for MUTUAL.
        pub subject_alt_names: Vec<String> = "subjectAltNames",
        /// Base64 SHA-256 digests of public keys that clients may use.
        pub verify_certificate_spki: Vec<String> = "verifyCertificateSpki",
        /// Hex SHA-256 digests of certificates that clients may use.
        pub verify_certificate_hash: Vec<String> = "verifyCertificateHash",
        /// Lowest version; TLSV1_2 by default.
        pub min_protocol_version: Option<TlsProtocol> = "minProtocolVersion",
        /// Highest version.
        pub max_protocol_version: Option<TlsProtocol> = "maxProtocolVersion",
        /// Cipher suites by OpenSSL name; the proxy's list by default.
        pub cipher_suites: Vec<String> = "cipherSuites",
        /// Whether clients' certificates are not checked; not for servers.
        pub insecure_skip_verify: Option<bool> = "insecureSkipVerify"
            => no_effect("it is for clients; servers that check no client are SIMPLE"),
    }
}

record! {
    /// A certificate from files.
    pub struct TlsCertificate {
        /// File of the certificate.
        pub server_certificate: String = "serverCertificate",
        /// File of the private key.
        pub private_key: String = "privateKey",
        /// File of the CA that clients are checked against.
        pub ca_certificates: String = "caCertificates",
    }
}

enumeration! {
    /// Kinds of TLS of a server.
    pub enum ServerTlsMode {
        /// Not terminated; routed by server name.
        Passthrough = "PASSTHROUGH",
        /// The server has a certificate.
        Simple = "SIMPLE",
        /// Clients must have one too.
        Mutual = "MUTUAL",
        /// Not terminated; the server name encodes service and port.
        AutoPassthrough = "AUTO_PASSTHROUGH",
        /// Both have the mesh's certificates.
        IstioMutual = "ISTIO_MUTUAL",
        /// Clients may have one.
        OptionalMutual = "OPTIONAL_MUTUAL",
    }
}

enumeration! {
    /// Versions of TLS.
    pub enum TlsProtocol {
        /// The default.
        Auto = "TLS_AUTO",
        /// TLS 1.0.
        V1_0 = "TLSV1_0",
        /// TLS 1.1.
        V1_1 = "TLSV1_1",
        /// TLS 1.2.
        V1_2 = "TLSV1_2",
        /// TLS 1.3.
        V1_3 = "TLSV1_3",
    }
}
