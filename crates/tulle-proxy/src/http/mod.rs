//! HTTP: messages, exchanges and what is decided about them.
//!
//! [`downstream`] reads requests; [`exchange`] carries one from its head to its log line: [`filters`] may answer it, [`forward`]
//! sends it upstream in one or more [`attempt`]s and [`deliver`]s the response. [`side`] is either end, whatever it speaks.

pub(crate) mod attempt;
pub(crate) mod call;
mod codec;
mod context;
pub(crate) mod deliver;
mod digits;
mod downstream;
mod downstream_h2;
pub(crate) mod exchange;
mod filters;
pub(crate) mod finish;
pub(crate) mod flow;
mod forward;
pub(crate) mod grpc;
mod grpc_web;
pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod headers;
mod local_reply;
pub(crate) mod manager;
mod pace;
mod peer;
pub(crate) mod record;
mod reply;
mod replying;
pub(crate) mod scratch;
pub(crate) mod side;
mod tunnel;
pub(crate) mod upstream;

pub(crate) use reply::grpc_status_of;

use std::{future::poll_fn, rc::Rc, task::Poll, time::Duration};

use tulle_base::drain::DrainState;

use tulle_engine::runtime::http_manager::Codec;
use tulle_http::h2::PREFACE;

use self::manager::LocalManager;
use crate::{listener::facts::Conn, net::stream::Stream};

/// Whether a client speaks HTTP/2: by configuration, by ALPN, or by its first bytes.
async fn speaks_h2(conn: &Conn, manager: &LocalManager, stream: &mut Stream) -> bool {
    match manager.config.codec {
        Codec::Http1 => return false,
        Codec::Http2 => return true,
        Codec::Auto => {}
    }
    if let Some(alpn) = conn.tls.as_ref().and_then(|t| t.alpn.as_deref()) {
        match alpn {
            b"h2" | b"istio-h2" | b"tulle-h1" => return true,
            b"http/1.1" | b"http/1.0" | b"istio-http/1.1" | b"istio-http/1.0" => return false,
            // `istio` and the like say nothing of HTTP.
            _ => {}
        }
    }
    let limit = manager.config.timeouts.idle.unwrap_or(Duration::from_secs(3600));
    conn.deadline.set(limit);
    let found = poll_fn(|cx| {
        loop {
            let seen = stream.seen();
            let common = seen.len().min(PREFACE.len());
            if seen[..common] != PREFACE[..common] || common == PREFACE.len() {
                return Poll::Ready(seen.starts_with(PREFACE));
            }
            match stream.poll_look(cx) {
                // What came so far is no whole preface: HTTP/1 says what is wrong with it.
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(false),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if conn.deadline.poll_passed(cx) => return Poll::Ready(false),
                Poll::Pending if conn.worker.drain_state() == DrainState::Closing => {
                    return Poll::Ready(false);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    conn.deadline.clear();
    found
}

/// Serves a connection whose chain speaks HTTP.
pub(crate) async fn serve(conn: Rc<Conn>, stream: Stream) {
    let Some(manager) = conn.chain.manager.clone() else { return };
    manager.stats.downstream_cx_total.inc();
    manager.stats.downstream_cx_active.inc();
    if conn.tls.is_some() {
        manager.stats.downstream_cx_ssl_total.inc();
    }
    let mut stream = stream;
    if speaks_h2(&conn, &manager, &mut stream).await {
        downstream_h2::serve(conn, Rc::clone(&manager), stream).await;
    } else {
        downstream::serve(conn, Rc::clone(&manager), stream).await;
    }
    manager.stats.downstream_cx_active.dec();
}
