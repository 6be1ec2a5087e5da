//! Accept loops.

use std::{io, net::TcpListener, rc::Rc, sync::Arc, time::Duration};

use super::{connection, registry::Slot};
use crate::worker::Worker;

/// How long a loop waits after a failure that will not go away at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts accepting on `socket` for the listener of that name, which the worker knows.
pub(crate) fn start(worker: &Rc<Worker>, name: &Arc<str>, socket: TcpListener) {
    let Some(slot) = worker.listeners.borrow().get(name) else { return };
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(listener = %name, %error, "cannot accept on this listener");
            return;
        }
    };
    let task = tokio::task::spawn_local(accept(Rc::clone(worker), Rc::clone(&slot), socket));
    slot.add_loop(task.abort_handle());
}

async fn accept(worker: Rc<Worker>, slot: Rc<Slot>, socket: tokio::net::TcpListener) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                if worker.gauges.downstream.get() >= worker.settings.max_connections as u64 {
                    crate::net::connect::reset(stream);
                    tracing::warn!(limit = worker.settings.max_connections, "too many connections: reset");
                    continue;
                }
                tokio::task::spawn_local(connection::serve(
                    Rc::clone(&worker),
                    Rc::clone(&slot),
                    stream,
                    peer,
                ));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed; waiting");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether the failure concerns only the connection that was to be accepted (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
