//! Ends that are nobody's answer.

use tulle_telemetry::{ResponseFlag, details as d};

use crate::http::{exchange::Exchange, reply::Reply};

/// The stream was idle for too long.
pub(crate) fn idle(x: &Exchange<'_>) -> Reply {
    x.manager.stats.downstream_rq_idle_timeout.inc();
    let status = if x.flow.done { 504 } else { 408 };
    Reply::new(status, "stream timeout", d::STREAM_IDLE_TIMEOUT).flag(ResponseFlag::StreamIdleTimeout)
}

/// The request took too long to arrive.
pub(crate) fn too_slow(x: &Exchange<'_>) -> Reply {
    x.manager.stats.downstream_rq_timeout.inc();
    Reply::new(408, "request timeout", d::REQUEST_TIMEOUT).closing()
}

/// Notes that the client went away.
pub(crate) fn client_gone(x: &mut Exchange<'_>) {
    x.keep = false;
    x.manager.stats.downstream_rq_rx_reset.inc();
    x.record.trouble("client_gone", Vec::new);
    x.record.note(ResponseFlag::DownstreamConnectionTermination, d::DOWNSTREAM_REMOTE_DISCONNECT);
}
