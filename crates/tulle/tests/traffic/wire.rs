//! What crosses the bridge between two pods, captured and parsed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};

use crate::harness::{Mesh, Spec, is_root};
use crate::manifests::{client, documents, echo, injected_default, service};

/// One direction of a TCP connection.
type Flow = (Ipv4Addr, u16, Ipv4Addr, u16);

/// Every protocol: a socket for one protocol alone is not shown what leaves.
const ETH_P_ALL: u16 = 0x0003;
const TLS_1_3: u16 = 0x0304;

/// Captures the TCP payload of every flow on the pod's interfaces until `stop`, from its first byte on.
fn capture(netns: &str, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<BTreeMap<Flow, Vec<u8>>> {
    let netns = File::open(netns).unwrap_or_else(|e| panic!("{netns}: {e}"));
    std::thread::spawn(move || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter");
        let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let mut socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket.set_recv_buffer_size(8 << 20).unwrap();
        let (mut flows, mut packet) = (BTreeMap::new(), vec![0u8; 65_536]);
        while !stop.load(Ordering::Relaxed) {
            let Ok(n) = socket.read(&mut packet) else { continue };
            if let Some((flow, seq, syn, payload)) = tcp(&packet[..n]) {
                record(&mut flows, flow, seq, syn, payload);
            }
        }
        flows.into_iter().map(|(flow, (_, bytes))| (flow, bytes)).collect()
    })
}

/// Flow, sequence number, whether this opens the direction, and payload of a TCP segment in an IPv4 packet.
fn tcp(packet: &[u8]) -> Option<(Flow, u32, bool, &[u8])> {
    if packet.first()? >> 4 != 4 {
        return None;
    }
    let header = usize::from(packet.first()? & 15) * 4;
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let (ip, segment) = (packet.get(..header)?, packet.get(header..total)?);
    if ip[9] != 6 {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
    let port = |at: usize| Some(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?]));
    let seq = u32::from_be_bytes(segment.get(4..8)?.try_into().ok()?);
    let data = usize::from(segment.get(12)? >> 4) * 4;
    let syn = segment.get(13)? & 2 != 0;
    Some(((address(12), port(0)?, address(16), port(2)?), seq, syn, segment.get(data..)?))
}

/// Puts a segment's payload at its place; what came before the capture or twice is left out.
fn record(flows: &mut BTreeMap<Flow, (u32, Vec<u8>)>, flow: Flow, seq: u32, syn: bool, payload: &[u8]) {
    if syn {
        flows.insert(flow, (seq.wrapping_add(1), Vec::new()));
    }
    let Some((start, bytes)) = flows.get_mut(&flow) else { return };
    let at = seq.wrapping_sub(*start) as usize;
    if at == bytes.len() {
        bytes.extend_from_slice(payload);
    }
}

/// The TLS records of a stream: content type and body. Panics where the bytes are no TLS.
fn records(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut out = Vec::new();
    while bytes.len() >= 5 {
        let (kind, version) = (bytes[0], u16::from_be_bytes([bytes[1], bytes[2]]));
        assert!(
            (20..=23).contains(&kind) && matches!(version, 0x0301 | 0x0303),
            "no TLS record: {:?}",
            &bytes[..5]
        );
        let end = 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        out.push((kind, &bytes[5..end.min(bytes.len())]));
        bytes = &bytes[end.min(bytes.len())..];
    }
    out
}

/// The version that a ServerHello chose (RFC 8446, 4.1.3 and 4.2.1).
fn chosen_version(hello: &[u8]) -> u16 {
    let mut version = u16::from_be_bytes([hello[4], hello[5]]);
    let session = usize::from(hello[38]);
    let mut extensions = &hello[38 + 1 + session + 2 + 1 + 2..];
    while extensions.len() >= 4 {
        let kind = u16::from_be_bytes([extensions[0], extensions[1]]);
        let length = usize::from(u16::from_be_bytes([extensions[2], extensions[3]]));
        if kind == 43 {
            version = u16::from_be_bytes([extensions[4], extensions[5]]);
        }
        extensions = &extensions[(4 + length).min(extensions.len())..];
    }
    version
}

#[test]
fn strict_pods_speak_nothing_but_tls_1_3() {
    if !is_root() {
        eprintln!("skipped: only root may capture");
        return;
    }
    let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: default\nspec:\n  mtls: {mode: STRICT}\n";
    let manifests = [
        ("base.yaml", documents(&[injected_default(), service("echo", "http"), strict.to_owned()])),
        ("pods.yaml", documents(&[echo("echo", "v1"), client("client", "client", "")])),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let pods = mesh.ready["pods"].as_array().unwrap();
    let pod =
        |name: &str| pods.iter().find(|p| p["name"].as_str().is_some_and(|n| n.starts_with(name))).unwrap();
    let address = |name: &str| pod(name)["ip"].as_str().unwrap().parse::<Ipv4Addr>().unwrap();
    let (from, to) = (address("client"), address("echo"));

    let stop = Arc::new(AtomicBool::new(false));
    let captured = capture(pod("echo")["netns"].as_str().unwrap(), stop.clone());
    std::thread::sleep(Duration::from_millis(300));
    let seen = mesh.load_from("client", &["http://echo:9080/", "-n", "200", "-c", "4", "--reconnect"]);
    assert_eq!(seen["status"]["200"], 200, "{seen}");
    std::thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::Relaxed);
    let flows = captured.join().unwrap();

    let between: Vec<_> = flows
        .iter()
        .filter(|((source, _, target, _), bytes)| {
            ((*source, *target) == (from, to) || (*source, *target) == (to, from)) && !bytes.is_empty()
        })
        .collect();
    assert!(!between.is_empty(), "something crossed the bridge: {:?}", flows.keys().collect::<Vec<_>>());
    let mut hellos = 0;
    for ((source, ..), bytes) in between {
        let records = records(bytes);
        let (kind, first) = records[0];
        assert_eq!(kind, 22, "a handshake comes first");
        if *source == to {
            assert_eq!((first[0], chosen_version(first)), (2, TLS_1_3), "ServerHello chooses TLS 1.3");
            hellos += 1;
        }
    }
    assert!(hellos > 0, "at least one whole handshake was captured");
}
