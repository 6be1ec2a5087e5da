//! Who listens in a pod, without disturbing anybody by a connection.

use std::io;

use crate::net::PodNet;

/// Whether something listens on every one of `ports` in the pod, on any address.
///
/// # Errors
/// When the pod's network namespace cannot be read.
pub fn listens_on(net: &PodNet, ports: &[u16]) -> io::Result<bool> {
    let listening = net.netns.run(|| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        Ok(read("tcp")? + &read("tcp6").unwrap_or_default())
    })?;
    let listening = parse(&listening);
    Ok(ports.iter().all(|p| listening.contains(p)))
}

/// The ports in state LISTEN (0A) of `/proc/net/tcp`.
fn parse(text: &str) -> Vec<u16> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (local, state) = (words.nth(1)?, words.nth(1)?);
            let (_, port) = local.rsplit_once(':')?;
            (state == "0A").then(|| u16::from_str_radix(port, 16).ok()).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let text = "  sl  local_address rem_address   st tx_queue\n\
             0: 00000000:2378 00000000:0000 0A 00000000:00000000\n\
             1: 0100007F:2379 0100007F:1F90 01 00000000:00000000\n\
             0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000\n";
        assert_eq!(parse(text), [9080, 80]);
    }
}
