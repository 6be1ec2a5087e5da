//! A small HTTP server (HTTP/1.1, and HTTP/2 by prior knowledge) for the lab's programs.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::drip::Drip;

/// An answer, its body at hand or dripping.
pub(crate) type Reply = Response<Either<Full<Bytes>, Drip>>;

/// Why a program's server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port could not be bound.
    #[error("cannot listen on {address}: {source}; stop what listens there or choose another --port")]
    Bind {
        /// The address wanted.
        address: SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Signals could not be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// Serves `handler` on all addresses at `port` until SIGTERM or SIGINT, then finishes what is under way within 5 s.
pub(crate) async fn serve<H, F>(port: u16, handler: H) -> Result<(), ServeError>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let listener = listen(port).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors or a connection that died in the queue: the next one may do.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        // A connection without it merely waits longer for small packets.
        let _ = stream.set_nodelay(true);
        let handler = handler.clone();
        let service = service_fn(move |request| {
            let reply = handler(request);
            async move { Ok::<_, Infallible>(reply.await) }
        });
        let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that goes away in the middle is no fault of the program's.
            let _ = watched.await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(Duration::from_secs(5), graceful.shutdown()).await;
    Ok(())
}

/// Listens on all addresses, IPv6 and IPv4, as far as the machine has them.
pub(crate) async fn listen(port: u16) -> Result<TcpListener, ServeError> {
    if let Ok(both) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        return Ok(both);
    }
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    with_type(status, "application/json", value.to_string())
}

/// An HTML answer.
pub(crate) fn html(body: String) -> Reply {
    with_type(StatusCode::OK, "text/html; charset=utf-8", body)
}

/// A plain text answer.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    with_type(status, "text/plain; charset=utf-8", body)
}

/// An answer with a content type.
pub(crate) fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(body.into())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// The name of the pod that this runs in, as containers see it: the host name.
pub(crate) fn pod_name() -> String {
    std::env::var("HOSTNAME").unwrap_or_default()
}
