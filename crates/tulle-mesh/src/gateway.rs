//! Gateways: ports of the mesh's edge.

use tulle_base::{Host, Selector};

use crate::meta::{Meta, NsName};
use crate::port::Protocol;

/// A Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// The document behind it.
    pub meta: Meta,
    /// The pods that serve it. Empty selects every gateway pod.
    pub selector: Selector,
    /// Its servers.
    pub servers: Vec<Server>,
}

/// One port of a Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Port as clients know it (the port of the gateway's Service).
    pub port: u16,
    /// Name of the port.
    pub port_name: String,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Hosts served, and from which namespace routes for them may come.
    pub hosts: Vec<ServerHost>,
    /// Address to bind, empty for every one.
    pub bind: String,
    /// TLS.
    pub tls: Option<ServerTls>,
    /// Name of the server.
    pub name: String,
}

/// A host of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHost {
    /// Namespace that routes must come from; `None` is any.
    pub namespace: Option<String>,
    /// Host, may be a wildcard.
    pub host: Host,
}

/// TLS of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// Plain HTTP requests are answered with a redirect to https.
    pub https_redirect: bool,
    /// Kind.
    pub mode: ServerTlsMode,
    /// Names of secrets with certificate and key.
    pub credentials: Vec<String>,
    /// File of the certificate.
    pub server_certificate: String,
    /// File of the key.
    pub private_key: String,
    /// File of the authorities that client certificates are checked with.
    pub ca_certificates: String,
    /// Names a client may show.
    pub subject_alt_names: Vec<String>,
    /// Least version of TLS as written (`TLSV1_2`), empty for the default 1.2.
    pub min_version: String,
    /// Greatest version, empty for the default.
    pub max_version: String,
    /// Cipher suites of TLS 1.2 and older, by OpenSSL name.
    pub cipher_suites: Vec<String>,
}

/// Kinds of TLS on a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServerTlsMode {
    /// Passed on by SNI.
    #[default]
    Passthrough,
    /// Terminated.
    Simple,
    /// Terminated, with a client certificate demanded.
    Mutual,
    /// Terminated, with a client certificate checked if it is sent.
    OptionalMutual,
    /// Passed on by SNI to the service that it names.
    AutoPassthrough,
    /// Mutual TLS of the mesh.
    IstioMutual,
}

impl Gateway {
    /// Its name.
    pub fn name(&self) -> NsName {
        NsName::new(self.meta.namespace(), self.meta.name())
    }
}

impl Server {
    /// Whether routes of `namespace` for `host` may use this server; the host as far as both cover it.
    pub fn intersect(&self, namespace: &str, host: &Host) -> Vec<Host> {
        let mut out: Vec<Host> = Vec::new();
        for ours in &self.hosts {
            if ours.namespace.as_deref().is_some_and(|n| n != namespace) {
                continue;
            }
            if ours.host.covers(host) {
                out.push(host.clone());
            } else if host.covers(&ours.host) {
                out.push(ours.host.clone());
            }
        }
        out.sort();
        out.dedup();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_intersect_within_the_namespace() {
        let server = Server {
            port: 80,
            port_name: "http".into(),
            protocol: Protocol::Http,
            hosts: vec![
                ServerHost { namespace: None, host: "*.example.com".into() },
                ServerHost { namespace: Some("shop".into()), host: "shop.org".into() },
            ],
            bind: String::new(),
            tls: None,
            name: String::new(),
        };
        assert_eq!(server.intersect("x", &"a.example.com".into()), ["a.example.com".into()]);
        assert_eq!(server.intersect("x", &"*".into()), ["*.example.com".into()]);
        assert_eq!(server.intersect("x", &"shop.org".into()), []);
        assert_eq!(server.intersect("shop", &"*".into()), ["shop.org".into(), "*.example.com".into()]);
    }
}
