//! Streams that a client sends on the connection of its xDS stream, beside it.

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Messages that may wait until they are sent.
const WAITING: usize = 4;

/// The connection of a client, as long as it has one.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: watch::Receiver<Option<Channel>>,
}

impl Connection {
    pub(super) fn new(channel: watch::Receiver<Option<Channel>>) -> Self {
        Self { channel }
    }

    /// Waits for the client to be connected, then calls the method `path` and sends the encoded messages that come through
    /// `messages`, until there are no more, the server has had enough, or the connection is lost. `None` when the client is gone.
    ///
    /// # Errors
    /// What the server answered, or why the call failed.
    pub async fn upload(
        &mut self,
        path: &'static str,
        messages: mpsc::Receiver<Bytes>,
    ) -> Option<Result<(), Status>> {
        let channel = self.channel.wait_for(Option::is_some).await.ok()?.clone()?;
        let mut grpc = tonic::client::Grpc::new(channel);
        if let Err(error) = grpc.ready().await {
            return Some(Err(Status::unavailable(error.to_string())));
        }
        let request = Request::new(ReceiverStream::new(messages));
        let answered = grpc.client_streaming(request, PathAndQuery::from_static(path), Raw).await;
        Some(answered.map(drop))
    }

    /// A channel for [`Connection::upload`]: few messages wait, so that whoever makes them notices that nobody takes them.
    pub fn queue() -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
        mpsc::channel(WAITING)
    }
}

/// Messages that are encoded already; answers that nobody reads.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}
