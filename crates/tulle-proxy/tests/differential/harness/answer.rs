//! What an upstream answers, and what it saw.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

/// How a body is framed in an HTTP/1 answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// `content-length`, or nothing where the status has no body.
    #[default]
    Length,
    /// `transfer-encoding: chunked`, one chunk.
    Chunked,
    /// Neither; the end of the connection ends the body.
    UntilClose,
    /// A `content-length` that is not the body's; the connection closes after the body.
    Claimed(usize),
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// The connection waits for the next request.
    #[default]
    Keep,
    /// The connection is closed after the answer.
    Close,
    /// The connection is closed instead of an answer; on HTTP/2 the stream is reset.
    Reset,
    /// The stream is refused (HTTP/2 REFUSED_STREAM; on HTTP/1 as [`Ending::Reset`]).
    Refuse,
    /// The head and the body come, then a reset (HTTP/2) or a close inside a chunked body.
    BreakOff,
    /// The whole answer comes as soon as the head of the request is there (HTTP/2; on HTTP/1 as [`Ending::Close`]).
    Hasty,
    /// Bytes of both directions after the head are a tunnel; the upstream echoes them.
    Tunnel,
}

/// One scripted answer of an upstream.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub framing: Framing,
    pub trailers: Vec<(String, String)>,
    pub delay: Duration,
    /// 1xx responses first.
    pub informational: Vec<u16>,
    pub ending: Ending,
    /// These bytes instead of everything else (HTTP/1).
    pub raw: Option<Vec<u8>>,
}

/// An answer with this status.
pub fn status(status: u16) -> Answer {
    Answer {
        status,
        reason: tulle_http::reason_phrase(status).to_owned(),
        headers: Vec::new(),
        body: None,
        framing: Framing::Length,
        trailers: Vec::new(),
        delay: Duration::ZERO,
        informational: Vec::new(),
        ending: Ending::Keep,
        raw: None,
    }
}

/// These bytes and the end of the connection.
pub fn bytes(bytes: impl Into<Vec<u8>>) -> Answer {
    Answer { raw: Some(bytes.into()), ending: Ending::Close, ..status(200) }
}

/// No answer but the end of the connection.
pub fn hang_up() -> Answer {
    status(200).ending(Ending::Reset)
}

impl Answer {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.framing = Framing::Chunked;
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn delay(mut self, millis: u64) -> Self {
        self.delay = Duration::from_millis(millis);
        self
    }

    pub fn informational(mut self, status: u16) -> Self {
        self.informational.push(status);
        self
    }

    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = reason.to_owned();
        self
    }

    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

/// A request as an upstream saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The upstream.
    pub upstream: String,
    /// What the PROXY protocol told it.
    pub told: String,
    /// Its connection's number.
    pub connection: usize,
    /// First line, or method and target of HTTP/2.
    pub line: String,
    /// Fields as they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// The whole message came.
    pub complete: bool,
    /// No more of it is awaited: it is complete, or was broken off, or lasts as long as the client likes.
    pub over: bool,
    /// The peer's port.
    pub port: u16,
}

#[derive(Debug, Default)]
struct Inner {
    seen: Vec<Seen>,
    answers: VecDeque<Answer>,
    named: HashMap<String, Answer>,
    /// What each upstream answers to health checks, in every case.
    checks: HashMap<String, Answer>,
    /// The last health check that each upstream saw.
    checked: BTreeMap<String, Seen>,
}

/// Whether a request is a health check by its path.
fn is_check(line: &str) -> bool {
    line.split(' ')
        .nth(1)
        .is_some_and(|path| path.starts_with("/health") || path.starts_with("/grpc.health.v1"))
}

/// What all upstreams of an area share: the script of the case under way and what was seen in it.
#[derive(Clone, Debug, Default)]
pub struct Stage(Arc<(Mutex<Inner>, Condvar)>);

impl Stage {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.0.lock().unwrap()
    }

    /// Forgets everything; what upstreams answer to health checks from now on.
    pub fn reset(&self, checks: &[(String, Answer)]) {
        let mut inner = self.lock();
        *inner = Inner { checks: checks.iter().cloned().collect(), ..Inner::default() };
    }

    /// The last health check that each upstream saw.
    pub fn checked(&self) -> Vec<Seen> {
        self.lock().checked.values().cloned().collect()
    }

    /// Begins a case: its answers in the order of the requests that come to any upstream (the last one is given again and
    /// again), and those of single upstreams.
    pub fn begin(&self, answers: &[Answer], named: &[(String, Answer)]) {
        let mut inner = self.lock();
        inner.seen.clear();
        inner.answers = answers.iter().cloned().collect();
        inner.named = named.iter().cloned().collect();
    }

    /// Waits until this many requests are complete and collectors have got this many spans, and until it is known how much there is
    /// of what has come (a proxy that answers by itself closes the connection to the upstream a moment later), or until patience
    /// ends; what was seen.
    pub fn end(&self, expected: usize, spans: usize) -> Vec<Seen> {
        let patience = Instant::now() + Duration::from_secs(3);
        let mut inner = self.lock();
        let is_there = |seen: &[Seen]| {
            let (reports, others): (Vec<&Seen>, Vec<&Seen>) =
                seen.iter().filter(|s| s.complete).partition(|s| super::spans::is_collector(&s.upstream));
            let over = seen.iter().all(|s| s.over);
            over && others.len() >= expected
                && reports.into_iter().map(super::spans::count).sum::<usize>() >= spans
        };
        while !is_there(&inner.seen) {
            let left = patience.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inner = self.0.1.wait_timeout(inner, left).unwrap().0;
        }
        std::mem::take(&mut inner.seen)
    }

    /// What an upstream answers in this case, whatever it sees.
    pub fn answer_of(&self, upstream: &str) -> Answer {
        self.lock().named.get(upstream).cloned().unwrap_or_else(|| status(200))
    }

    /// A message of a stream that does not end.
    pub fn message(&self, seen: Seen) {
        self.lock().seen.push(Seen { complete: true, over: true, ..seen });
        self.0.1.notify_all();
    }

    /// A request's head is there: its place in the list, and what to answer.
    pub fn arrive(&self, seen: Seen) -> (usize, Answer) {
        let mut inner = self.lock();
        if is_check(&seen.line)
            && let Some(answer) = inner.checks.get(&seen.upstream).cloned()
        {
            inner.checked.insert(seen.upstream.clone(), Seen { complete: true, ..seen });
            return (usize::MAX, answer);
        }
        let answer = match inner.named.get(&seen.upstream) {
            Some(answer) => answer.clone(),
            None if inner.answers.len() > 1 => inner.answers.pop_front().unwrap(),
            None => inner.answers.front().cloned().unwrap_or_else(|| status(200)),
        };
        inner.seen.push(seen);
        self.0.1.notify_all();
        (inner.seen.len() - 1, answer)
    }

    /// The rest of a request is there.
    pub fn complete(&self, place: usize, body: Vec<u8>, trailers: Vec<(String, String)>, complete: bool) {
        let mut inner = self.lock();
        // A late request of a case that has ended has no place any more.
        if let Some(seen) = inner.seen.get_mut(place) {
            (seen.body, seen.trailers, seen.complete, seen.over) = (body, trailers, complete, true);
        }
        self.0.1.notify_all();
    }

    /// The rest of a request comes as long as the client likes.
    pub fn lasts(&self, place: usize) {
        if let Some(seen) = self.lock().seen.get_mut(place) {
            seen.over = true;
        }
        self.0.1.notify_all();
    }
}
