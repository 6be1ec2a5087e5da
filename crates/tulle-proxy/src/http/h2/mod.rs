//! One HTTP/2 connection, either end, shared by its streams on one worker.
//!
//! The connection belongs to a *driver* task that owns the socket: it reads, hands events to streams and wakes them; streams write
//! frames into the codec and wake the driver, which flushes once for all that ran in the same turn. No lock, no channel: a
//! `RefCell` that is borrowed only between awaits.

pub(crate) mod pings;
mod stream;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    io,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use foldhash::fast::RandomState;
use tulle_http::{
    HeaderList, RequestHead, ResponseHead,
    h2::{Config, ConnError, Connection, ErrorCode, Event, Refusal, Role, StreamId},
};

pub(crate) use self::stream::H2Stream;
use crate::net::stream::Stream;

/// Sizes of the read buffer: the first, and the one that bulk transfer grows to.
const READ: (usize, usize) = (16 * 1024, 128 * 1024);
/// Most reads in one turn of the driver.
const TURN: usize = 16;
/// How many response heads are kept for reuse.
const SPARE: usize = 64;
/// Pieces of body that wait are joined up to this size: many small ones must not each keep a read buffer.
const JOIN: usize = 8 * 1024;
/// Most informational heads that wait on one stream; a server that sends more is stopped.
const MOST_HEADS: usize = 32;

/// An HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct H2 {
    inner: RefCell<Inner>,
    role: Role,
    /// The connection is to be closed once no stream is open.
    pub(crate) leaving: Cell<bool>,
    /// A new stream asks whether the peer is there if none has been open for so long.
    ask_after_silence: Cell<Option<Duration>>,
    /// Since when no stream has been open.
    pub(crate) silent_since: Cell<Option<Instant>>,
    /// Streams that we opened.
    pub(crate) opened: Cell<u32>,
    /// A ping is to be sent now.
    ask_now: Cell<bool>,
}

