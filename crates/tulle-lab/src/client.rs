//! A small HTTP/1.1 client for the lab's programs: one connection per request, as simple services do it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The text is not a URL that can be fetched.
    #[error("{url:?} cannot be fetched: {reason}; write http://HOST[:PORT]/PATH")]
    Url {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection.
    #[error("cannot connect to {authority}: {source}")]
    Connect {
        /// Host and port.
        authority: String,
        /// What the kernel or the resolver said.
        source: std::io::Error,
    },
    /// The connection broke or spoke no HTTP.
    #[error("no answer from {authority}: {source}")]
    Exchange {
        /// Host and port.
        authority: String,
        /// What went wrong.
        source: hyper::Error,
    },
    /// The answer took too long.
    #[error("no answer from {authority} within {limit:?}")]
    Timeout {
        /// Host and port.
        authority: String,
        /// How long it was waited for.
        limit: Duration,
    },
}

/// Where a request goes: what to connect to, what to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Host and port to connect to.
    pub(crate) authority: String,
    /// Value of the Host header.
    pub(crate) host: HeaderValue,
    /// Path and query.
    pub(crate) path: Uri,
}

impl Target {
    /// Reads an `http://` URL.
    pub(crate) fn parse(url: &str) -> Result<Self, ClientError> {
        let wrong = |reason: String| ClientError::Url { url: url.to_owned(), reason };
        let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = full.parse().map_err(|e: http::uri::InvalidUri| wrong(e.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("only http is spoken here".to_owned()));
        }
        let authority = uri.authority().ok_or_else(|| wrong("there is no host in it".to_owned()))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|e| wrong(e.to_string()))?;
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let path = path.parse().map_err(|e: http::uri::InvalidUri| wrong(e.to_string()))?;
        let authority = if authority.port().is_some() {
            authority.to_string()
        } else {
            format!("{}:80", authority.host())
        };
        Ok(Self { authority, host, path })
    }

    /// Opens a connection that takes one request after the other.
    pub(crate) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let connect = |source| ClientError::Connect { authority: self.authority.clone(), source };
        let stream = TcpStream::connect(&self.authority).await.map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|source| self.exchange(source))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A request for this target.
    pub(crate) fn request(&self, method: Method, headers: &HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers.clone();
        request.headers_mut().entry(header::HOST).or_insert_with(|| self.host.clone());
        request
    }

    /// Sends one request over an open connection and reads the whole answer.
    pub(crate) async fn exchange_over(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        let answer = sender.send_request(request).await.map_err(|source| self.exchange(source))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|source| self.exchange(source))?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    fn exchange(&self, source: hyper::Error) -> ClientError {
        ClientError::Exchange { authority: self.authority.clone(), source }
    }
}

/// Fetches `url` with one GET over a connection of its own, within `limit`.
pub(crate) async fn get(
    url: &str,
    headers: &HeaderMap,
    limit: Duration,
) -> Result<Response<Bytes>, ClientError> {
    let target = Target::parse(url)?;
    let work = async {
        let mut sender = target.connect().await?;
        target.exchange_over(&mut sender, target.request(Method::GET, headers, Bytes::new())).await
    };
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| ClientError::Timeout { authority: target.authority.clone(), limit })?
}
