//! The SPIFFE Workload API (X.509 profile): the certificate, and what to trust, as streams that go on with every change.

use std::collections::HashMap;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tulle_identity::{Svid, TrustBundle};
use tulle_telemetry::audit::{Entry, Event};

use super::Identity;

/// What paths of its methods begin with: the service has no package.
pub(super) const SERVICE: &str = "/SpiffeWorkloadAPI/";
/// Says that a request was not sent by somebody who was led to do so (SPIFFE Workload Endpoint, section 3).
const HEADER: &str = "workload.spiffe.io";
/// Largest request that is read: they are empty.
const MAX_REQUEST: usize = 4 << 10;

/// `X509SVIDRequest`, `X509BundlesRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Empty {}

/// `X509SVIDResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SvidResponse {
    /// Identities, the default one first.
    #[prost(message, repeated, tag = "1")]
    pub svids: Vec<SvidMessage>,
    /// Bundles of other trust domains, by their SPIFFE id.
    #[prost(map = "string, bytes", tag = "3")]
    pub federated_bundles: HashMap<String, Vec<u8>>,
}

/// `X509SVID`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SvidMessage {
    /// The SPIFFE id.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// Certificates, leaf first, DER one after the other.
    #[prost(bytes = "vec", tag = "2")]
    pub x509_svid: Vec<u8>,
    /// The key, PKCS #8 in DER.
    #[prost(bytes = "vec", tag = "3")]
    pub x509_svid_key: Vec<u8>,
    /// Roots of its trust domain, DER one after the other.
    #[prost(bytes = "vec", tag = "4")]
    pub bundle: Vec<u8>,
}

/// `X509BundlesResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BundlesResponse {
    /// Roots by the SPIFFE id of their trust domain.
    #[prost(map = "string, bytes", tag = "2")]
    pub bundles: HashMap<String, Vec<u8>>,
}

pub(super) async fn answer(
    method: &str,
    request: http::Request<Body>,
    who: &str,
    identity: &Identity,
) -> http::Response<Body> {
    let asked = request.headers().get(HEADER).is_some_and(|v| v.as_bytes() == b"true");
    if !asked {
        let reason = "security header missing from request: send workload.spiffe.io: true";
        identity.audit.record(Entry::new(Event::IdentityServed, who, method).refused(reason));
        return Status::invalid_argument(reason).into_http();
    }
    match method {
        "FetchX509SVID" => {
            (identity.begin)();
            identity.audit.record(Entry::new(Event::IdentityServed, who, method));
            grpc::<SvidResponse>().server_streaming(Svids(identity.clone()), request).await
        }
        "FetchX509Bundles" => {
            (identity.begin)();
            grpc::<BundlesResponse>().server_streaming(Bundles(identity.clone()), request).await
        }
        _ => Status::unimplemented("only the X.509 profile is served").into_http(),
    }
}

fn grpc<R: prost::Message + 'static>() -> Grpc<ProstCodec<R, Empty>> {
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_REQUEST)
}

type Stream1<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct Svids(Identity);

impl ServerStreamingService<Empty> for Svids {
    type Response = SvidResponse;
    type ResponseStream = Stream1<SvidResponse>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<Empty>) -> Self::Future {
        let identity = self.0.clone();
        ready(Ok(Response::new(stream(identity, |identity| {
            let (svid, bundle) = (identity.svid.get()?, identity.bundle.get()?);
            Some(svid_response(&svid, &bundle))
        }))))
    }
}

struct Bundles(Identity);

impl ServerStreamingService<Empty> for Bundles {
    type Response = BundlesResponse;
    type ResponseStream = Stream1<BundlesResponse>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<Empty>) -> Self::Future {
        let identity = self.0.clone();
        ready(Ok(Response::new(stream(identity, |identity| {
            let bundle = identity.bundle.get()?;
            Some(BundlesResponse { bundles: bundles(&bundle).collect() })
        }))))
    }
}

/// What `make` makes, now and whenever it is another, until the reader is gone.
fn stream<T, F>(identity: Identity, make: F) -> Stream1<T>
where
    T: PartialEq + Clone + Send + Sync + 'static,
    F: Fn(&Identity) -> Option<T> + Send + Sync + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
        let mut last: Option<T> = None;
        loop {
            // Seen before it is read: what changes in between is read again.
            let (svids, bundles) = (identity.svid.version(), identity.bundle.version());
            let next = make(&identity);
            if next.is_some() && next != last {
                last = next.clone();
                if let Some(next) = next
                    && sender.send(Ok(next)).await.is_err()
                {
                    return;
                }
            }
            tokio::select! {
                _ = identity.svid.changed_since(svids) => {}
                _ = identity.bundle.changed_since(bundles) => {}
                () = sender.closed() => return,
            }
        }
    });
    tokio::spawn(work);
    Box::pin(ReceiverStream::new(receiver))
}

fn svid_response(svid: &Arc<Svid>, bundle: &Arc<TrustBundle>) -> SvidResponse {
    let mut all = bundle.by_domain();
    let own = all.next().map(|(_, roots)| joined(roots)).unwrap_or_default();
    let svid = SvidMessage {
        spiffe_id: svid.id.clone(),
        x509_svid: joined(&svid.chain),
        x509_svid_key: svid.key.to_vec(),
        bundle: own,
    };
    // Aliases of the own trust domain have its roots.
    let own = svid.spiffe_id.strip_prefix("spiffe://").and_then(|rest| rest.split('/').next());
    let own = own.map(|domain| format!("spiffe://{domain}"));
    let federated_bundles = bundles(bundle).filter(|(id, _)| Some(id) != own.as_ref()).collect();
    SvidResponse { svids: vec![svid], federated_bundles }
}

fn bundles(bundle: &TrustBundle) -> impl Iterator<Item = (String, Vec<u8>)> {
    bundle.by_domain().flat_map(|(domains, roots)| {
        domains.iter().map(move |domain| (format!("spiffe://{domain}"), joined(roots)))
    })
}

fn joined<T: AsRef<[u8]>>(all: &[T]) -> Vec<u8> {
    all.iter().flat_map(|der| der.as_ref()).copied().collect()
}
