//! One HTTP/2 connection, either end, shared by its streams on one worker.
//!
//! The connection belongs to a *driver* task that owns the socket: it reads, hands events to streams and wakes them; streams write
//! frames into the codec and wake the driver, which flushes once for all that ran in the same turn. No lock, no channel: a
//! `RefCell` that is borrowed only between awaits.

mod stream;

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
    h2::{Config, ConnError, Connection, Event, Refusal, Role, StreamId},
};

pub(crate) use self::stream::H2Stream;
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
