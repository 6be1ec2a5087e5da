//! Headers that proxies add.

use super::proxy::ForwardClientCertDetails;
use crate::schema::{enumeration, record};

record! {
    /// Headers that proxies add.
    pub struct ProxyHeaders {
        /// What becomes of X-Forwarded-Client-Cert; APPEND_FORWARD by default.
        pub forwarded_client_cert: Option<ForwardClientCertDetails> = "forwardedClientCert",
        /// What X-Forwarded-Client-Cert says about the client.
        pub set_current_client_cert_details: Option<SetCurrentClientCertDetails> = "setCurrentClientCertDetails",
        /// X-Request-Id; on by default.
        pub request_id: Option<HeaderSwitch> = "requestId",
        /// Server; on by default.
        pub server: Option<ServerHeader> = "server",
        /// X-Envoy-Attempt-Count; on by default.
        pub attempt_count: Option<HeaderSwitch> = "attemptCount",
        /// Envoy's headers for debugging; on by default.
        pub envoy_debug_headers: Option<HeaderSwitch> = "envoyDebugHeaders",
        /// Headers of the exchange of peer metadata.
        pub metadata_exchange_headers: Option<MetadataExchangeHeaders> = "metadataExchangeHeaders"
            => no_effect("nobody outside of the mesh is told what runs in it, whatever the mode"),
        /// Whether HTTP/1.1 header names keep their case; false by default.
        pub preserve_http1_header_case: Option<bool> = "preserveHttp1HeaderCase",
        /// X-Forwarded-Host; off by default.
        pub x_forwarded_host: Option<OptInHeader> = "xForwardedHost",
        /// X-Forwarded-Port; off by default.
        pub x_forwarded_port: Option<OptInHeader> = "xForwardedPort",
    }
}

record! {
    /// What X-Forwarded-Client-Cert says about the client.
    pub struct SetCurrentClientCertDetails {
        /// The subject; true by default.
        pub subject: Option<bool> = "subject",
        /// The certificate; false by default.
        pub cert: Option<bool> = "cert",
        /// The chain; false by default.
        pub chain: Option<bool> = "chain",
        /// DNS names; true by default.
        pub dns: Option<bool> = "dns",
        /// URIs; true by default.
        pub uri: Option<bool> = "uri",
    }
}

record! {
    /// A header that can be turned off.
    pub struct HeaderSwitch {
        /// Turns it off.
        pub disabled: Option<bool> = "disabled",
    }
}

record! {
    /// A header that can be turned on.
    pub struct OptInHeader {
        /// Turns it on.
        pub enabled: Option<bool> = "enabled",
    }
}

record! {
    /// The header Server.
    pub struct ServerHeader {
        /// Turns it off.
        pub disabled: Option<bool> = "disabled",
        /// Its value; istio-envoy by default.
        pub value: String = "value",
    }
}

record! {
    /// Headers of the exchange of peer metadata.
    pub struct MetadataExchangeHeaders {
        /// To whom they are sent.
        pub mode: Option<MetadataExchangeMode> = "mode",
    }
}

enumeration! {
    /// To whom peer metadata is sent.
    pub enum MetadataExchangeMode {
        /// To everybody.
        Undefined = "UNDEFINED",
        /// To the mesh alone.
        InMesh = "IN_MESH",
    }
}
