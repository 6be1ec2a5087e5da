//! HTTP: messages, exchanges and what is decided about them.
//!
//! [`downstream`] reads requests; [`exchange`] carries one from its head to its log line: [`filters`] may answer it, [`forward`]
//! sends it upstream in one or more [`attempt`]s and [`deliver`]s the response. [`side`] is either end, whatever it speaks.

pub(crate) mod attempt;
mod context;
pub(crate) mod deliver;
mod downstream;
mod exchange;
mod filters;
mod finish;
mod forward;
pub(crate) mod h1;
mod headers;
pub(crate) mod manager;
mod peer;
pub(crate) mod rate_limit;
mod record;
mod reply;
pub(crate) mod side;
mod upstream;

use std::rc::Rc;

use crate::{listener::facts::Conn, net::stream::Stream};

/// Serves a connection whose chain speaks HTTP.
pub(crate) async fn serve(conn: Rc<Conn>, stream: Stream) {
    let Some(manager) = conn.chain.manager.clone() else { return };
    manager.stats.downstream_cx_total.inc();
    manager.stats.downstream_cx_active.inc();
    if conn.tls.is_some() {
        manager.stats.downstream_cx_ssl_total.inc();
    }
    downstream::serve(conn, Rc::clone(&manager), stream).await;
    manager.stats.downstream_cx_active.dec();
}
