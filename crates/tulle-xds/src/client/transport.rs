//! Connections that somebody else opens, with gRPC on top.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint, Uri};

/// A connected byte stream, TLS included where it is wanted.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Any [`Io`].
pub type BoxIo = Box<dyn Io>;

type Connecting = Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send>>;

/// Opens one connection; called again for each attempt.
pub type Connector = Arc<dyn Fn() -> Connecting + Send + Sync>;

/// A connector from a closure that returns a future of a stream.
pub fn connector<F, Fut, S>(open: F) -> Connector
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<S>> + Send + 'static,
    S: Io + 'static,
{
    Arc::new(move || {
        let opening = open();
        Box::pin(async move { opening.await.map(|stream| Box::new(stream) as BoxIo) })
    })
}

/// Opens one connection and speaks HTTP/2 on it, with a ping every 10 s that must be answered within 10 s.
///
/// # Errors
/// Those of the connector, a timeout, and an `authority` that is none.
pub async fn channel(
    authority: &str,
    connect_timeout: Duration,
    connector: Connector,
) -> Result<Channel, tonic::transport::Error> {
    let ping = Duration::from_secs(10);
    Endpoint::from_shared(format!("http://{authority}"))?
        .connect_timeout(connect_timeout)
        .http2_keep_alive_interval(ping)
        .keep_alive_timeout(ping)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .connect_with_connector(Dial(connector))
        .await
}

/// The connector as the service that tonic wants.
struct Dial(Connector);

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<BoxIo>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let opening = (self.0)();
        Box::pin(async move { opening.await.map(TokioIo::new) })
    }
}
