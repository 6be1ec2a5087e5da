//! The gRPC ports: connections in, requests to the service that their path names.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tulle_ca::{CaService, PeerCertificate};
use tulle_identity::PeerIdentity;
use tulle_xds::server::{AdsService, Peer};

use crate::stop::Stop;
use crate::telemetry::TelemetryService;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long connections may go on after the end was announced.
const GRACE: Duration = Duration::from_millis(500);
/// How often a silent connection is checked, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Connections per port.
const MAX_CONNECTIONS: usize = 20_000;
/// Requests at a time on one connection.
const MAX_REQUESTS: u32 = 128;
/// Bytes of headers in one request; a token takes a few.
const MAX_HEADERS: u32 = 32 << 10;

/// What is served.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) ads: AdsService,
    pub(crate) ca: CaService,
    /// Absent where telemetry is not kept.
    pub(crate) telemetry: Option<TelemetryService>,
}

/// Serves a port until told to stop: with `tls`, or in the clear.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    services: Services,
    mut stop: Stop,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.said() => return,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a connection that died in the queue.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            tracing::warn!(%address, "too many connections; refused");
            continue;
        };
        let (acceptor, services, stop) = (acceptor.clone(), services.clone(), stop.clone());
        tokio::spawn(async move {
            connection(socket, address, acceptor, services, stop).await;
            drop(slot);
        });
    }
}

async fn connection(
    socket: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    services: Services,
    stop: Stop,
) {
    // Without it small messages merely wait a little.
    let _ = socket.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        let peer = Peer { address: Some(address), tls: false, certificate: None };
        return http2(socket, peer, None, services, stop).await;
    };
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "TLS handshake failed"),
        Err(_) => return tracing::debug!(%address, "TLS handshake took too long"),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let identity = match PeerIdentity::read(chain) {
        Ok(identity) => identity.map(Arc::new),
        Err(error) => return tracing::warn!(%address, %error, "client certificate cannot be read"),
    };
    let certificate = chain.first().map(|leaf| Bytes::copy_from_slice(leaf));
    let peer = Peer { address: Some(address), tls: true, certificate };
    http2(stream, peer, identity.map(PeerCertificate), services, stop).await;
}

async fn http2(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    identity: Option<PeerCertificate>,
    services: Services,
    mut stop: Stop,
) {
    let address = peer.address;
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        if let Some(identity) = &identity {
            request.extensions_mut().insert(identity.clone());
        }
        let services = services.clone();
        async move { Ok::<_, Infallible>(dispatch(services, request.map(Body::new)).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(MAX_REQUESTS)
        .max_header_list_size(MAX_HEADERS);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.said() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?address, %error, "connection ended");
    }
}

async fn dispatch(services: Services, request: http::Request<Body>) -> http::Response<Body> {
    let path = request.uri().path();
    if path.starts_with("/envoy.service.discovery.v3.AggregatedDiscoveryService/") {
        services.ads.call(request).await
    } else if path.starts_with("/istio.v1.auth.IstioCertificateService/") {
        services.ca.call(request).await
    } else if let Some(telemetry) =
        services.telemetry.filter(|_| path.starts_with("/tulle.telemetry.v1.TelemetryService/"))
    {
        telemetry.call(request).await
    } else {
        tonic::Status::unimplemented("this port serves aggregated discovery and certificates").into_http()
    }
}
