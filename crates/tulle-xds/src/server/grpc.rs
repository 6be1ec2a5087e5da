//! `envoy.service.discovery.v3.AggregatedDiscoveryService` over a [`Hub`].

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec};
use tonic::{Status, Streaming};
use tonic_prost::{ProstDecoder, ProstEncoder};

use super::hub::{FromStream, Hub, Peer, Request, Shared};
use super::ids::{Protocol, StreamId};
use super::report::Response;
use crate::wire::{self, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};

/// Largest request that is read; default 4 MiB.
const MAX_REQUEST: usize = 4 << 20;

/// The gRPC service. Cheap to clone. The transport puts a [`Peer`] into each request's extensions.
#[derive(Clone)]
pub struct AdsService {
    shared: Arc<Shared>,
}

impl AdsService {
    /// Serves the resources of `hub`.
    pub fn new(hub: &Hub) -> Self {
        Self { shared: hub.shared.clone() }
    }

    /// Answers a request to one of the two methods; `UNIMPLEMENTED` for any other path.
    pub async fn call(&self, request: http::Request<Body>) -> http::Response<Body> {
        match request.uri().path() {
            wire::DELTA_PATH => {
                let method = Method::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>::new(&self.shared);
                server(SmallCodec::default()).streaming(method, request).await
            }
            wire::SOTW_PATH => {
                let method = Method::<DiscoveryRequest, DiscoveryResponse>::new(&self.shared);
                server(SmallCodec::default()).streaming(method, request).await
            }
            _ => Status::unimplemented("no such method").into_http(),
        }
    }
}

impl tower_service::Service<http::Request<Body>> for AdsService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(AdsService::call(&service, request).await) })
    }
}

fn server<C: Codec>(codec: C) -> tonic::server::Grpc<C> {
    tonic::server::Grpc::new(codec).max_decoding_message_size(MAX_REQUEST)
}

/// What the two variants have in common.
trait Variant: Message + Default + Send + 'static {
    type Reply: Message + Send + 'static;
    const PROTOCOL: Protocol;
    fn take_node(&mut self) -> Option<Bytes>;
    fn into_request(self) -> Request;
    fn reply(response: Response) -> Result<Self::Reply, Status>;
}

impl Variant for DeltaDiscoveryRequest {
    type Reply = DeltaDiscoveryResponse;
    const PROTOCOL: Protocol = Protocol::Delta;

    fn take_node(&mut self) -> Option<Bytes> {
        self.node.take()
    }

    fn into_request(self) -> Request {
        Request::Delta(self)
    }

    fn reply(response: Response) -> Result<Self::Reply, Status> {
        match response {
            Response::Delta(reply) => Ok(reply),
            Response::StateOfTheWorld(_) => Err(Status::internal("the stream was opened as another variant")),
        }
    }
}

impl Variant for DiscoveryRequest {
    type Reply = DiscoveryResponse;
    const PROTOCOL: Protocol = Protocol::StateOfTheWorld;

    fn take_node(&mut self) -> Option<Bytes> {
        self.node.take()
    }

    fn into_request(self) -> Request {
        Request::StateOfTheWorld(self)
    }

    fn reply(response: Response) -> Result<Self::Reply, Status> {
        match response {
            Response::StateOfTheWorld(reply) => Ok(reply),
            Response::Delta(_) => Err(Status::internal("the stream was opened as another variant")),
        }
    }
}

struct Method<In, Out> {
    shared: Arc<Shared>,
    types: PhantomData<fn(In) -> Out>,
}

impl<In, Out> Method<In, Out> {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), types: PhantomData }
    }
}

impl<In: Variant> tonic::server::StreamingService<In> for Method<In, In::Reply> {
    type Response = In::Reply;
    type ResponseStream = Replies<In>;
    type Future = std::future::Ready<Result<tonic::Response<Replies<In>>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<In>>) -> Self::Future {
        let opened = Slot::take(&self.shared).map(|slot| {
            let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
            let (outbox, receiver) = mpsc::channel(self.shared.outbox);
            let id = StreamId(self.shared.next_stream.fetch_add(1, Ordering::Relaxed));
            tokio::spawn(read(slot, id, peer, request.into_inner(), outbox));
            tonic::Response::new(Replies { receiver, variant: PhantomData })
        });
        std::future::ready(opened)
    }
}

/// Reads requests until the client or the hub has had enough.
async fn read<In: Variant>(
    slot: Slot,
    stream: StreamId,
    peer: Peer,
    mut requests: Streaming<In>,
    outbox: mpsc::Sender<Result<Response, Status>>,
) {
    let first = tokio::select! {
        first = requests.message() => first,
        () = outbox.closed() => return,
    };
    let Ok(Some(mut first)) = first else { return };
    let Some(node) = first.take_node() else {
        // The client is gone if this cannot be said.
        let _ =
            outbox.try_send(Err(Status::invalid_argument("the first request of a stream must carry a node")));
        return;
    };
    let hub = &slot.shared.to_hub;
    let gone = outbox.clone();
    let open = FromStream::Open { stream, node, peer, protocol: In::PROTOCOL, outbox };
    if hub.send(open).await.is_err() {
        return;
    }
    let mut next = Some(first);
    while let Some(message) = next.take() {
        if hub.send(FromStream::Request { stream, request: message.into_request() }).await.is_err() {
            return;
        }
        next = tokio::select! {
            message = requests.message() => message.unwrap_or_default(),
            () = gone.closed() => None,
        };
    }
    // Nothing is left to tell if the hub has ended.
    let _ = hub.send(FromStream::Closed { stream }).await;
}

/// One of the streams that may be open at a time.
struct Slot {
    shared: Arc<Shared>,
}

impl Slot {
    fn take(shared: &Arc<Shared>) -> Result<Self, Status> {
        let slot = Self { shared: shared.clone() };
        if shared.streams.fetch_add(1, Ordering::Relaxed) >= shared.max_streams {
            return Err(Status::resource_exhausted("too many streams; try another instance"));
        }
        Ok(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The responses of one stream.
struct Replies<In> {
    receiver: mpsc::Receiver<Result<Response, Status>>,
    variant: PhantomData<fn() -> In>,
}

impl<In: Variant> Stream for Replies<In> {
    type Item = Result<In::Reply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx).map(|next| next.map(|response| response.and_then(In::reply)))
    }
}

/// The prost codec with buffers that suit thousands of streams which are mostly silent.
struct SmallCodec<In, Out> {
    types: PhantomData<fn(In) -> Out>,
}

impl<In, Out> Default for SmallCodec<In, Out> {
    fn default() -> Self {
        Self { types: PhantomData }
    }
}

impl<In: Message + Default + Send + 'static, Out: Message + Send + 'static> Codec for SmallCodec<In, Out> {
    type Encode = Out;
    type Decode = In;
    type Encoder = ProstEncoder<Out>;
    type Decoder = ProstDecoder<In>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(512, 32 << 10))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(512, 32 << 10))
    }
}
