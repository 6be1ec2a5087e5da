//! Identity from somebody else's SDS server on a unix socket, such as SPIRE's agent, in place of our CA.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic_prost::ProstCodec;
use tulle_base::backoff::Backoff;
use tulle_engine::compile;
use tulle_engine::runtime::tls::{CertificatePem, DataRef, RootSource, Secret, Validation};
use tulle_identity::rotate::RotationStatus;
use tulle_identity::secrets::{MESH_ROOTS, OWN_CERTIFICATE};
use tulle_identity::{Certificate, TrustBundle, TrustSource, Watched, material};
use tulle_proto::Message as _;
use tulle_proto::{envoy, type_url};
use tulle_xds::client::{channel, connector};
use tulle_xds::wire::{Any, DiscoveryRequest, DiscoveryResponse, Status};

/// gRPC path of the state-of-the-world variant, which every server has.
const PATH: &str = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Takes identity from a socket.
#[derive(Debug)]
pub struct External {
    /// The socket.
    pub socket: PathBuf,
    /// The encoded xDS node, by which servers know proxies of one machine apart.
    pub node: Bytes,
    /// Trust domain of the mesh and of the identity.
    pub trust_domain: String,
    /// Where the certificate goes.
    pub certificate: Watched<Certificate>,
    /// Where the roots go.
    pub bundle: TrustSource,
    /// Where the status goes.
    pub status: Watched<RotationStatus>,
}

impl External {
    /// Runs until it is dropped: what came last stays in force while the server is away.
    pub async fn run(self) {
        let mut status = RotationStatus::default();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        loop {
            let reason = match self.session(&mut status).await {
                Ok(()) => "the server closed the stream".to_owned(),
                Err(reason) => reason,
            };
            if status.last_error.is_none() && status.certificate.is_some() {
                backoff.reset();
            }
            status.failures += 1;
            status.last_error = Some(reason.clone());
            self.status.set(Arc::new(status.clone()));
            let wait = backoff.next(fastrand::f64()).max(Duration::from_millis(50));
            tracing::warn!(socket = %self.socket.display(), reason, wait_ms = wait.as_millis(), "no identity from the SDS server");
            tokio::time::sleep(wait).await;
        }
    }

    async fn session(&self, status: &mut RotationStatus) -> Result<(), String> {
        let path = self.socket.clone();
        let connector = connector(move || UnixStream::connect(path.clone()));
        let channel = channel("localhost", CONNECT, connector).await.map_err(|e| describe(&e))?;
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.map_err(|e| describe(&e))?;
        let (requests, receiver) = mpsc::channel(4);
        let request = |version: &str, nonce: &str, refused: Option<String>| DiscoveryRequest {
            version_info: version.to_owned(),
            node: Some(self.node.clone()),
            resource_names: vec![OWN_CERTIFICATE.to_owned(), MESH_ROOTS.to_owned()],
            type_url: type_url::SECRET.to_owned(),
            response_nonce: nonce.to_owned(),
            error_detail: refused.map(|message| Status { code: 3, message, ..Status::default() }),
        };
        let gone = |_| "the stream ended".to_owned();
        requests.send(request("", "", None)).await.map_err(gone)?;
        let codec: ProstCodec<DiscoveryRequest, DiscoveryResponse> = ProstCodec::default();
        let stream = Request::new(ReceiverStream::new(receiver));
        let answers = grpc.streaming(stream, PathAndQuery::from_static(PATH), codec).await;
        let mut answers = answers.map_err(|e| format!("{:?}: {}", e.code(), e.message()))?.into_inner();
        let mut accepted = String::new();
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(|e| format!("{:?}: {}", e.code(), e.message()))?;
            let taken = answer.resources.iter().try_for_each(|resource| self.take(resource, status));
            let refused = taken.err();
            if let Some(problem) = &refused {
                tracing::warn!(problem, "identity of the SDS server was refused; what was in force stays");
                status.failures += 1;
            } else {
                accepted.clone_from(&answer.version_info);
            }
            status.last_error.clone_from(&refused);
            self.status.set(Arc::new(status.clone()));
            requests.send(request(&accepted, &answer.nonce, refused)).await.map_err(gone)?;
        }
        Ok(())
    }

    /// Puts one secret in force.
    fn take(&self, resource: &Bytes, status: &mut RotationStatus) -> Result<(), String> {
        let any =
            <Any as prost::Message>::decode(resource.clone()).map_err(|e| format!("does not decode: {e}"))?;
        let message =
            envoy::tls::Secret::from_wire(&any.value).map_err(|e| format!("does not decode: {e}"))?;
        let name = message.name.clone();
        let (secret, _) = compile::secret(&message).map_err(|e| format!("{name}: {:?}", e.problems))?;
        let wrong = |e: &dyn std::fmt::Display| format!("{name}: {e}");
        match &*secret {
            Secret::Certificate(pem) if name == OWN_CERTIFICATE => {
                let CertificatePem { chain, key } = &**pem;
                let (chain, key) = (read(chain).map_err(|e| wrong(&e))?, read(key).map_err(|e| wrong(&e))?);
                let certificate = Certificate::from_pem(&chain, &key).map_err(|e| wrong(&e))?;
                let prefix = format!("spiffe://{}/", self.trust_domain);
                let info = certificate.info().clone();
                match &info.uri_sans[..] {
                    [id] if id.starts_with(&prefix) => {}
                    other => {
                        return Err(format!(
                            "{name}: {other:?} is no identity of trust domain {}",
                            self.trust_domain
                        ));
                    }
                }
                tracing::info!(
                    serial = info.serial,
                    id = info.uri_sans[0],
                    "identity of the SDS server in force"
                );
                status.issued += 1;
                status.certificate = Some(info);
                self.certificate.set(Arc::new(certificate));
            }
            Secret::Validation(Validation::Chain(chain)) if name == MESH_ROOTS => {
                let RootSource::Inline(data) = &chain.roots else {
                    return Err(wrong(&"roots in it, or the name of a file, are needed"));
                };
                let roots = read(data).map_err(|e| wrong(&e))?;
                let bundle = TrustBundle::from_pem(&roots).map_err(|e| wrong(&e))?;
                self.bundle.set(Arc::new(bundle.for_trust_domain(self.trust_domain.clone())));
            }
            _ => return Err(wrong(&"is not what was asked for")),
        }
        Ok(())
    }
}

fn read(data: &DataRef) -> Result<Vec<u8>, tulle_identity::MaterialError> {
    match data {
        DataRef::Inline(bytes) => Ok(bytes.to_vec()),
        DataRef::File(path) => material::read_file(std::path::Path::new(&**path)),
    }
}

/// An error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
