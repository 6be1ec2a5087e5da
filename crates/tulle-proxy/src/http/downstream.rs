//! A client's HTTP/1 connection: one request after the other.

use std::{
    future::poll_fn,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use tulle_base::drain::DrainState;
use tulle_engine::runtime::http_manager::HttpTimeouts;
use tulle_http::h1::RequestError;
use tulle_telemetry::events::DownstreamEvent;

use super::{
    exchange::{Incoming, exchange},
    h1::{H1, HeadFault},
    manager::LocalManager,
    replying::refuse,
    scratch::Scratch,
    side::Side,
};
use crate::{listener::facts::Conn, net::stream::Stream, telemetry::audit};

/// How long a head may take where nothing is configured: Envoy's `stream_idle_timeout` default.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// How long we wait for a client to see that we have closed.
const LINGER: Duration = Duration::from_secs(1);

/// What came instead of a request.
enum Silence {
    /// The client closed between requests, or its socket failed.
    Closed,
    /// Nothing came for the idle time, or the worker is closing.
    Idle,
    /// The head did not come in time.
    Slow,
    /// The head is malformed.
    Malformed(RequestError),
}

/// A status, response code details, and whether it counts as a protocol error.
type Answer = (u16, &'static str, bool);

/// Serves a connection until either side closes it.
///
/// What a request needs lives in memory of its own, which is there while the request is: a connection that waits costs little.
pub(crate) async fn serve(conn: Rc<Conn>, manager: Rc<LocalManager>, stream: Stream) {
    let mut manager = manager;
    let mut scratch = None;
    let mut side = Side::H1(Box::new(H1::new(stream, manager.h1)));
    manager.stats.downstream_cx_http1_total.inc();
    let mut known = Rc::clone(&conn.listener);
    let mut served = 0u32;
    loop {
        let Side::H1(h1) = &mut side else { return };
        match next_request(&conn, &manager, h1, &mut scratch, served == 0).await {
            Ok(incoming) => {
                let Some(scratch) = &mut scratch else { return };
                served = served.saturating_add(1);
                conn.follow(&mut known, &mut manager);
                manager.stats.downstream_rq_http1_total.inc();
                let incoming = limit(&conn, &manager, incoming, served);
                if !Box::pin(exchange(&conn, &manager, &mut side, scratch, incoming)).await {
                    break;
                }
                side.reset_bytes();
            }
            Err(Silence::Closed) => return,
            Err(silence) => {
                if let Some((start, answer)) = complaint(&conn, &manager, &silence) {
                    let mut scratch =
                        scratch.take().unwrap_or_else(|| conn.worker.scratches.take(&conn.worker.timers));
                    Box::pin(refuse(&conn, &manager, &mut side, &mut scratch, start, answer)).await;
                    conn.worker.scratches.give(scratch);
                }
                break;
            }
        }
    }
    if let Some(scratch) = scratch {
        conn.worker.scratches.give(scratch);
    }
    if let Side::H1(h1) = side {
        Box::pin(close(&conn, *h1)).await;
    }
}

/// Counts why no request came; what the client is told, if anything.
fn complaint(conn: &Conn, manager: &LocalManager, silence: &Silence) -> Option<(Instant, Answer)> {
    match silence {
        Silence::Closed => None,
        Silence::Idle => {
            if manager.config.timeouts.max_connection.is_some_and(|max| conn.start.elapsed() >= max) {
                manager.stats.downstream_cx_max_duration_reached.inc();
            } else {
                manager.stats.downstream_cx_idle_timeout.inc();
            }
            None
        }
        Silence::Slow => {
            let event = DownstreamEvent::SlowHeaders;
            event.count_http(&manager.stats);
            Some((Instant::now(), (408, event.details(), false)))
        }
        Silence::Malformed(error) => {
            malformed_event(*error).count_http(&manager.stats);
            if error.status() == 431 {
                audit::too_large(conn);
            }
            tracing::debug!(peer = %conn.arrival.peer, %error, "malformed request");
            Some((Instant::now(), (error.status(), error.details(), true)))
        }
    }
}

/// Waits for the next request's head.
async fn next_request(
    conn: &Conn,
    manager: &LocalManager,
    h1: &mut H1,
    scratch: &mut Option<Box<Scratch>>,
    first: bool,
) -> Result<Incoming, Silence> {
    let times = &manager.config.timeouts;
    let head_limit = times.request_headers.or(times.stream_idle).unwrap_or(HEAD_TIMEOUT);
    let mut begun = None;
    if !h1.has_unread() {
        h1.rest();
        if let Some(scratch) = scratch.take() {
            conn.worker.scratches.give(scratch);
        }
        conn.deadline.set(rest_of_life(conn, times));
    }
    let result = poll_fn(|cx| {
        let polled = loop {
            if let Some(scratch) = scratch {
                break h1.poll_request(cx, &mut scratch.request);
            }
            match h1.poll_begun(cx) {
                Poll::Ready(Ok(())) => *scratch = Some(conn.worker.scratches.take(&conn.worker.timers)),
                Poll::Ready(Err(fault)) => break Poll::Ready(Err(fault)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if begun.is_none() && (polled.is_ready() || h1.has_unread()) {
            begun = Some(Instant::now());
            if polled.is_pending() {
                conn.deadline.set(head_limit);
            }
        }
        if let Poll::Ready(result) = polled {
            return Poll::Ready(result.map_err(|fault| match fault {
                HeadFault::Malformed(error) => Silence::Malformed(error),
                HeadFault::Closed | HeadFault::Truncated | HeadFault::Io => Silence::Closed,
            }));
        }
        if conn.deadline.poll_passed(cx) {
            return Poll::Ready(Err(if begun.is_some() { Silence::Slow } else { Silence::Idle }));
        }
        let leaving = conn.worker.drain_state() == DrainState::Closing || conn.slot.is_removed();
        if leaving && begun.is_none() && !first {
            return Poll::Ready(Err(Silence::Idle));
        }
        Poll::Pending
    })
    .await;
    conn.deadline.clear();
    result.map(|parsed| Incoming::of_h1(&parsed, begun.unwrap_or_else(Instant::now)))
}

/// How long a connection may wait for a request; zero for ever.
fn rest_of_life(conn: &Conn, times: &HttpTimeouts) -> Duration {
    let idle = times.idle.unwrap_or_default();
    let Some(max) = times.max_connection else { return idle };
    let left = max.saturating_sub(conn.start.elapsed()).max(Duration::from_millis(1));
    if idle.is_zero() { left } else { idle.min(left) }
}

/// Lets the connection end with this request where it has served or lived enough.
fn limit(conn: &Conn, manager: &LocalManager, mut incoming: Incoming, served: u32) -> Incoming {
    let config = &manager.config;
    let most = config.limits.max_requests_per_connection;
    if most != 0 && served >= most {
        incoming.keep_alive = false;
    }
    if config.timeouts.max_connection.is_some_and(|max| conn.start.elapsed() >= max) {
        manager.stats.downstream_cx_max_duration_reached.inc();
        incoming.keep_alive = false;
    }
    if conn.is_draining() && incoming.keep_alive {
        manager.stats.downstream_cx_drain_close.inc();
        incoming.keep_alive = false;
    }
    incoming
}

fn malformed_event(error: RequestError) -> DownstreamEvent {
    match error.status() {
        431 => DownstreamEvent::HeadersTooLarge,
        426 => DownstreamEvent::VersionNotServed,
        _ => match error {
            RequestError::NoHost | RequestError::SeveralHosts | RequestError::Host => {
                DownstreamEvent::BadHost
            }
            _ => DownstreamEvent::MalformedRequest,
        },
    }
}

/// Closes our direction and waits a moment for the client to close its own, so that what we wrote last is not lost to a
/// reset for bytes that nobody reads.
async fn close(conn: &Conn, h1: H1) {
    let (mut stream, mut inbox, mut outbox, aborted) = h1.into_parts();
    if aborted {
        stream.reset();
        return;
    }
    conn.deadline.set(LINGER);
    let mut shut = false;
    poll_fn(|cx| {
        if conn.deadline.poll_passed(cx) {
            return Poll::Ready(());
        }
        if !shut {
            if stream.poll_send(cx, &mut outbox).is_pending() {
                return Poll::Pending;
            }
            match stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        loop {
            inbox.consume(inbox.len());
            match stream.poll_read(cx, &mut inbox) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
