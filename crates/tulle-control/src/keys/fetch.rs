//! One fetch over HTTP: bounded in size, with the address checked that is connected to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tulle_base::nearby::is_nearby;
use tulle_mesh::policy::KeySource;

/// Longest answer, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// Redirects that are followed, at most.
const MAX_REDIRECTS: usize = 3;
/// Where systems keep the certificates of the authorities that they trust.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What came.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    /// How long it may be used, if the server says so.
    pub(super) max_age: Option<Duration>,
}

/// Fetches.
#[derive(Clone)]
pub(crate) struct Fetcher {
    tls: Arc<ClientConfig>,
    /// Whether addresses are not looked at.
    any_address: bool,
}

impl Fetcher {
    /// Trusts whom this machine trusts.
    pub(crate) fn new() -> Self {
        let mut roots = RootCertStore::empty();
        let found = BUNDLES.iter().find_map(|path| CertificateDer::pem_file_iter(path).ok());
        for certificate in found.into_iter().flatten().flatten() {
            // One that cannot be read is one authority less.
            let _ = roots.add(certificate);
        }
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { tls: Arc::new(tls), any_address: false }
    }

    /// One that asks any address: tests serve on loopback.
    #[cfg(test)]
    pub(super) fn anywhere() -> Self {
        Self { any_address: true, ..Self::new() }
    }

    /// The same, trusting `root` alone.
    #[cfg(test)]
    pub(crate) fn trusting(root: CertificateDer<'static>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { tls: Arc::new(tls), any_address: true }
    }

    /// Fetches the set of `source`.
    pub(super) async fn fetch(&self, source: &KeySource) -> Result<Answer, String> {
        match source {
            KeySource::Inline(keys) => Ok(Answer { text: keys.clone(), max_age: None }),
            KeySource::Address(address) => self.get(address).await.map_err(|e| format!("{address}: {e}")),
            KeySource::Discovered(issuer) => {
                let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let found = self.get(&address).await.map_err(|e| format!("{address}: {e}"))?;
                let keys = keys_address(&address, &found.text).map_err(|e| format!("{address}: {e}"))?;
                self.get(&keys).await.map_err(|e| format!("{keys}: {e}"))
            }
        }
    }

    /// Fetches a text over HTTPS.
    pub(crate) async fn secure(&self, address: &str) -> Result<Answer, String> {
        if !is_https(address) {
            return Err("is not https".to_owned());
        }
        self.get(address).await
    }

    async fn get(&self, address: &str) -> Result<Answer, String> {
        let mut address = address.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let uri: Uri = address.parse().map_err(|e| format!("is no address: {e}"))?;
            match self.once(&uri).await? {
                Ok(answer) => return Ok(answer),
                Err(location) => address = redirected(&uri, &location)?,
            }
        }
        Err(format!("more than {MAX_REDIRECTS} redirects"))
    }

    /// One exchange: the answer, or where it sends us.
    async fn once(&self, uri: &Uri) -> Result<Result<Answer, String>, String> {
        let host = uri.host().ok_or("names no host")?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("is neither http nor https".to_owned()),
        };
        let stream = self.connect(host, uri.port_u16().unwrap_or(if secure { 443 } else { 80 })).await?;
        if secure {
            let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(bare).map_err(|e| e.to_string())?;
            let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
            exchange(TokioIo::new(tls.map_err(|e| format!("TLS: {e}"))?), uri).await
        } else {
            exchange(TokioIo::new(stream), uri).await
        }
    }

    /// Connects to one of the host's addresses that may be asked: the one that was looked at, whatever the name means next.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((bare, port)).await.map_err(|e| e.to_string())?;
        let found: Vec<SocketAddr> = found.collect();
        let usable = found.iter().filter(|a| self.any_address || !is_nearby(a.ip()));
        let mut why = format!("no address of {host} may be asked: {found:?}");
        for address in usable {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => why = format!("{address}: {error}"),
            }
        }
        Err(why)
    }
}

async fn exchange<I>(io: I, uri: &Uri) -> Result<Result<Answer, String>, String>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let text = |e: hyper::Error| e.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(text)?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let authority = uri.authority().map(|a| a.as_str().rsplit('@').next().unwrap_or_default().to_owned());
    let request = Request::get(uri.path_and_query().map_or("/", |p| p.as_str()))
        .header(header::HOST, authority.unwrap_or_default())
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "tulle")
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let (head, body) = sender.send_request(request).await.map_err(text)?.into_parts();
    let field = |name| head.headers.get(name).and_then(|v| v.to_str().ok());
    match head.status {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            let location =
                field(header::LOCATION).ok_or_else(|| format!("answers {status} without location"))?;
            return Ok(Err(location.to_owned()));
        }
        status => return Err(format!("answers {status}")),
    }
    let max_age = field(header::CACHE_CONTROL).and_then(max_age);
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|e| e.to_string())?;
    let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|_| "is no text".to_owned())?;
    Ok(Ok(Answer { text, max_age }))
}

fn is_https(address: &str) -> bool {
    address.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
}

/// Where an OpenID configuration, read over HTTPS or not, says that keys are: over HTTPS if it was itself.
fn keys_address(from: &str, text: &str) -> Result<String, String> {
    let found: serde_json::Value =
        serde_json::from_str(text).map_err(|e| format!("is no OpenID configuration: {e}"))?;
    let keys = found.get("jwks_uri").and_then(|v| v.as_str()).ok_or("names no jwks_uri")?;
    if is_https(from) && !is_https(keys) {
        return Err(format!("names {keys}, which is not https"));
    }
    Ok(keys.to_owned())
}

/// Where a redirect leads: never from one scheme to another.
fn redirected(from: &Uri, location: &str) -> Result<String, String> {
    let (scheme, authority) = (from.scheme_str().unwrap_or_default(), from.authority());
    if location.starts_with('/') && !location.starts_with("//") {
        return Ok(format!("{scheme}://{}{location}", authority.map_or("", |a| a.as_str())));
    }
    match location.split_once("://") {
        Some((other, _)) if other.eq_ignore_ascii_case(scheme) => Ok(location.to_owned()),
        _ => Err(format!("is redirected to {location}, which is not {scheme}")),
    }
}

fn max_age(value: &str) -> Option<Duration> {
    let seconds = value.split(',').find_map(|part| part.trim().strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
