//! Which secrets a resource refers to by name.

use std::sync::Arc;

use tulle_engine::runtime::cluster::UpstreamTransport;
use tulle_engine::runtime::listener::DownstreamTransport;
use tulle_engine::runtime::tls::{CertificateSource, RootSource, TlsCommon, Validation};
use tulle_engine::runtime::{Cluster, Listener};

use super::book::chains;

/// The secrets that a cluster's transport sockets name.
pub(crate) fn cluster_secrets(cluster: &Cluster) -> Vec<Arc<str>> {
    cluster
        .transports
        .iter()
        .filter_map(|t| match &t.transport {
            UpstreamTransport::Tls(tls) => Some(&tls.common),
            UpstreamTransport::Plain => None,
        })
        .flat_map(secrets)
        .collect()
}

/// The secrets that a listener's transport sockets name.
pub(crate) fn listener_secrets(listener: &Listener) -> Vec<Arc<str>> {
    chains(listener)
        .filter_map(|chain| match &chain.transport {
            DownstreamTransport::Tls(tls) => Some(&tls.common),
            DownstreamTransport::Plain => None,
        })
        .flat_map(secrets)
        .collect()
}

fn secrets(common: &TlsCommon) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for certificate in &common.certificates {
        if let CertificateSource::Secret(name) = certificate {
            names.push(Arc::clone(name));
        }
    }
    if let Validation::Chain(chain) = &common.validation
        && let RootSource::Secret(name) = &chain.roots
    {
        names.push(Arc::clone(name));
    }
    names
}
