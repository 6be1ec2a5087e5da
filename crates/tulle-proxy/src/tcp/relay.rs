//! Bytes from one connection to another, both ways, until both sides have said all.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use crate::{
    net::{buffer::Buffer, stream::Stream},
    worker::timers::Deadline,
};

/// How far a relay came and why it ended.
#[derive(Debug)]
pub(crate) struct Report {
    /// Bytes from downstream to upstream.
    pub(crate) received: u64,
    /// Bytes from upstream to downstream.
    pub(crate) sent: u64,
    /// Why it ended.
    pub(crate) end: End,
}

/// The ways a relay ends.
#[derive(Debug)]
pub(crate) enum End {
    /// Both sides finished what they had to say.
    Finished,
    /// Nothing moved for the idle timeout.
    Idle,
    /// The worker is closing.
    Drained,
    /// Downstream failed.
    Downstream(io::Error),
    /// Upstream failed.
    Upstream(io::Error),
}

/// One direction: what has been read and waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    /// Read but not yet written; what was read ahead (an upgraded connection's first bytes) can be put in.
    pub(crate) waiting: Buffer,
    moved: u64,
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum State {
    #[default]
    Open,
    /// The reader has ended; the writer is to be told.
    Ending,
    Done,
}

/// A failure, and on which side.
enum Failure {
    Read(io::Error),
    Write(io::Error),
}

/// What a relay needs to know beyond its two connections.
pub(crate) struct Limits<'a> {
    /// A coarse deadline of the task.
    pub(crate) deadline: &'a Deadline,
    /// How long nothing may move; zero for ever.
    pub(crate) idle: Duration,
    /// Called with newly moved bytes (received, sent) as they move.
    pub(crate) on_moved: &'a mut dyn FnMut(u64, u64),
    /// Whether the worker is closing and the relay must end.
    pub(crate) closing: &'a dyn Fn(&mut Context<'_>) -> bool,
}

/// Relays until both directions have ended, one fails, or nothing moves for the idle time.
///
/// An end of stream in one direction is passed on and the other goes on (half-close). Reading stops while what was read is
/// not written: the slower side sets the pace, at most one buffer per direction is held.
pub(crate) async fn relay(
    down: &mut Stream,
    up: &mut Stream,
    mut request: Direction,
    mut response: Direction,
    limits: Limits<'_>,
) -> Report {
    let Limits { deadline, idle, on_moved, closing } = limits;
    deadline.set(idle);
    let end = poll_fn(|cx| {
        let before = (request.moved, response.moved);
        let one = poll_direction(cx, &mut request, down, up);
        let two = poll_direction(cx, &mut response, up, down);
        let moved = (request.moved - before.0, response.moved - before.1);
        if moved != (0, 0) {
            deadline.set(idle);
            on_moved(moved.0, moved.1);
        }
        match (one, two) {
            (Poll::Ready(Err(Failure::Read(e))), _) | (_, Poll::Ready(Err(Failure::Write(e)))) => {
                Poll::Ready(End::Downstream(e))
            }
            (Poll::Ready(Err(Failure::Write(e))), _) | (_, Poll::Ready(Err(Failure::Read(e)))) => {
                Poll::Ready(End::Upstream(e))
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Finished),
            _ if closing(cx) => Poll::Ready(End::Drained),
            _ if deadline.poll_passed(cx) => Poll::Ready(End::Idle),
            _ => Poll::Pending,
        }
    })
    .await;
    deadline.clear();
    Report { received: request.moved, sent: response.moved, end }
}

fn poll_direction(
    cx: &mut Context<'_>,
    direction: &mut Direction,
    from: &mut Stream,
    to: &mut Stream,
) -> Poll<Result<(), Failure>> {
    loop {
        if !direction.waiting.is_empty() {
            let before = direction.waiting.len();
            let written = to.poll_drain(cx, &mut direction.waiting);
            direction.moved += (before - direction.waiting.len()) as u64;
            match written {
                Poll::Ready(result) => result.map_err(Failure::Write)?,
                Poll::Pending => return Poll::Pending,
            }
        }
        match direction.state {
            State::Done => return Poll::Ready(Ok(())),
            State::Ending => {
                // A peer that is gone already cannot be told; its own direction reports the failure, if it is one.
                let _ = ready!(to.poll_shutdown(cx));
                direction.state = State::Done;
                direction.waiting.release_if_empty();
            }
            State::Open => {
                // All is sealed, but TLS may hold what the socket did not take: keep that moving while reading goes on.
                if let Poll::Ready(result) = to.poll_flush(cx) {
                    result.map_err(Failure::Write)?;
                }
                if ready!(from.poll_read(cx, &mut direction.waiting)).map_err(Failure::Read)? == 0 {
                    direction.state = State::Ending;
                }
            }
        }
    }
}
