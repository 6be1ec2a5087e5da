//! The beginning of a connection: where it was meant to go, what it speaks, which chain takes it.

use std::{net::SocketAddr, rc::Rc};

use tokio::net::TcpStream;

use super::registry::Slot;
use crate::worker::Worker;

/// Serves one accepted connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, slot: Rc<Slot>, stream: TcpStream, peer: SocketAddr) {
    let _counted = worker.count(|g| &g.downstream);
    let _ = (slot, stream, peer);
}
