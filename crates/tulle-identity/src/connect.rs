//! Connections to the control plane: plain or TLS, marked so that they pass the pod's redirection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::material::{MaterialError, TrustBundle, read_certificates, read_file};
use crate::san::SanMatcher;
use crate::secrets::{CertificateSource, TrustSource};
use crate::tls::{ClientTls, PeerRules, TlsBuildError, VerifyPeer};
use crate::watched::Watched;

/// How long one address may take to accept, and again to shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often an idle connection is checked.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long the answer to such a check may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the control plane cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host name is none.
    #[error("{0:?} is not a host name")]
    Host(String),
    /// The roots cannot be read.
    #[error("roots of the control plane: {0}")]
    Roots(#[from] MaterialError),
    /// The TLS configuration cannot be made.
    #[error(transparent)]
    Tls(#[from] TlsBuildError),
    /// No address answered.
    #[error("{host} ({address}): {source}")]
    Dial {
        /// The name of the server.
        host: String,
        /// The address tried last.
        address: SocketAddr,
        /// What went wrong there.
        source: io::Error,
    },
    /// There is no address to try.
    #[error("{0} has no address")]
    NoAddress(String),
}

/// How to reach one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    host: Arc<str>,
    addresses: Arc<[SocketAddr]>,
    mark: Option<u32>,
    tls: Option<Tls>,
}

#[derive(Clone, Debug)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    roots: Option<Roots>,
}

/// The roots of the control plane.
#[derive(Clone, Debug)]
struct Roots {
    /// The pod's file.
    file: PathBuf,
    /// What the workload trusts, which may be newer than the file.
    known: TrustSource,
    /// Both together, as far as they could be read.
    trust: TrustSource,
}

impl Connector {
    /// Plain TCP to `addresses`, tried in turn; `host` names the server in errors and as HTTP authority.
    pub fn plain(host: &str, addresses: Vec<SocketAddr>) -> Self {
        Self { host: host.into(), addresses: addresses.into(), mark: None, tls: None }
    }

    /// TLS to a control plane: its certificate must lead to a root in the file `roots` (read again for every connection) or in `known`
    /// and carry the DNS name `host`; `own` is presented if it is there by then.
    ///
    /// # Errors
    /// [`ConnectError::Host`] or [`ConnectError::Tls`].
    pub fn mesh(
        host: &str,
        addresses: Vec<SocketAddr>,
        roots: PathBuf,
        known: TrustSource,
        own: CertificateSource,
    ) -> Result<Self, ConnectError> {
        let trust = Watched::empty();
        let mut tls = ClientTls::new(VerifyPeer::Chain {
            trust: trust.clone(),
            rules: PeerRules::names(vec![SanMatcher::dns(host)]),
        });
        tls.certificate = Some(own);
        tls.alpn = vec![b"h2".to_vec()];
        Self::tls(host, addresses, &tls, host, Some(Roots { file: roots, known, trust }))
    }

    /// TLS as configured, with `server_name` as SNI (the cluster of a bootstrap).
    ///
    /// # Errors
    /// [`ConnectError::Host`] or [`ConnectError::Tls`].
    pub fn with_tls(
        host: &str,
        addresses: Vec<SocketAddr>,
        tls: &ClientTls,
        server_name: &str,
    ) -> Result<Self, ConnectError> {
        Self::tls(host, addresses, tls, server_name, None)
    }

    fn tls(
        host: &str,
        addresses: Vec<SocketAddr>,
        tls: &ClientTls,
        server_name: &str,
        roots: Option<Roots>,
    ) -> Result<Self, ConnectError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| ConnectError::Host(server_name.to_owned()))?;
        let tls = Tls { config: tls.build()?, name, roots };
        Ok(Self { tls: Some(tls), ..Self::plain(host, addresses) })
    }

    /// Marks every socket (`SO_MARK`), so that the pod's redirection lets it pass; needs `CAP_NET_ADMIN`.
    #[must_use]
    pub fn marked(mut self, mark: Option<u32>) -> Self {
        self.mark = mark;
        self
    }

    /// A gRPC channel that connects when it is first used and again whenever the connection was lost.
    pub fn channel(&self) -> Channel {
        // The scheme only decides what tonic itself does about TLS: nothing, that is the connector's part.
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.host.as_ref())
            .path_and_query("/")
            .build()
            .unwrap_or_else(|_| Uri::from_static("http://control-plane/"));
        Endpoint::from(uri)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .connect_with_connector_lazy(self.clone())
    }

    /// Connects to the first address that answers.
    ///
    /// # Errors
    /// [`ConnectError`] of the last address tried.
    pub async fn connect(&self) -> Result<Box<dyn Transport>, ConnectError> {
        self.refresh_roots()?;
        let mut last = ConnectError::NoAddress(self.host.to_string());
        for &address in self.addresses.iter() {
            match self.connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(source) => {
                    last = ConnectError::Dial { host: self.host.to_string(), address, source };
                }
            }
        }
        Err(last)
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<Box<dyn Transport>> {
        let stream = within(dial(address, self.mark)).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        Ok(Box::new(within(connector.connect(tls.name.clone(), stream)).await?))
    }

    fn refresh_roots(&self) -> Result<(), ConnectError> {
        let Some(Roots { file, known, trust }) = self.tls.as_ref().and_then(|tls| tls.roots.as_ref()) else {
            return Ok(());
        };
        let mut roots = known.get().map(|bundle| bundle.roots().to_vec()).unwrap_or_default();
        match read_file(file).and_then(|pem| read_certificates(&pem)) {
            Ok(more) => roots.extend(more),
            Err(error) if roots.is_empty() && trust.get().is_none() => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "keeping the roots read before"),
        }
        match TrustBundle::from_der(roots) {
            Ok(bundle) => trust.set(Arc::new(bundle)),
            Err(error) if trust.get().is_none() => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "keeping the roots read before"),
        }
        Ok(())
    }
}

/// What a connection is to those who use it.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Opens a TCP connection, with `mark` on its socket if given.
///
/// # Errors
/// What the system says, `EPERM` when the mark may not be set.
pub async fn dial(address: SocketAddr, mark: Option<u32>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(mark) = mark {
        SockRef::from(&socket).set_mark(mark)?;
    }
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(CONNECT_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 3 s")))
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Transport>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(TokioIo::new(connector.connect().await?)) })
    }
}
