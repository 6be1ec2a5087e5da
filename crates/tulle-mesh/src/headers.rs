//! Headers that proxies add (`proxyHeaders` of the mesh and of single pods).

use crate::config::ClientCert;

/// Headers that proxies add. `None` is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProxyHeaders {
    /// What a sidecar makes of X-Forwarded-Client-Cert; `AppendForward` by default. Gateways have
    /// [`crate::config::GatewayTopology`] for that.
    pub client_cert: Option<ClientCert>,
    /// What X-Forwarded-Client-Cert says of the client, at sidecars.
    pub client_parts: CertParts,
    /// Whether requests without X-Request-Id get one; yes by default.
    pub request_id: Option<bool>,
    /// The header Server of answers.
    pub server: Option<Server>,
    /// Whether upstreams get X-Envoy-Attempt-Count; yes by default.
    pub attempt_count: Option<bool>,
    /// Whether answers and requests get the `x-envoy-` headers that help to debug; yes by default.
    pub debug: Option<bool>,
    /// Whether X-Forwarded-Host has the host that was asked for where a route changes it; no by default.
    pub forwarded_host: Option<bool>,
    /// Whether X-Forwarded-Port has the port that was asked for; no by default.
    pub forwarded_port: Option<bool>,
}

/// The header Server of answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// As the upstream wrote it.
    Upstream,
    /// Always this.
    Is(String),
}

/// What X-Forwarded-Client-Cert says of a client. `None` is not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CertParts {
    /// Its subject; yes by default.
    pub subject: Option<bool>,
    /// Its certificate; no by default.
    pub cert: Option<bool>,
    /// Its chain; no by default.
    pub chain: Option<bool>,
    /// Its DNS names; yes by default.
    pub dns: Option<bool>,
    /// Its URIs; yes by default.
    pub uri: Option<bool>,
}

impl ProxyHeaders {
    /// What is written here, else there.
    #[must_use]
    pub fn or(&self, weaker: &Self) -> Self {
        Self {
            client_cert: self.client_cert.or(weaker.client_cert),
            client_parts: self.client_parts.or(weaker.client_parts),
            request_id: self.request_id.or(weaker.request_id),
            server: self.server.clone().or_else(|| weaker.server.clone()),
            attempt_count: self.attempt_count.or(weaker.attempt_count),
            debug: self.debug.or(weaker.debug),
            forwarded_host: self.forwarded_host.or(weaker.forwarded_host),
            forwarded_port: self.forwarded_port.or(weaker.forwarded_port),
        }
    }
}

impl CertParts {
    fn or(self, weaker: Self) -> Self {
        Self {
            subject: self.subject.or(weaker.subject),
            cert: self.cert.or(weaker.cert),
            chain: self.chain.or(weaker.chain),
            dns: self.dns.or(weaker.dns),
            uri: self.uri.or(weaker.uri),
        }
    }
}
