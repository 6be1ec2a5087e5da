//! One connection's bytes, in the clear or through TLS.

use std::{
    future::Future as _,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use tulle_identity::PeerIdentity;

use super::{
    buffer::{Buffer, LARGE, MEDIUM},
    connect,
    outbox::Outbox,
};

/// A TCP connection whose first bytes have been looked at already and are read again by whoever comes next.
#[derive(Debug)]
pub(crate) struct Tcp {
    socket: TcpStream,
    /// What sniffing read, until it has been read again.
    seen: Buffer,
}

impl Tcp {
    /// A connection of which nothing has been read.
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, seen: Buffer::new() }
    }

    /// The socket itself, for its addresses and options.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The socket, without what was read ahead.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// The bytes that were read ahead.
    pub(crate) fn seen(&self) -> &[u8] {
        self.seen.data()
    }

    /// Consumes the first `count` of the bytes that were read ahead.
    pub(crate) fn skip(&mut self, count: usize) {
        self.seen.consume(count);
        self.seen.release_if_empty();
    }

    /// Reads more of the connection's beginning without consuming it. `Ok(0)` is the peer's end of stream.
    pub(crate) fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_into(Pin::new(&mut self.socket), cx, &mut self.seen)
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.seen.is_empty() {
            let count = self.seen.len().min(buf.remaining());
            buf.put_slice(&self.seen.data()[..count]);
            self.seen.consume(count);
            self.seen.release_if_empty();
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A connection ready for its protocol.
#[derive(Debug)]
pub(crate) enum Stream {
    /// In the clear.
    Plain(Tcp),
    /// TLS, we are the server.
    TlsServer(Box<tokio_rustls::server::TlsStream<Tcp>>),
    /// TLS, we are the client.
    TlsClient(Box<tokio_rustls::client::TlsStream<Tcp>>),
}

impl Stream {
    /// The connection below.
    pub(crate) fn tcp(&self) -> &Tcp {
        match self {
            Self::Plain(tcp) => tcp,
            Self::TlsServer(tls) => tls.get_ref().0,
            Self::TlsClient(tls) => tls.get_ref().0,
        }
    }

    /// What was read ahead; nothing under TLS.
    pub(crate) fn seen(&self) -> &[u8] {
        match self {
            Self::Plain(tcp) => tcp.seen(),
            Self::TlsServer(_) | Self::TlsClient(_) => &[],
        }
    }

    /// Reads more of the beginning without consuming it; under TLS that is not done, and the beginning counts as ended.
    pub(crate) fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => tcp.poll_look(cx),
            Self::TlsServer(_) | Self::TlsClient(_) => Poll::Ready(Ok(0)),
        }
    }

    /// Reads once into `buffer`. `Ok(0)` is the end of the stream.
    ///
    /// A TLS peer that closes without saying so (no close_notify) counts as the end as well: HTTP frames its messages and
    /// notices truncation itself.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        let read = match self {
            Self::Plain(tcp) => poll_into(Pin::new(tcp), cx, buffer),
            Self::TlsServer(tls) => poll_into(Pin::new(&mut **tls), cx, buffer),
            Self::TlsClient(tls) => poll_into(Pin::new(&mut **tls), cx, buffer),
        };
        match read {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
            other => other,
        }
    }

    /// Writes once what the connection takes of `data`, which is not empty.
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Self::TlsServer(tls) => Pin::new(&mut **tls).poll_write(cx, data),
            Self::TlsClient(tls) => Pin::new(&mut **tls).poll_write(cx, data),
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            other => other,
        }
    }

    /// Reads once into `buffer`, with room for `size` bytes. `Ok(0)` is the end of the stream.
    pub(crate) fn poll_read_bytes(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        size: usize,
    ) -> Poll<io::Result<usize>> {
        if buffer.capacity() - buffer.len() < size / 2 {
            buffer.reserve(size);
        }
        let read = match self {
            Self::Plain(tcp) => pin!(tcp.read_buf(buffer)).poll(cx),
            Self::TlsServer(tls) => pin!(tls.read_buf(buffer)).poll(cx),
            Self::TlsClient(tls) => pin!(tls.read_buf(buffer)).poll(cx),
        };
        match read {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
            other => other,
        }
    }

    /// Writes once what the connection takes of `data`, in as few system calls as its pieces allow.
    pub(crate) fn poll_write_buf(
        &mut self,
        cx: &mut Context<'_>,
        data: &impl Buf,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [io::IoSlice::new(&[]); 32];
        let count = data.chunks_vectored(&mut slices);
        let slices = &slices[..count];
        let written = match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::TlsServer(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, slices),
            Self::TlsClient(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, slices),
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            other => other,
        }
    }

    /// Writes out what TLS has sealed and the socket did not take yet.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::TlsServer(tls) if tls.get_ref().1.wants_write() => Pin::new(&mut **tls).poll_flush(cx),
            Self::TlsClient(tls) if tls.get_ref().1.wants_write() => Pin::new(&mut **tls).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Writes `buffer` out. Ready when all of it is with the kernel.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<()>> {
        while !buffer.is_empty() {
            let count = ready!(self.poll_write(cx, buffer.data()))?;
            buffer.consume(count);
        }
        self.poll_flush(cx)
    }

    /// Writes `outbox` out. Ready when all of it is with the kernel.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        while !outbox.is_empty() {
            let count = ready!(self.poll_write(cx, outbox.data()))?;
            outbox.consume(count);
        }
        self.poll_flush(cx)
    }

    /// Says that nothing more will be written (close_notify, then FIN); reading goes on.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::TlsServer(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
            Self::TlsClient(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(self) {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::TlsServer(tls) => tls.into_inner().0,
            Self::TlsClient(tls) => tls.into_inner().0,
        };
        connect::reset_tcp(tcp);
    }

    /// The ALPN protocol that the handshake chose.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::TlsServer(tls) => tls.get_ref().1.alpn_protocol(),
            Self::TlsClient(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }

    /// The first URI name of the server's certificate, which the handshake has verified.
    pub(crate) fn peer_principal(&self) -> Option<Arc<str>> {
        let Self::TlsClient(tls) = self else { return None };
        let peer = PeerIdentity::read(tls.get_ref().1.peer_certificates()?).ok()??;
        peer.principal().cloned()
    }
}

impl From<Tcp> for Stream {
    fn from(tcp: Tcp) -> Self {
        Self::Plain(tcp)
    }
}

/// One read, sized by what the reads before it brought: a read that fills the room lets the next one be larger.
fn poll_into<S: AsyncRead>(
    io: Pin<&mut S>,
    cx: &mut Context<'_>,
    buffer: &mut Buffer,
) -> Poll<io::Result<usize>> {
    let room = buffer.room();
    let size = room.len();
    let mut target = ReadBuf::new(room);
    match io.poll_read(cx, &mut target) {
        Poll::Ready(Ok(())) => {
            let count = target.filled().len();
            buffer.filled(count);
            if count == size && count > 0 {
                let next = if buffer.capacity() < MEDIUM { MEDIUM } else { LARGE };
                buffer.enlarge(next);
            }
            Poll::Ready(Ok(count))
        }
        Poll::Ready(Err(error)) => {
            buffer.release_if_empty();
            Poll::Ready(Err(error))
        }
        Poll::Pending => {
            buffer.release_if_empty();
            Poll::Pending
        }
    }
}
