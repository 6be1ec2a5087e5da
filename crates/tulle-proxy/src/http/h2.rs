//! One HTTP/2 connection, either end, shared by its streams on one worker.
//!
//! The connection belongs to a *driver* task that owns the socket: it reads, hands events to streams and wakes them; streams write
//! frames into the codec and wake the driver, which flushes once for all that ran in the same turn. No lock, no channel: a
//! `RefCell` that is borrowed only between awaits.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    io,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use foldhash::fast::RandomState;
use tulle_http::{
    HeaderList, RequestHead, ResponseHead,
    h2::{Config, ConnError, Connection, ErrorCode, Event, Refusal, Role, StreamId},
};

use crate::net::stream::Stream;

/// Sizes of the read buffer: the first, and the one that bulk transfer grows to.
const READ: (usize, usize) = (16 * 1024, 128 * 1024);
/// How many response heads are kept for reuse.
const SPARE: usize = 64;

/// An HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct H2 {
    inner: RefCell<Inner>,
    /// The connection is to be closed once no stream is open.
    pub(crate) leaving: Cell<bool>,
}

#[derive(Debug)]
struct Inner {
    codec: Connection,
    streams: HashMap<u32, Inbound, RandomState>,
    /// Wakes the driver; `None` while it is awake or already woken.
    driver: Option<Waker>,
    /// The socket is gone.
    dead: bool,
    spare: Vec<ResponseHead>,
}

/// What has come on a stream and waits for its task.
#[derive(Debug, Default)]
struct Inbound {
    /// Heads of responses (client), informational ones first.
    heads: VecDeque<(ResponseHead, bool)>,
    data: VecDeque<Bytes>,
    end: bool,
    trailers: HeaderList,
    lost: Option<Lost>,
    waker: Option<Waker>,
}

/// How a stream was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The peer reset it.
    Reset {
        /// The peer has not begun to work on it.
        unprocessed: bool,
    },
    /// What came on it was malformed.
    Malformed,
    /// The connection ended.
    Closed,
}

/// What the driver tells of a connection's own affairs.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Server: a request began.
    Request {
        /// Its stream.
        stream: StreamId,
        /// Whether it is complete.
        end: bool,
    },
    /// Server: the codec refused a request and answered it.
    Refused(Refusal),
}

impl H2 {
    /// A connection whose first frames wait to be written.
    pub(crate) fn new(role: Role, config: Config) -> Rc<Self> {
        Rc::new(Self {
            inner: RefCell::new(Inner {
                codec: Connection::new(role, config),
                streams: HashMap::default(),
                driver: None,
                dead: false,
                spare: Vec::new(),
            }),
            leaving: Cell::new(false),
        })
    }

    /// How many more requests may be sent now.
    pub(crate) fn capacity(&self) -> usize {
        let inner = self.inner.borrow();
        if inner.dead || self.leaving.get() { 0 } else { inner.codec.capacity_for_streams() }
    }

    /// Streams that are open.
    pub(crate) fn open_streams(&self) -> usize {
        self.inner.borrow().codec.open_streams()
    }

    /// Lets open streams finish and closes the connection then.
    pub(crate) fn leave(&self) {
        if !self.leaving.replace(true) {
            self.inner.borrow_mut().codec.shut_down();
        }
        self.wake_driver();
    }

    /// Takes the head of the request that was noticed last.
    pub(crate) fn take_request(&self, head: &mut RequestHead) {
        self.inner.borrow_mut().codec.take_request(head);
    }

