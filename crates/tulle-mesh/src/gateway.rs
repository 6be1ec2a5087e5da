//! Gateways: ports of the mesh's edge.

use tulle_base::{Host, Labels, Selector};

use crate::meta::{Meta, NsName};
use crate::port::Protocol;
use crate::routing::Semantics;

/// Begins the name of a Secret by namespace and name, as Istio has it.
pub const GATEWAY_SECRET: &str = "kubernetes-gateway://";

/// A Gateway: one of Istio's, one listener of one of the Gateway API's, or what all Ingresses are served by.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// The document behind it.
    pub meta: Meta,
    /// The name by which routes are bound to it: the document's, or that of a listener.
    pub name: NsName,
    /// The pods that serve it.
    pub pods: Vec<Pods>,
    /// Its servers.
    pub servers: Vec<Server>,
    /// How routes that are bound to it are ordered.
    pub semantics: Semantics,
    /// The Secret, as `kubernetes-gateway://NAMESPACE/NAME`, with the certificate that it shows to backends where a policy has it
    /// speak TLS with them.
    pub client_certificate: Option<String>,
}

/// Gateway pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pods {
    /// The namespace that they are in; `None` is any.
    pub namespace: Option<String>,
    /// Labels that they have.
    pub labels: Selector,
}

/// One port of a Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Port as clients know it (the port of the gateway's Service); 0 for a socket of the file system.
    pub port: u16,
    /// Name of the port.
    pub port_name: String,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Hosts served, and from which namespace routes for them may come.
    pub hosts: Vec<ServerHost>,
    /// Address to bind, `unix://` and a path, or empty for every address.
    pub bind: String,
    /// TLS.
    pub tls: Option<ServerTls>,
    /// Name of the server.
    pub name: String,
    /// Hosts that are another server's, although the own ones cover them: those of more specific listeners.
    pub excluded: Vec<Host>,
    /// The document behind it, where that is not the gateway's.
    pub meta: Option<Meta>,
    /// The server within the document, such as `servers[2]`.
    pub rule: String,
}

/// A host of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerHost {
    /// Namespace that routes must come from (for [`ServerTlsMode::AutoPassthrough`] that services must be of); `None` is any.
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
    /// Names of secrets with certificate and key, in the namespace of the gateway's pods; or
    /// `kubernetes-gateway://NAMESPACE/NAME`.
    pub credentials: Vec<String>,
    /// Files of certificates with their keys, without `credentials`.
    pub files: Vec<CertificateFiles>,
    /// Name of the secret with the authorities that client certificates are checked with; empty for the one of `credentials`.
    pub ca_credential: String,
    /// These authorities themselves in PEM, before the Secret and the file; empty for none.
    pub authorities: String,
    /// Clients whose certificate is not good are let in all the same.
    pub insecure_fallback: bool,
    /// File of these authorities, without `credentials`.
    pub ca_certificates: String,
    /// File of certificates that are revoked; empty for none.
    pub ca_crl: String,
    /// Names a client may show.
    pub subject_alt_names: Vec<String>,
    /// SHA-256 of public keys a client may have, in base64; with the next empty: any.
    pub key_digests: Vec<String>,
    /// SHA-256 of certificates a client may show, in hexadecimal.
    pub certificate_digests: Vec<String>,
    /// Least version of TLS as written (`TLSV1_2`), empty for the default 1.2.
    pub min_version: String,
    /// Greatest version, empty for the default.
    pub max_version: String,
    /// Cipher suites of TLS 1.2 and older, by OpenSSL name.
    pub cipher_suites: Vec<String>,
}

/// A certificate and its key, in files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// File of the certificate.
    pub certificate: String,
    /// File of the key.
    pub key: String,
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
        self.name.clone()
    }

    /// The Secrets of other namespaces than the pods' that its servers need.
    pub fn secrets(&self) -> impl Iterator<Item = NsName> {
        let all = self.servers.iter().filter_map(|s| s.tls.as_ref()).flat_map(|t| &t.credentials);
        all.chain(&self.client_certificate).filter_map(|credential| {
            let (namespace, name) = credential.strip_prefix(GATEWAY_SECRET)?.split_once('/')?;
            Some(NsName::new(namespace, name))
        })
    }

    /// Whether a gateway pod of `namespace` with `labels` serves it.
    pub fn is_served_by(&self, namespace: &str, labels: &Labels) -> bool {
        let fits =
            |p: &Pods| p.namespace.as_deref().is_none_or(|n| n == namespace) && p.labels.matches(labels);
        self.pods.iter().any(fits)
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
        out.retain(|host| !self.excluded.iter().any(|other| other.covers(host)));
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
            excluded: vec!["own.example.com".into()],
            meta: None,
            rule: String::new(),
        };
        assert_eq!(server.intersect("x", &"a.example.com".into()), ["a.example.com".into()]);
        assert_eq!(server.intersect("x", &"own.example.com".into()), [], "it is another server's");
        assert_eq!(server.intersect("x", &"*".into()), ["*.example.com".into()]);
        assert_eq!(server.intersect("x", &"shop.org".into()), []);
        assert_eq!(server.intersect("shop", &"*".into()), ["shop.org".into(), "*.example.com".into()]);
    }
}
