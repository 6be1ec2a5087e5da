//! `XBackend`: a destination outside of the cluster. On trial in the Gateway API.

use super::backend_tls_policy::BackendTlsValidation;
use super::common::SecretObjectReference;
use crate::schema::{enumeration, record};

record! {
    /// A destination outside of the cluster.
    pub struct XBackendSpec {
        /// What it is.
        pub backend_type: Option<XBackendType> = "type" => required,
        /// Its port.
        pub port: XBackendPort = "port",
        /// Its protocol.
        pub protocol: Option<XBackendProtocol> = "protocol",
        /// Its host; for ExternalHostname.
        pub external_hostname: Option<XExternalHostname> = "externalHostname",
        /// TLS towards it.
        pub tls: Option<XBackendTls> = "tls",
    }
}

enumeration! {
    /// Kinds of destinations.
    pub enum XBackendType {
        /// A host outside.
        ExternalHostname = "ExternalHostname",
    }
}

enumeration! {
    /// Protocols of destinations.
    pub enum XBackendProtocol {
        /// TCP.
        Tcp = "TCP",
        /// HTTP of any version.
        Http = "HTTP",
        /// HTTP/2.
        Http2 = "HTTP2",
        /// HTTP/1.1.
        Http11 = "HTTP11",
        /// HTTP/2 without TLS.
        H2c = "H2C",
        /// The Model Context Protocol.
        Mcp = "MCP",
    }
}

record! {
    /// A port of a destination.
    pub struct XBackendPort {
        /// Name.
        pub name: String = "name",
        /// Number, 1 to 65535.
        pub port: i32 = "port",
    }
}

record! {
    /// A host outside.
    pub struct XExternalHostname {
        /// The host.
        pub hostname: String = "hostname" => required,
    }
}

record! {
    /// TLS towards a destination.
    pub struct XBackendTls {
        /// Which kind of TLS.
        pub mode: Option<XBackendTlsMode> = "mode" => required,
        /// The client's certificate.
        pub client_certificate_ref: Option<SecretObjectReference> = "clientCertificateRef",
        /// How the server's certificate is checked.
        pub validation: Option<BackendTlsValidation> = "validation",
    }
}

enumeration! {
    /// Kinds of TLS towards a destination.
    pub enum XBackendTlsMode {
        /// None.
        None = "None",
        /// The server has a certificate.
        ServerOnly = "ServerOnly",
        /// Both have certificates.
        ClientAndServer = "ClientAndServer",
    }
}
