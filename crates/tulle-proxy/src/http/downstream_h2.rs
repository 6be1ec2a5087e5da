//! A client's HTTP/2 connection: one driver, a task for each stream.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tulle_base::drain::DrainState;
use tulle_engine::runtime::http_manager::Http2Options;
use tulle_http::{
    Known, Limits, Version,
    h2::{Config, ErrorCode, Refusal, Role, StreamId},
};
use tulle_telemetry::events::DownstreamEvent;

use super::{
    exchange::{Incoming, exchange},
    h2::{DriveError, H2, H2Stream, Io, Notice, pings::Pings},
    manager::LocalManager,
    scratch::Scratch,
    side::{Length, Side},
};
use crate::{listener::facts::Conn, net::stream::Stream, telemetry::audit, worker::timers::Deadline};

/// The most that a client may send on one stream, and on all, before it is passed on; configured windows beyond are cut.
const MAX_WINDOWS: (u32, u32) = (1024 * 1024, 4 * 1024 * 1024);
/// How long a head may take where nothing is configured, as on HTTP/1.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Why a connection ends whose client does not finish a head.
const SLOW_HEAD: &str = "a head did not come in time";
/// How long a connection that has ended may take to write out what is left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The codec's configuration for a manager's options.
pub(crate) fn config(options: &Http2Options, limits: Limits, tunnels: bool) -> Config {
    Config {
        limits,
        max_concurrent_streams: options.max_concurrent_streams,
        stream_window: options.initial_stream_window.min(MAX_WINDOWS.0),
        connection_window: options.initial_connection_window.min(MAX_WINDOWS.1),
        encoder_table_size: options.hpack_table_size,
        huffman: false,
        extended_connect: options.allow_connect || tunnels,
        ..Config::default()
    }
}

/// What the streams of a connection have in common.
struct Shared {
    conn: Rc<Conn>,
    /// Requests are HTTP/1.1 messages in HTTP/2 frames (ALPN `tulle-h1`).
    carries_h1: bool,
}

