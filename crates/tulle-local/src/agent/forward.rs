//! Ports of the host that lead to the control plane, wherever its pod is.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 256;
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Connects everybody who comes to `socket` with the address of the moment, until the runtime ends.
pub(super) fn start(socket: OwnedFd, target: watch::Receiver<Option<SocketAddr>>) -> io::Result<()> {
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
            let to = *target.borrow();
            tokio::spawn(async move {
                if let Some(to) = to {
                    // Either side may break off: that ends the other.
                    let _ = relay(stream, to).await;
                }
                drop(slot);
            });
        }
    });
    Ok(())
}

async fn relay(mut near: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut far = tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(to)).await??;
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
