//! D13: what a proxy holds while it has nothing to do.

use crate::configs::{self, Between, Job, Place};
use crate::machine::free_port;
use crate::peers::Peer;
use crate::scenario::Bench;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Resident bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Started, nothing configured (Envoy, Tulle) or one route (nginx, HAProxy).
    pub(crate) empty: u64,
    /// For each of 1000 connections that have had one request and wait.
    pub(crate) idle_connection: u64,
    /// 10,000 clusters of 4 endpoints above one; Envoy and Tulle only.
    pub(crate) clusters: Option<u64>,
}

const CONNECTIONS: usize = 1000;

/// Measures one proxy.
pub(crate) fn measure(bench: &Bench<'_>, peer: Peer) -> anyhow::Result<Memory> {
    let same_bootstrap = matches!(peer, Peer::Tulle | Peer::Envoy);
    let mut target = bench.hop(peer, Between::H1)?;
    let proxy = &mut target.running[0];
    settle();
    let one_route = proxy.memory();
    let mut held = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        held.push(one_request(target.port)?);
    }
    settle();
    let idle_connection = proxy.memory().saturating_sub(one_route) / CONNECTIONS as u64;
    anyhow::ensure!(proxy.is_alive(), "{} died while connections were idle", peer.name());
    drop((held, target));
    if !same_bootstrap {
        return Ok(Memory { empty: one_route, idle_connection, clusters: None });
    }
    Ok(Memory {
        empty: empty(bench, peer)?,
        idle_connection,
        clusters: Some(clusters(bench, peer, one_route)?),
    })
}

fn empty(bench: &Bench<'_>, peer: Peer) -> anyhow::Result<u64> {
    let file = bench.folder.join(format!("{}-empty.json", peer.name()));
    std::fs::write(&file, serde_json::to_string(&configs::empty())?)?;
    let mut proxy = bench.start(peer, &file)?;
    std::thread::sleep(Duration::from_secs(2));
    anyhow::ensure!(
        proxy.is_alive(),
        "{} does not run an empty bootstrap: see {}",
        peer.name(),
        file.display()
    );
    Ok(proxy.memory())
}

fn clusters(bench: &Bench<'_>, peer: Peer, one_route: u64) -> anyhow::Result<u64> {
    let port = free_port()?;
    let (certs, upstream, observed) = (bench.certs, bench.backend, bench.observed);
    let job = Job { place: Place::Hop, between: Between::H1, listen: port, upstream, certs, observed };
    let file = bench.folder.join(format!("{}-10k.json", peer.name()));
    std::fs::write(&file, serde_json::to_string(&job.bootstrap(10_000))?)?;
    let mut proxy = bench.start(peer, &file)?;
    proxy.wait_ready(peer.name(), port)?;
    settle();
    Ok(proxy.memory().saturating_sub(one_route))
}

/// A connection that has had its answer.
fn one_request(port: u16) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let len = stream.read(&mut buffer)?;
        anyhow::ensure!(len > 0, "the proxy closed the connection");
        text.extend_from_slice(&buffer[..len]);
        let head = text.windows(4).position(|end| end == b"\r\n\r\n");
        if head.is_some_and(|head| text.len() >= head + 4 + 64) {
            return Ok(stream);
        }
    }
}

fn settle() {
    std::thread::sleep(Duration::from_millis(1500));
}
