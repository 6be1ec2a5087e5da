//! One try of a request: writing it upstream until the head of a response comes.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tulle_http::{
    RequestHead, ResponseHead, Version,
    h1::{BodyError, RequestSent, ResponseError},
};

use super::{
    flow::{Flow, FlowFault},
    h1::HeadFault,
    h2::Lost,
    headers,
    side::{Length, ReadFault, Side},
};
use crate::worker::{alarm::Alarm, timers::Deadline};

/// Most informational heads before the final one: an upstream that sends more never comes to an end.
const MOST_INFORMATIONAL: u32 = 1000;

/// How a try ended.
#[derive(Debug)]
pub(crate) enum AttemptEnd {
    /// The final head of a response is there; its body follows.
    Response(Answer),
    /// The upstream failed.
    Upstream(UpstreamFault),
    /// The client failed or went away.
    Client(ClientFault),
    /// Time ran out.
    Late(Late),
}

/// What a response head says beyond its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// How long the body is.
    pub(crate) length: Length,
    /// Whether the upstream connection may be used again.
    pub(crate) keep_alive: bool,
    /// From here on the connection is a tunnel.
    pub(crate) tunnel: bool,
}

/// What an upstream did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamFault {
    /// It could not be connected to.
    Connect,
    /// There is nowhere to connect from.
    Source,
    /// Connecting took too long.
    ConnectTimeout,
    /// It closed the connection.
    Closed,
    /// It reset the stream.
    Reset,
    /// It refused the stream: nothing was processed.
    Refused,
    /// It was closing the connection and never saw the stream.
    GoneAway,
    /// What it said is no HTTP.
    Malformed,
    /// Our own limits refused.
    Overflow,
}

/// What a client did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFault {
    /// It went away.
    Gone,
    /// Its body is malformed.
    Malformed,
    /// Its body is not what it says it is encoded in.
    Encoding,
}

/// Which time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// The route's.
    Route,
    /// The try's.
    Try,
    /// The try was idle.
    TryIdle,
    /// The stream was idle.
    Idle,
    /// The whole request's.
    Request,
    /// The stream's life.
    Duration,
}

/// The clocks of a request.
#[derive(Debug)]
pub(crate) struct Clocks {
    /// From the end of the request to the end of the response.
    pub(crate) route: Alarm,
    /// Of the present try.
    pub(crate) per_try: Alarm,
    /// Silence of the present try.
    pub(crate) try_idle: Alarm,
    /// How long it may be silent; only where [`Clocks::try_idle`] is set.
    pub(crate) try_idle_timeout: Duration,
    /// Of the stream's life.
    pub(crate) life: Alarm,
    /// Until the whole request is there.
    pub(crate) request: Alarm,
    /// Silence of the stream.
    pub(crate) idle: Deadline,
    /// When the request was complete.
    pub(crate) completed: Option<Instant>,
    /// Length of the route's timeout; set when the request is complete.
    pub(crate) route_timeout: Option<Duration>,
    /// How long the stream may be silent.
    pub(crate) idle_timeout: Duration,
}

impl Clocks {
    /// Something moved.
    pub(crate) fn moved(&mut self) {
        self.idle.set(self.idle_timeout);
        if self.try_idle.is_set() {
            self.try_idle.set(Instant::now() + self.try_idle_timeout);
        }
    }

    /// A try begins that may be silent for `limit`.
    pub(crate) fn try_may_rest(&mut self, limit: Duration) {
        self.try_idle_timeout = limit;
        self.try_idle.set(Instant::now() + limit);
    }

    /// The request is complete: the route's time begins.
    pub(crate) fn request_complete(&mut self, now: Instant) {
        self.request.clear();
        self.completed.get_or_insert(now);
        if let Some(timeout) = self.route_timeout
            && !self.route.is_set()
        {
            self.route.set(now + timeout);
        }
    }

    /// Which clock has run out.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        if self.route.poll(cx).is_ready() {
            return Poll::Ready(Late::Route);
        }
        if self.per_try.poll(cx).is_ready() {
            return Poll::Ready(Late::Try);
        }
        if self.try_idle.poll(cx).is_ready() {
            return Poll::Ready(Late::TryIdle);
        }
        if self.life.poll(cx).is_ready() {
            return Poll::Ready(Late::Duration);
        }
        if self.request.poll(cx).is_ready() {
            return Poll::Ready(Late::Request);
        }
        if self.idle.poll_passed(cx) {
            return Poll::Ready(Late::Idle);
        }
        Poll::Pending
    }

    /// Turns all of them off.
    pub(crate) fn stop(&mut self) {
        self.route.clear();
        self.per_try.clear();
        self.try_idle.clear();
        self.life.clear();
        self.request.clear();
        self.idle.clear();
        self.completed = None;
    }
}

/// A copy of the request's body, for further tries.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    bytes: Vec<u8>,
    limit: usize,
    /// Whether the copy is complete so far.
    usable: bool,
}

impl Replay {
    /// Keeps up to `limit` bytes; 0 keeps none, and then a request with a body is not tried again once some of it was read.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, usable: true }
    }

    /// A whole body that is at hand already.
    pub(crate) fn held(bytes: Vec<u8>) -> Self {
        Self { limit: bytes.len(), bytes, usable: true }
    }

    fn push(&mut self, data: &[u8]) {
        if !self.usable {
            return;
        }
        if self.bytes.len() + data.len() > self.limit {
            self.usable = false;
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(data);
        }
    }

    /// What was read of the body so far; `None` if it is not all there.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.usable.then_some(&self.bytes)
    }

    /// Forgets the copy: there will be no further try.
    pub(crate) fn drop_copy(&mut self) {
        self.usable = false;
        self.bytes = Vec::new();
    }
}

