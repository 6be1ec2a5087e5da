//! Who is at the other end of the socket.

use std::os::fd::AsRawFd as _;

use tokio::net::{UnixListener, UnixStream};

/// Process and user, for the audit log.
pub(super) fn describe(socket: &UnixStream) -> String {
    match socket.peer_cred() {
        Ok(who) => format!("pid {} uid {}", who.pid().unwrap_or(0), who.uid()),
        Err(_) => "unknown".to_owned(),
    }
}

/// The number by which the system lists a socket.
pub(super) fn number(listener: &UnixListener) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).ok()?;
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Refuses processes of other pods: those in a network namespace whose list of sockets does not have ours (namespaces themselves cannot
/// be looked at without privileges). Where processes of other containers cannot be seen (their process id is 0 then), nobody else has
/// the socket.
///
/// # Errors
/// Why it is refused.
pub(super) fn check(socket: &UnixStream, listener: Option<u64>) -> Result<(), &'static str> {
    let who = socket.peer_cred().map_err(|_| "the peer cannot be known")?;
    let Some(pid) = who.pid().filter(|pid| *pid > 0) else { return Ok(()) };
    let listener = listener.ok_or("the socket's own number cannot be known")?.to_string();
    let sockets = std::fs::read(format!("/proc/{pid}/net/unix"))
        .map_err(|_| "the peer is gone, or its network namespace cannot be seen")?;
    // Columns: address, references, protocol, flags, type, state, number, path (which may be any bytes).
    let is_ours = |line: &[u8]| {
        let mut columns = line.split(u8::is_ascii_whitespace).filter(|c| !c.is_empty());
        columns.nth(6) == Some(listener.as_bytes())
    };
    if sockets.split(|b| *b == b'\n').any(is_ours) {
        Ok(())
    } else {
        Err("the peer is in the network namespace of another pod")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_of_this_pod_is_let_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        assert_eq!(check(&socket, number(&listener)), Ok(()));
        assert!(check(&socket, Some(0)).unwrap_err().contains("another pod"));
        assert!(check(&socket, None).is_err());
        assert!(describe(&socket).starts_with("pid "));
    }
}