#[derive(Debug)]
struct Inner {
    codec: Connection,
    streams: HashMap<u32, Inbound, RandomState>,
    /// Wakes the driver; `None` while it is awake or already woken.
    driver: Option<Waker>,
    /// The socket is gone.
    dead: bool,
    /// The peer works on no stream above this one.
    gone_away: Option<u32>,
    /// Answers to pings so far.
    pongs: u64,
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
    /// The peer was going away and never saw it.
    GoneAway,
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
                gone_away: None,
                pongs: 0,
                spare: Vec::new(),
            }),
            role,
            leaving: Cell::new(false),
            ask_after_silence: Cell::new(None),
            silent_since: Cell::new(None),
            opened: Cell::new(0),
            ask_now: Cell::new(false),
        })
    }

    /// How many more requests may be sent now.
    pub(crate) fn capacity(&self) -> usize {
        let inner = self.inner.borrow();
        let closed = inner.dead || self.leaving.get() || inner.codec.is_congested();
        if closed { 0 } else { inner.codec.capacity_for_streams() }
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

    /// [`H2::leave`] for a peer that does not answer: nothing more is waited for but open streams.
    pub(crate) fn finish_leaving(&self) {
        self.inner.borrow_mut().codec.finish_shut_down();
        self.wake_driver();
    }

    /// Whether a head has begun whose end has not come.
    pub(crate) fn is_reading_head(&self) -> bool {
        self.inner.borrow().codec.is_reading_head()
    }

    /// Asks the peer whether it is there.
    fn ping(&self) {
        self.inner.borrow_mut().codec.ping(*b"are you?");
    }

    fn pongs(&self) -> u64 {
        self.inner.borrow().pongs
    }

    /// A stream is about to be opened: if none was for long, the peer is asked whether it is there.
    fn ask_if_silent(&self) {
        self.opened.set(self.opened.get().saturating_add(1));
        if let Some(since) = self.silent_since.take()
            && self.ask_after_silence.get().is_some_and(|limit| since.elapsed() >= limit)
        {
            self.ask_now.set(true);
        }
    }

    /// Ends the connection at once; GOAWAY is still written.
    pub(crate) fn abort(&self, code: ErrorCode, why: &'static str) {
        self.inner.borrow_mut().codec.abort(code, why);
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
        let mut read = self.poll_receive(cx, io, notice);
        let mut written = self.poll_write(cx, io);
        while io.stalled && !self.inner.borrow().codec.is_congested() {
            read = self.poll_receive(cx, io, notice);
            written = self.poll_write(cx, io);
        }
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
        io.stalled = false;
        for _ in 0..TURN {
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
            if self.role == Role::Server && self.inner.borrow().codec.is_congested() {
                // A client that does not read is not read from. A client's side must go on, or two such peers would wait
                // for each other.
                io.stalled = true;
                return Poll::Pending;
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
        // Others have their turn before what this peer has more.
        cx.waker().wake_by_ref();
        Poll::Pending
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
            // What has come before is still read; that the peer is gone concerns also those who wait for nothing else.
            stream.lost.get_or_insert(Lost::Closed);
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
                    if s.heads.len() < MOST_HEADS {
                        s.heads.push_back((head, end));
                        s.end |= end;
                    } else {
                        s.lost = Some(Lost::Malformed);
                        self.codec.reset(stream, ErrorCode::ENHANCE_YOUR_CALM);
                    }
                }
                self.wake(stream.get());
            }
            Event::Data { stream, data, end } => {
                if let Some(s) = self.streams.get_mut(&stream.get()) {
                    if !data.is_empty() {
                        s.push(data);
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
                let passed_over = unprocessed && self.gone_away.is_some_and(|last| stream.get() > last);
                if let Some(s) = self.streams.get_mut(&stream.get()) {
                    s.lost = Some(match by_peer {
                        true if passed_over => Lost::GoneAway,
                        true => Lost::Reset { unprocessed },
                        false => Lost::Malformed,
                    });
                }
                self.wake(stream.get());
            }
            Event::Refused { stream: _, why } => return Some(Notice::Refused(why)),
            Event::GoAway { last, .. } => self.gone_away = Some(last),
            Event::Pong { .. } => self.pongs += 1,
            Event::Settings => {}
        }
        None
    }

    fn wake(&mut self, stream: u32) {
        if let Some(waker) = self.streams.get_mut(&stream).and_then(|s| s.waker.take()) {
            waker.wake();
        }
    }
}

impl Inbound {
    /// Keeps a piece of body for the stream's task.
    fn push(&mut self, data: Bytes) {
        if let Some(last) = self.data.back_mut()
            && last.len() + data.len() <= JOIN
        {
            let len = last.len() + data.len();
            let mut joined = match std::mem::take(last).try_into_mut() {
                Ok(own) if own.capacity() <= 2 * JOIN => own,
                Ok(view) => copy_of(&view, len),
                Err(view) => copy_of(&view, len),
            };
            joined.extend_from_slice(&data);
            *last = joined.freeze();
            return;
        }
        self.data.push_back(data);
    }
}

fn copy_of(bytes: &[u8], len: usize) -> BytesMut {
    let mut copy = BytesMut::with_capacity((2 * len).clamp(512, JOIN));
    copy.extend_from_slice(bytes);
    copy
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer answers no ping.
    #[error("no answer to a ping in time")]
    Silent,
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
    /// Reading waits until the peer has read.
    stalled: bool,
}

impl Io {
    /// A connection of which nothing has been read.
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, inbox: BytesMut::new(), size: READ.0, eof: false, stalled: false }
    }

    /// Gives back the memory of a connection that waits.
    fn rest(&mut self) {
        if self.inbox.is_empty() {
            self.inbox = BytesMut::new();
            self.size = READ.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_wait_are_joined_and_let_read_buffers_go() {
        let mut inbound = Inbound::default();
        let mut expected = Vec::new();
        for at in 0..20_000u32 {
            // One byte of a large buffer, as a read brings it.
            let mut read = BytesMut::with_capacity(128 * 1024);
            read.extend_from_slice(&[at as u8]);
            expected.push(at as u8);
            inbound.push(read.split_to(1).freeze());
        }
        assert!(inbound.data.len() <= 4, "{} pieces", inbound.data.len());
        let kept: usize = inbound
            .data
            .drain(..)
            .map(|piece| {
                assert_eq!(&expected[..piece.len()], &piece[..]);
                expected.drain(..piece.len());
                piece.try_into_mut().map_or(usize::MAX, |own| own.capacity())
            })
            .sum();
        assert!(expected.is_empty());
        assert!(kept <= 8 * JOIN, "{kept} bytes of memory for 20,000");
    }
}