/// What a client whose body cannot be read on has done.
pub(crate) fn client_fault(fault: &ReadFault) -> ClientFault {
    match fault {
        ReadFault::Io(_) | ReadFault::Lost(_) | ReadFault::Malformed(BodyError::Truncated) => {
            ClientFault::Gone
        }
        ReadFault::Malformed(_) => ClientFault::Malformed,
        ReadFault::Encoding(_) => ClientFault::Encoding,
    }
}

/// One try under way.
pub(crate) struct Attempt<'a> {
    /// The client.
    pub(crate) down: &'a mut Side,
    /// The upstream; the request's head has been written to it.
    pub(crate) up: &'a mut Side,
    /// The request's body.
    pub(crate) flow: &'a mut Flow,
    /// The copy of it.
    pub(crate) replay: &'a mut Replay,
    /// How much of the copy has been written to this upstream.
    pub(crate) replayed: usize,
    /// Whether the end of the body has been written to this upstream; from the start where there is no body.
    pub(crate) ended: bool,
    /// Informational heads that this try has brought.
    pub(crate) informed: u32,
    /// The clocks.
    pub(crate) clocks: &'a mut Clocks,
    /// The request as it was written.
    pub(crate) request: &'a RequestHead,
    /// Whether it asked to upgrade.
    pub(crate) upgrade: bool,
}

impl Attempt<'_> {
    /// Writes the body and waits for the final head of the response, which is put into `head`. Informational heads are passed
    /// on to the client as they come.
    pub(crate) async fn run(&mut self, head: &mut ResponseHead) -> AttemptEnd {
        poll_fn(|cx| self.poll(cx, head)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<AttemptEnd> {
        // Informational heads, `100 Continue` among them, may be waiting to go out.
        let _ = self.down.poll_flush(cx);
        let request = self.poll_request(cx);
        if let Poll::Ready(Some(end)) = request {
            return Poll::Ready(end);
        }
        // A broken pipe may still have an answer in front of it: reading decides.
        let _ = self.up.poll_flush(cx);
        loop {
            let sent = RequestSent { method: &self.request.method, upgrade: self.upgrade };
            match self.up.poll_response(cx, sent, head) {
                Poll::Ready(Ok(answer)) => {
                    let informational = head.is_informational() && !answer.tunnel;
                    if !informational {
                        return Poll::Ready(AttemptEnd::Response(answer));
                    }
                    self.informed += 1;
                    if self.informed > MOST_INFORMATIONAL {
                        return Poll::Ready(AttemptEnd::Upstream(UpstreamFault::Malformed));
                    }
                    if self.request.version != Version::Http10 {
                        headers::accept_informational(head);
                        self.down.write_informational(head);
                    }
                    let _ = self.down.poll_flush(cx);
                    // The next one is not read before the client has taken this one.
                    if self.down.poll_room(cx).is_pending() {
                        break;
                    }
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(AttemptEnd::Upstream(fault)),
                Poll::Pending => break,
            }
        }
        let gone = if request.is_ready() { self.down.poll_gone(cx) } else { self.down.poll_lost(cx) };
        if gone.is_ready() {
            return Poll::Ready(AttemptEnd::Client(ClientFault::Gone));
        }
        self.clocks.poll(cx).map(AttemptEnd::Late)
    }

    /// Moves the body. Ready with `None` when all of it has been passed on.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<AttemptEnd>> {
        match self.poll_replay(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(())) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        }
        if self.flow.done {
            return Poll::Ready(None);
        }
        let replay = &mut *self.replay;
        let mut passed = 0;
        let moved = self.flow.poll(cx, self.down, self.up, |data| {
            passed += data.len();
            replay.push(data);
        });
        if passed > 0 {
            self.clocks.moved();
            // What this upstream got by way of the flow needs no replay.
            self.replayed += passed;
        }
        match moved {
            Poll::Ready(Ok(())) => {
                self.ended = true;
                self.clocks.request_complete(Instant::now());
                Poll::Ready(None)
            }
            // An upstream that stops reading may have answered already (RFC 9112 section 9.5): reading decides.
            Poll::Ready(Err(FlowFault::Write)) => Poll::Pending,
            Poll::Ready(Err(FlowFault::Read(fault))) => {
                Poll::Ready(Some(AttemptEnd::Client(client_fault(&fault))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what earlier tries have read of the body already.
    fn poll_replay(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let Some(copy) = self.replay.bytes() else { return Poll::Ready(Ok(())) };
        while self.replayed < copy.len() {
            let room = match self.up.poll_room(cx) {
                Poll::Ready(Ok(room)) => room,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
                Poll::Pending => return Poll::Pending,
            };
            let rest = &copy[self.replayed..];
            let part = &rest[..rest.len().min(room)];
            if self.up.write_data(part).is_err() {
                return Poll::Ready(Err(()));
            }
            self.replayed += part.len();
        }
        if self.flow.done && !self.ended {
            self.ended = true;
            return Poll::Ready(self.up.write_end(self.down.trailers()).map_err(drop));
        }
        Poll::Ready(Ok(()))
    }
}

impl From<Lost> for UpstreamFault {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Reset { unprocessed: true } => Self::Refused,
            Lost::Reset { unprocessed: false } => Self::Reset,
            Lost::GoneAway => Self::GoneAway,
            Lost::Malformed => Self::Malformed,
            Lost::Closed => Self::Closed,
        }
    }
}

impl From<HeadFault<ResponseError>> for UpstreamFault {
    fn from(fault: HeadFault<ResponseError>) -> Self {
        match fault {
            HeadFault::Closed | HeadFault::Truncated | HeadFault::Io => Self::Closed,
            HeadFault::Malformed(_) => Self::Malformed,
        }
    }
}
