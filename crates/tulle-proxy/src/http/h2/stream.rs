//! One stream of a connection, as its task holds it.

use std::{
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use tulle_http::{
    HeaderList, RequestHead, ResponseHead,
    h2::{ErrorCode, StreamId},
};

use super::{H2, Inbound, Lost, SPARE};

/// One stream, as its task holds it. Dropping it before both sides have ended resets it.
#[derive(Debug)]
pub(crate) struct H2Stream {
    conn: Rc<H2>,
    /// `None` until the request has been sent, or if it could not be.
    id: Option<StreamId>,
    /// The piece of body under way.
    piece: Bytes,
    trailers: HeaderList,
    /// Our side has ended.
    ended: bool,
    /// The peer's side has ended and all of it was taken.
    read_all: bool,
    /// Bytes of heads and bodies received and sent.
    pub(crate) bytes: (u64, u64),
}

impl H2Stream {
    /// Server: the stream of a request.
    pub(crate) fn accepted(conn: Rc<H2>, id: StreamId) -> Self {
        let mut stream = Self::to_open(conn);
        stream.id = Some(id);
        stream
    }

    /// Client: a stream that begins with the request.
    pub(crate) fn to_open(conn: Rc<H2>) -> Self {
        Self {
            conn,
            id: None,
            piece: Bytes::new(),
            trailers: HeaderList::new(),
            ended: false,
            read_all: false,
            bytes: (0, 0),
        }
    }

    fn inbound<R>(&self, f: impl FnOnce(&mut Inbound) -> R) -> Option<R> {
        let id = self.id?.get();
        self.conn.inner.borrow_mut().streams.get_mut(&id).map(f)
    }

    /// Client: opens the stream. Where that fails, reading reports a refusal.
    pub(crate) fn write_request(&mut self, head: &RequestHead, end: bool) {
        self.conn.ask_if_silent();
        let mut inner = self.conn.inner.borrow_mut();
        if inner.dead {
            return;
        }
        if let Ok(id) = inner.codec.send_request(head, end) {
            inner.streams.insert(id.get(), Inbound::default());
            self.id = Some(id);
            self.ended = end;
            self.bytes.1 += head.headers.size(4) as u64;
        }
        drop(inner);
        self.conn.wake_driver();
    }

    /// Client: the next response head, and whether nothing follows it.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<bool, Lost>> {
        let Some(id) = self.id else {
            let lost = if self.conn.inner.borrow().dead { Lost::Closed } else { Lost::GoneAway };
            return Poll::Ready(Err(lost));
        };
        let mut guard = self.conn.inner.borrow_mut();
        let inner = &mut *guard;
        let Some(stream) = inner.streams.get_mut(&id.get()) else {
            return Poll::Ready(Err(Lost::Closed));
        };
        if let Some((mut next, end)) = stream.heads.pop_front() {
            std::mem::swap(head, &mut next);
            self.bytes.0 += head.headers.size(4) as u64;
            if inner.spare.len() < SPARE {
                next.clear();
                inner.spare.push(next);
            }
            return Poll::Ready(Ok(end));
        }
        if let Some(lost) = stream.lost {
            return Poll::Ready(Err(lost));
        }
        if inner.dead {
            return Poll::Ready(Err(Lost::Closed));
        }
        register(&mut stream.waker, cx);
        Poll::Pending
    }

    /// Server: answers, or sends an informational head; those are left out for a client that does not read.
    pub(crate) fn write_response(&mut self, head: &ResponseHead, end: bool) {
        let Some(id) = self.id else { return };
        if head.is_informational() && self.conn.inner.borrow().codec.is_congested() {
            return;
        }
        self.bytes.1 += head.headers.size(4) as u64;
        // A stream that the client has reset is told by reading.
        let _ = self.conn.inner.borrow_mut().codec.send_response(id, head, end);
        self.ended |= end && !head.is_informational();
        self.conn.wake_driver();
    }

    /// Reads on: `Ok(true)` when bytes wait, `Ok(false)` at the end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Lost>> {
        if !self.piece.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if self.read_all {
            return Poll::Ready(Ok(false));
        }
        let Some(id) = self.id else { return Poll::Ready(Err(Lost::Closed)) };
        let mut inner = self.conn.inner.borrow_mut();
        let dead = inner.dead;
        let Some(stream) = inner.streams.get_mut(&id.get()) else {
            return Poll::Ready(Err(Lost::Closed));
        };
        if let Some(piece) = stream.data.pop_front() {
            self.piece = piece;
            return Poll::Ready(Ok(true));
        }
        if stream.end {
            std::mem::swap(&mut self.trailers, &mut stream.trailers);
            self.read_all = true;
            return Poll::Ready(Ok(false));
        }
        if let Some(lost) = stream.lost {
            return Poll::Ready(Err(lost));
        }
        if dead {
            return Poll::Ready(Err(Lost::Closed));
        }
        register(&mut stream.waker, cx);
        Poll::Pending
    }

    /// The piece of body that waits.
    pub(crate) fn data(&self) -> &[u8] {
        &self.piece
    }

    /// Drops the first `count` bytes of it and lets the peer send as many more.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.piece.len());
        self.piece.advance(count);
        self.bytes.0 += count as u64;
        if let Some(id) = self.id {
            let mut inner = self.conn.inner.borrow_mut();
            inner.codec.release_capacity(id, count);
            let waits = !inner.codec.output().is_empty();
            drop(inner);
            if waits {
                self.conn.wake_driver();
            }
        }
    }

    /// The trailers behind the body.
    pub(crate) fn trailers(&self) -> &HeaderList {
        &self.trailers
    }

    /// How much may be written now; waits until it is at least one byte.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(id) = self.id else { return Poll::Pending };
        if self.ended {
            // Our side has ended with its head: what is still read of the message is nobody's, up to its end.
            return Poll::Ready(usize::MAX);
        }
        match self.conn.inner.borrow().codec.capacity(id) {
            0 => {}
            room => return Poll::Ready(room),
        }
        // A stream that is over takes everything and does nothing with it: reading tells that it was lost.
        let over = self.inbound(|s| s.lost.is_some()).unwrap_or(true);
        if over {
            return Poll::Pending;
        }
        self.inbound(|s| register(&mut s.waker, cx));
        Poll::Pending
    }

    /// Writes a piece of body.
    pub(crate) fn write_data(&mut self, data: &[u8]) {
        let Some(id) = self.id else { return };
        // A stream that is over is told by reading.
        let _ = self.conn.inner.borrow_mut().codec.send_slice(id, data, false);
        self.bytes.1 += data.len() as u64;
        self.conn.wake_driver();
    }

    /// Ends our side.
    pub(crate) fn write_end(&mut self, trailers: &HeaderList) {
        let Some(id) = self.id.filter(|_| !self.ended) else { return };
        self.ended = true;
        let mut inner = self.conn.inner.borrow_mut();
        // A stream that is over is told by reading.
        let _ = if trailers.is_empty() {
            inner.codec.send_slice(id, &[], true).map(drop)
        } else {
            inner.codec.send_trailers(id, trailers)
        };
        drop(inner);
        self.conn.wake_driver();
    }

    /// Ready when the stream is lost.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lost = self.inbound(|s| {
            if s.lost.is_some() {
                return true;
            }
            register(&mut s.waker, cx);
            false
        });
        if lost.unwrap_or(true) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether the request of the peer has ended.
    pub(crate) fn reset(&mut self, code: ErrorCode) {
        let Some(id) = self.id else { return };
        self.conn.inner.borrow_mut().codec.reset(id, code);
        self.ended = true;
        self.conn.wake_driver();
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut inner = self.conn.inner.borrow_mut();
        let known = inner.streams.remove(&id.get());
        let done = self.ended && (self.read_all || known.is_some_and(|s| s.end));
        if !done {
            let code = if self.ended { ErrorCode::NO_ERROR } else { ErrorCode::CANCEL };
            inner.codec.reset(id, code);
        }
        let waits = !inner.codec.output().is_empty();
        drop(inner);
        if waits || self.conn.leaving.get() {
            self.conn.wake_driver();
        }
    }
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}