/// Serves a connection until either side closes it.
pub(crate) async fn serve(conn: Rc<Conn>, manager: Rc<LocalManager>, stream: Stream) {
    let mut manager = manager;
    manager.stats.downstream_cx_http2_total.inc();
    let config = config(&manager.config.http2, manager.h1.limits, !manager.config.upgrades.is_empty());
    let h2 = H2::new(Role::Server, config);
    let mut io = Io::new(stream);
    let carries_h1 = conn.tls.as_ref().is_some_and(|t| t.alpn.as_deref() == Some(b"tulle-h1"));
    let shared = Rc::new(Shared { conn: Rc::clone(&conn), carries_h1 });
    let mut known = Rc::clone(&conn.listener);
    let mut requests = 0u32;
    let mut watch = Watch::new(&conn, &manager);
    let mut pings = Pings::new(&conn.worker.timers, &h2, manager.config.http2.keepalive);
    let end = poll_fn(|cx| {
        if conn.is_draining() && !h2.leaving.get() {
            manager.stats.downstream_cx_drain_close.inc();
            h2.leave();
        }
        let mut begun = false;
        let driven = h2.poll_drive(cx, &mut io, &mut |notice| match notice {
            Notice::Request { stream, end } => {
                begun = true;
                requests = requests.saturating_add(1);
                conn.follow(&mut known, &mut manager);
                begin(&shared, &manager, &h2, stream, end);
            }
            Notice::Refused(why) => refused(&conn, &manager, why),
        });
        let most = manager.config.limits.max_requests_per_connection;
        if begun && most != 0 && requests >= most && !h2.leaving.get() {
            h2.leave();
        }
        if driven.is_pending() {
            watch.look(cx, &conn, &manager, &h2, begun);
            if pings.as_mut().is_some_and(|pings| pings.poll(cx, &h2).is_ready()) {
                return Poll::Ready(Err(DriveError::Silent));
            }
        }
        if driven.is_pending() && conn.worker.drain_state() == DrainState::Closing && h2.open_streams() == 0 {
            return Poll::Ready(Ok(()));
        }
        driven
    })
    .await;
    h2.die();
    if let Err(DriveError::Protocol(error)) = &end {
        let event = match error.code {
            _ if error.what == SLOW_HEAD => DownstreamEvent::SlowHeaders,
            ErrorCode::ENHANCE_YOUR_CALM => DownstreamEvent::FrameFlood,
            _ => DownstreamEvent::MalformedRequest,
        };
        event.count_http(&manager.stats);
        tracing::debug!(peer = %conn.arrival.peer, %error, event = event.name(), "HTTP/2 connection ended");
    }
    conn.deadline.set(LAST_WORDS);
    poll_fn(|cx| {
        let done = h2.poll_last_words(cx, &mut io).is_ready() || conn.deadline.poll_passed(cx);
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Requests.
    Serving,
    /// The rest of a head that has begun.
    Head,
    /// The client's answer to a farewell.
    Leaving,
}

/// The clocks of a connection.
struct Watch {
    phase: Phase,
    /// The end of the connection's life, where it has one.
    life: Option<Deadline>,
}

impl Watch {
    fn new(conn: &Conn, manager: &LocalManager) -> Self {
        let times = &manager.config.timeouts;
        conn.deadline.set(times.idle.unwrap_or_default());
        let life = times.max_connection.map(|max| {
            let life = conn.worker.timers.deadline();
            life.set(max);
            life
        });
        Self { phase: Phase::Serving, life }
    }

    /// Looks at the clocks after a turn of the driver; `begun`: a request has.
    fn look(&mut self, cx: &Context<'_>, conn: &Conn, manager: &LocalManager, h2: &H2, begun: bool) {
        let times = &manager.config.timeouts;
        if self.life.as_ref().is_some_and(|life| life.poll_passed(cx)) {
            self.life = None;
            manager.stats.downstream_cx_max_duration_reached.inc();
            h2.leave();
        }
        let phase = match (h2.is_reading_head(), h2.leaving.get()) {
            (true, _) => Phase::Head,
            (false, true) => Phase::Leaving,
            (false, false) => Phase::Serving,
        };
        let limit = match phase {
            Phase::Serving => times.idle.unwrap_or_default(),
            Phase::Head => times.request_headers.or(times.stream_idle).unwrap_or(HEAD_TIMEOUT),
            Phase::Leaving => times.drain.max(LAST_WORDS),
        };
        if phase != self.phase || (begun && phase == Phase::Serving) {
            self.phase = phase;
            conn.deadline.set(limit);
        }
        if !conn.deadline.poll_passed(cx) {
            return;
        }
        match phase {
            Phase::Serving if h2.open_streams() == 0 => {
                manager.stats.downstream_cx_idle_timeout.inc();
                h2.leave();
            }
            Phase::Serving => {}
            Phase::Head => h2.abort(ErrorCode::ENHANCE_YOUR_CALM, SLOW_HEAD),
            Phase::Leaving => h2.finish_leaving(),
        }
        conn.deadline.set(limit);
        // The deadline is polled again when the driver has had a turn.
        cx.waker().wake_by_ref();
    }
}

fn refused(conn: &Conn, manager: &LocalManager, why: Refusal) {
    match why {
        Refusal::TooLarge => {
            DownstreamEvent::HeadersTooLarge.count_http(&manager.stats);
            audit::too_large(conn);
        }
        Refusal::Malformed(_) => DownstreamEvent::MalformedRequest.count_http(&manager.stats),
        Refusal::TooMany => manager.stats.downstream_rq_tx_reset.inc(),
    }
}

/// Starts the task of a stream whose head has just come.
fn begin(shared: &Rc<Shared>, manager: &Rc<LocalManager>, h2: &Rc<H2>, stream: StreamId, end: bool) {
    let worker = &shared.conn.worker;
    let mut scratch = worker.scratches.take(&worker.timers);
    h2.take_request(&mut scratch.request);
    let task = serve_stream(
        Rc::clone(shared),
        Rc::clone(manager),
        H2Stream::accepted(Rc::clone(h2), stream),
        scratch,
        end,
    );
    tokio::task::spawn_local(task);
}

async fn serve_stream(
    shared: Rc<Shared>,
    manager: Rc<LocalManager>,
    stream: H2Stream,
    mut scratch: Box<Scratch>,
    end: bool,
) {
    let conn = &shared.conn;
    manager.stats.downstream_rq_http2_total.inc();
    let head = &mut scratch.request;
    head.version = if shared.carries_h1 { Version::Http11 } else { Version::Http2 };
    let upgrade = shared.carries_h1 && !head.protocol.is_empty();
    if upgrade {
        super::tunnel::restore_upgrade(head);
    }
    let length = match head.headers.get_str(Known::ContentLength) {
        _ if end || upgrade => Length::None,
        Some(text) => text.parse().map_or(Length::Unknown, Length::Known),
        None => Length::Unknown,
    };
    let expect_continue = !end && head.headers.lists(Known::Expect, "100-continue");
    let incoming = Incoming { length, keep_alive: true, upgrade, expect_continue, start: Instant::now() };
    let mut side = Side::H2(Box::new(stream));
    exchange(conn, &manager, &mut side, &mut scratch, incoming).await;
    conn.worker.scratches.give(scratch);
}
