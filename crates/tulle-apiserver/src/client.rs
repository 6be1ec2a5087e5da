//! A small client for the API: what `tulle apply`, `get` and `delete` speak with. It finds the API as kubectl does, by a kubeconfig.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tulle_api::parse_document;

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 30;
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(120);

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be read.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The API cannot be reached.
    #[error("the API at {server} cannot be reached: {source}")]
    Unreachable {
        /// Where it should be.
        server: String,
        /// What the system said.
        source: io::Error,
    },
    /// The answer cannot be read.
    #[error("the API at {server} answers in another way: {reason}")]
    Broken {
        /// Where it is.
        server: String,
        /// What is wrong.
        reason: String,
    },
}

/// What the API answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status code.
    pub code: u16,
    /// Advice, without its code and quotes.
    pub warnings: Vec<String>,
    /// The JSON of the body; null if it is none.
    pub body: Value,
}

/// Where the API is, how it is known, and who we are.
#[derive(Clone, Debug)]
pub struct Client {
    server: String,
    host: String,
    port: u16,
    token: String,
    /// Namespace of the current context.
    namespace: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    /// Reads the current context of a kubeconfig (YAML or JSON): bearer tokens, and authorities in it or in a file beside it.
    ///
    /// # Errors
    /// [`ClientError::Config`].
    pub fn from_kubeconfig(path: &Path) -> Result<Self, ClientError> {
        let wrong = |reason: String| ClientError::Config { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        let name = path.display().to_string();
        let config = parse_document(&name, &bytes)
            .map_err(|problems| wrong(problems.first().map(ToString::to_string).unwrap_or_default()))?;
        let config = config.to_json();
        let named = |list: &str, name: &Value, inner: &str| {
            let found = config[list].as_array().into_iter().flatten().find(|e| e["name"] == *name);
            found.map(|e| e[inner].clone()).ok_or_else(|| wrong(format!("{list} has no entry {name}")))
        };
        let context = named("contexts", &config["current-context"], "context")?;
        let cluster = named("clusters", &context["cluster"], "cluster")?;
        let user = named("users", &context["user"], "user")?;
        let server = cluster["server"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
        let uri: Uri = server.parse().map_err(|_| wrong(format!("server {server:?} is not a URL")))?;
        let https = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let Some(token) = user["token"].as_str() else {
            return Err(wrong("the user has no token; other ways to log in are left to kubectl".into()));
        };
        let tls = if https { Some(Arc::new(trust(&cluster, path).map_err(wrong)?)) } else { None };
        Ok(Self {
            host,
            port: uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
            server,
            token: token.to_owned(),
            namespace: context["namespace"]
                .as_str()
                .filter(|n| !n.is_empty())
                .unwrap_or("default")
                .to_owned(),
            tls,
        })
    }

    /// A client for another server that answers JSON over plain HTTP, such as one with Prometheus' API. Nobody is logged in there.
    ///
    /// # Errors
    /// [`ClientError::Broken`] where `url` is not `http://HOST[:PORT]`.
    pub fn plain(url: &str) -> Result<Self, ClientError> {
        let wrong =
            || ClientError::Broken { server: url.to_owned(), reason: "not http://HOST[:PORT]".to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (Some("http"), Some(host), "/" | "") = (uri.scheme_str(), uri.host(), uri.path()) else {
            return Err(wrong());
        };
        Ok(Self {
            server: url.trim_end_matches('/').to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            token: String::new(),
            namespace: "default".to_owned(),
            tls: None,
        })
    }

    /// The namespace of the current context; `default` if it names none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Sends one request and waits for its answer. `media` is the type of `body`, and `accept` that of the answer.
    ///
    /// # Errors
    /// [`ClientError`]; an answer that is a failure is no error here.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        media: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> Result<Reply, ClientError> {
        let asked = tokio::time::timeout(ANSWER, self.ask(method, path, media, accept, body)).await;
        asked.unwrap_or_else(|_| Err(self.broken("no answer in time")))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        media: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> Result<Reply, ClientError> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let mut request = Request::builder();
        if !self.token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        }
        let request = request
            .method(method)
            .uri(path)
            .header(HOST, format!("{host}:{}", self.port))
            .header(USER_AGENT, concat!("tulle/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, media)
            .header(ACCEPT, accept)
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| self.broken(e))?;
        let unreachable = |source| ClientError::Unreachable { server: self.server.clone(), source };
        let connect = tokio::time::timeout(CONNECT, TcpStream::connect((self.host.as_str(), self.port)));
        let stream = connect.await.unwrap_or_else(|e| Err(e.into())).map_err(unreachable)?;
        let response = match &self.tls {
            None => exchange(stream, request).await,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|e| self.broken(e))?;
                let connector = TlsConnector::from(Arc::clone(config));
                exchange(connector.connect(name, stream).await.map_err(unreachable)?, request).await
            }
        };
        let response = response.map_err(|e| self.broken(e))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| self.broken(e))?.to_bytes();
        let warnings =
            head.headers.get_all("warning").iter().filter_map(|v| v.to_str().ok()).map(advice).collect();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Reply { code: head.status.as_u16(), warnings, body })
    }

    fn broken(&self, reason: impl ToString) -> ClientError {
        ClientError::Broken { server: self.server.clone(), reason: reason.to_string() }
    }
}

async fn exchange<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<http::Response<hyper::body::Incoming>, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer.
    tokio::spawn(connection);
    sender.send_request(request).await
}

/// Whom to believe that it is the API.
fn trust(cluster: &Value, config: &Path) -> Result<ClientConfig, String> {
    let pem =
        match (cluster["certificate-authority-data"].as_str(), cluster["certificate-authority"].as_str()) {
            (Some(data), _) => {
                STANDARD.decode(data).map_err(|e| format!("certificate-authority-data: {e}"))?
            }
            (None, Some(file)) => {
                let file = config.parent().unwrap_or(Path::new(".")).join(file);
                std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?
            }
            (None, None) => return Err("the cluster names no certificate-authority".to_owned()),
        };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| format!("certificate authority: {e}"))?;
        roots.add(certificate).map_err(|e| format!("certificate authority: {e}"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|e| e.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

/// The text of a `Warning` header.
fn advice(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, rest)| rest.strip_suffix('"').unwrap_or(rest));
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}