    /// Something was written: the driver flushes at the end of the turn.
    fn wake_driver(&self) {
        let waker = self.inner.borrow_mut().driver.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// One turn of the driver: reads what is there, tells `notice` of the connection's own affairs, wakes streams, writes
    /// what waits. Ready when the connection is over.
    pub(crate) fn poll_drive(
        &self,
        cx: &mut Context<'_>,
        io: &mut Io,
        notice: &mut dyn FnMut(Notice),
    ) -> Poll<Result<(), DriveError>> {
        let read = self.poll_receive(cx, io, notice);
        let written = self.poll_write(cx, io);
        let mut inner = self.inner.borrow_mut();
        inner.driver = Some(cx.waker().clone());
        if let Poll::Ready(Err(error)) = read {
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(Err(error)) = written {
            return Poll::Ready(Err(DriveError::Io(error)));
        }
        let idle = inner.codec.open_streams() == 0;
        let flushed = written.is_ready();
        if read.is_ready() && flushed {
            return Poll::Ready(Ok(()));
        }
        if flushed && inner.codec.is_done() {
            return Poll::Ready(Ok(()));
        }
        if idle && flushed {
            inner.codec.shrink();
            io.rest();
        }
        Poll::Pending
    }

    /// Ready when the peer has ended its direction.
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        io: &mut Io,
        notice: &mut dyn FnMut(Notice),
    ) -> Poll<Result<(), DriveError>> {
        if io.eof {
            return Poll::Ready(Ok(()));
        }
        loop {
            loop {
                let event = self.inner.borrow_mut().codec.recv(&mut io.inbox);
                match event {
                    Ok(Some(event)) => {
                        let own = self.inner.borrow_mut().dispatch(event);
                        if let Some(own) = own {
                            notice(own);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return Poll::Ready(Err(DriveError::Protocol(error))),
                }
            }
            match ready!(io.stream.poll_read_bytes(cx, &mut io.inbox, io.size)) {
                Ok(0) => {
                    io.eof = true;
                    return Poll::Ready(Ok(()));
                }
                Ok(count) if count >= io.size => io.size = READ.1,
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(DriveError::Io(error))),
            }
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, io: &mut Io) -> Poll<io::Result<()>> {
        let mut inner = self.inner.borrow_mut();
        loop {
            inner.codec.flush();
            while let Some(stream) = inner.codec.take_writable() {
                inner.wake(stream.get());
            }
            let output = inner.codec.output();
            if output.is_empty() {
                return io.stream.poll_flush(cx);
            }
            let written = ready!(io.stream.poll_write_buf(cx, output))?;
            output.advance(written);
        }
    }

    /// Writes what is left, such as GOAWAY, and closes our direction.
    pub(crate) fn poll_last_words(&self, cx: &mut Context<'_>, io: &mut Io) -> Poll<()> {
        if ready!(self.poll_write(cx, io)).is_ok() {
            // A peer that is gone already needs no farewell.
            let _ = ready!(io.stream.poll_shutdown(cx));
        }
        Poll::Ready(())
    }

    /// The socket is gone: every stream learns it.
    pub(crate) fn die(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.dead = true;
        let mut wakers = Vec::new();
        for stream in inner.streams.values_mut() {
            if !(stream.end && stream.data.is_empty()) {
                stream.lost.get_or_insert(Lost::Closed);
            }
            wakers.extend(stream.waker.take());
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    /// Hands an event to its stream. What concerns the connection is returned.
    fn dispatch(&mut self, event: Event) -> Option<Notice> {
        match event {
            Event::Request { stream, end } => {
                self.streams.insert(stream.get(), Inbound { end, ..Inbound::default() });
                return Some(Notice::Request { stream, end });
            }
            Event::Response { stream, end } => {
                let mut head = self.spare.pop().unwrap_or_default();
                self.codec.take_response(&mut head);
                if let Some(s) = self.streams.get_mut(&stream.get()) {
                    s.heads.push_back((head, end));
                    s.end |= end;
                }
                self.wake(stream.get());
            }
            Event::Data { stream, data, end } => {
                if let Some(s) = self.streams.get_mut(&stream.get()) {
                    if !data.is_empty() {
                        s.data.push_back(data);
                    }
                    s.end |= end;
                    self.wake(stream.get());
                } else {
                    self.codec.release_capacity(stream, data.len());
                }
            }
            Event::Trailers { stream } => {
                if let Some(s) = self.streams.get_mut(&stream.get()) {
                    self.codec.take_trailers(&mut s.trailers);
                    s.end = true;
                }
                self.wake(stream.get());
            }
            Event::Reset { stream, code: _, by_peer, unprocessed } => {
                if let Some(s) = self.streams.get_mut(&stream.get()) {
                    s.lost = Some(if by_peer { Lost::Reset { unprocessed } } else { Lost::Malformed });
                }
                self.wake(stream.get());
            }
            Event::Refused { stream: _, why } => return Some(Notice::Refused(why)),
            Event::GoAway { .. } | Event::Pong { .. } | Event::Settings => {}
        }
        None
    }

    fn wake(&mut self, stream: u32) {
        if let Some(waker) = self.streams.get_mut(&stream).and_then(|s| s.waker.take()) {
            waker.wake();
        }
    }
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer broke the protocol; GOAWAY is in the output.
    #[error(transparent)]
    Protocol(#[from] ConnError),
}

/// The driver's side of the socket.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) stream: Stream,
    inbox: BytesMut,
    size: usize,
    eof: bool,
}

impl Io {
    /// A connection of which nothing has been read.
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, inbox: BytesMut::new(), size: READ.0, eof: false }
    }

    /// Gives back the memory of a connection that waits.
    fn rest(&mut self) {
        if self.inbox.is_empty() {
            self.inbox = BytesMut::new();
            self.size = READ.0;
        }
    }
}

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
            let lost =
                if self.conn.inner.borrow().dead { Lost::Closed } else { Lost::Reset { unprocessed: true } };
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

    /// Server: answers, or sends an informational head.
    pub(crate) fn write_response(&mut self, head: &ResponseHead, end: bool) {
        let Some(id) = self.id else { return };
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
