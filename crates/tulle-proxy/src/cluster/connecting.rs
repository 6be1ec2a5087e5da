//! Opening a connection to an endpoint, TLS included.

use std::{cell::Cell, io, net::IpAddr, rc::Rc, sync::Arc, time::Instant};

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::{
    host::{Host, PoolKey, UpstreamFacts},
    local::{Hold, LocalCluster, LocalTransport},
};
use crate::{
    net::{
        connect::{self, Keepalive, SocketPlan},
        stream::{Stream, Tcp},
    },
    worker::Worker,
};

/// Why an endpoint could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFault {
    /// The kernel or the peer refused.
    #[error("{0}")]
    Io(io::Error),
    /// It took longer than the cluster's `connect_timeout`.
    #[error("connection timeout")]
    Timeout,
    /// The TLS handshake failed.
    #[error("TLS error: {0}")]
    Tls(io::Error),
    /// TLS cannot be set up.
    #[error("TLS is not set up for this cluster")]
    BrokenTls,
}

/// Connects to `host`, offering `alpn` instead of the transport socket's own protocols where given.
pub(crate) async fn connect(
    worker: &Rc<Worker>,
    cluster: &LocalCluster,
    host: &Rc<Host>,
    key: &PoolKey,
    alpn: Option<&[Arc<str>]>,
    hold: Hold,
) -> Result<(Stream, Rc<UpstreamFacts>), ConnectFault> {
    let counted = (worker.count(|g| &g.upstream), host.count_connection(), hold);
    let attempt = establish(worker, cluster, host, key, alpn);
    let stream = tokio::time::timeout(cluster.config.connect_timeout, attempt)
        .await
        .map_err(|_| ConnectFault::Timeout)??;
    let principal = stream.peer_principal().unwrap_or_else(|| Arc::clone(&cluster.no_name));
    let facts = UpstreamFacts {
        local: stream.tcp().socket().local_addr().ok(),
        principal,
        opened: Instant::now(),
        peer_id: Cell::new(None),
        _counted: counted,
    };
    Ok((stream, Rc::new(facts)))
}

async fn establish(
    worker: &Worker,
    cluster: &LocalCluster,
    host: &Host,
    key: &PoolKey,
    alpn: Option<&[Arc<str>]>,
) -> Result<Stream, ConnectFault> {
    let plan = SocketPlan {
        bind: cluster.config.source_address,
        mark: worker.settings.mark,
        keepalive: cluster.config.keepalive.map(Keepalive::from),
    };
    let tls = match cluster.transports.get(key.transport) {
        None | Some(LocalTransport::Plain) => None,
        Some(LocalTransport::Tls(tls)) => {
            Some(tls.config(alpn, &worker.settings.secrets).map_err(|_| ConnectFault::BrokenTls)?)
        }
    };
    let socket = connect::connect(host.address, &plan).await.map_err(ConnectFault::Io)?;
    let tcp = Tcp::new(socket);
    let Some(config) = tls else { return Ok(Stream::Plain(tcp)) };
    let name = server_name(&key.sni, host.address.ip());
    let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(ConnectFault::Tls)?;
    Ok(Stream::TlsClient(Box::new(stream)))
}

/// The name to ask for; without a valid one the address, which is not sent (RFC 6066 section 3).
fn server_name(sni: &str, ip: IpAddr) -> ServerName<'static> {
    match ServerName::try_from(sni) {
        Ok(name) if !sni.is_empty() => name.to_owned(),
        _ => ServerName::IpAddress(ip.into()),
    }
}
