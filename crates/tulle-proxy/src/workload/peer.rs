//! Who is at the other end of the socket.

use tokio::net::UnixStream;

/// Process and user, for the audit log.
pub(super) fn describe(socket: &UnixStream) -> String {
    match socket.peer_cred() {
        Ok(who) => format!("pid {} uid {}", who.pid().unwrap_or(0), who.uid()),
        Err(_) => "unknown".to_owned(),
    }
}

/// Refuses processes of other pods: those in another network namespace. Where processes of other containers cannot be seen (their
/// process id is 0 then), nobody else has the socket.
///
/// # Errors
/// Why it is refused.
pub(super) fn check(socket: &UnixStream) -> Result<(), &'static str> {
    let who = socket.peer_cred().map_err(|_| "the peer cannot be known")?;
    let Some(pid) = who.pid().filter(|pid| *pid > 0) else { return Ok(()) };
    let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net"));
    match (of("self"), of(&pid.to_string())) {
        (Ok(own), Ok(other)) if own == other => Ok(()),
        (Ok(_), Ok(_)) => Err("the peer is in the network namespace of another pod"),
        // Another user's process, of the same pod or not: its namespaces cannot be seen without privileges.
        (_, Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err("the peer's network namespace cannot be seen")
        }
        _ => Err("the peer is gone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_of_this_pod_is_let_in() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(check(&one), Ok(()));
        assert!(describe(&one).starts_with("pid "));
    }
}
