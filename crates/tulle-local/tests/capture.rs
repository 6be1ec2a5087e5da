//! The rules of a pod, against a real kernel.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tulle_local::net::{Addresses, NodeNet, PodNet};
use tulle_local::redirect::{Capture, PROBE_MARK, PROXY_MARK};
use tulle_local::services::{ServicePort, Transport};

const A: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 2);
const B: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 3);
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 5);

/// Listens in a pod and answers each connection with `name` and the destination it was sent to first.
fn serve(pod: &PodNet, port: u16, name: &'static str) {
    let listener = pod.netns.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let socket = Socket::from(stream);
            let here = socket.local_addr().ok().and_then(|a| a.as_socket());
            let first =
                socket.original_dst_v4().ok().and_then(|a| a.as_socket()).filter(|a| Some(*a) != here);
            let text = format!("{name} {}", first.map(|a| a.to_string()).unwrap_or_default());
            let _ = (&socket).write_all(text.trim().as_bytes());
        }
    });
}

/// What answers a connection from a pod: a name, or the error.
fn ask(pod: &PodNet, to: Ipv4Addr, port: u16, mark: u32) -> String {
    let result = pod.netns.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if mark != 0 {
            socket.set_mark(mark)?;
        }
        socket.connect_timeout(&SocketAddr::from((to, port)).into(), Duration::from_secs(3))?;
        let mut stream = TcpStream::from(socket);
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    result.unwrap_or_else(|e| format!("{:?}", e.kind()))
}

fn node() -> NodeNet {
    NodeNet::create(Addresses::default()).unwrap()
}

fn service(port: u16, endpoints: &[(Ipv4Addr, u16)]) -> ServicePort {
    let endpoints = endpoints.iter().map(|(ip, port)| SocketAddrV4::new(*ip, *port)).collect();
    ServicePort { address: SERVICE, port, transport: Transport::Tcp, endpoints }
}

#[test]
fn a_pod_without_sidecar_reaches_services() {
    support::in_namespaces("a_pod_without_sidecar_reaches_services", || {
        let node = node();
        let a = node.add_pod(A, None).unwrap();
        let b = node.add_pod(B, None).unwrap();
        serve(&a, 9080, "a");
        serve(&b, 9081, "b");
        assert_eq!(ask(&a, B, 9081, 0), "b");
        a.set_services(&[service(80, &[(A, 9080), (B, 9081)]), service(81, &[(B, 9081)]), service(82, &[])])
            .unwrap();
        assert!(ask(&a, SERVICE, 81, 0).starts_with("b"));
        // Also through itself.
        let answers: Vec<String> = (0..40).map(|_| ask(&a, SERVICE, 80, 0)).collect();
        assert!(answers.iter().any(|t| t.starts_with("a")) && answers.iter().any(|t| t.starts_with("b")));
        assert!(answers.iter().all(|t| t.starts_with(['a', 'b'])), "{answers:?}");
        // No endpoints, and no such port: refused at once.
        assert_eq!(ask(&a, SERVICE, 82, 0), "ConnectionRefused");
        assert_eq!(ask(&a, SERVICE, 83, 0), "ConnectionRefused");
        a.set_services(&[]).unwrap();
        assert_eq!(ask(&a, SERVICE, 81, 0), "ConnectionRefused");
        node.remove_pod(&b);
        assert_eq!(
            tulle_local::netlink::link::index_of("pod0.3").unwrap_err().errno,
            rustix::io::Errno::NODEV
        );
    });
}

#[test]
fn a_sidecar_captures_both_ways() {
    support::in_namespaces("a_sidecar_captures_both_ways", || {
        let node = node();
        let a = node.add_pod(A, Some(&Capture::default())).unwrap();
        let b = node.add_pod(B, Some(&Capture::default())).unwrap();
        for pod in [&a, &b] {
            pod.set_services(&[service(80, &[(B, 9080)])]).unwrap();
            serve(pod, 15001, "outbound");
            serve(pod, 15006, "inbound");
            serve(pod, 15021, "health");
            serve(pod, 9080, "app");
        }
        // The application: outbound, with the first destination known.
        assert_eq!(ask(&a, SERVICE, 80, 0), "outbound 10.96.0.5:80");
        assert_eq!(ask(&a, B, 9080, 0), "outbound 10.244.0.3:9080");
        assert_eq!(ask(&a, Ipv4Addr::new(1, 1, 1, 1), 443, 0), "outbound 1.1.1.1:443");
        // The proxy: passes here, is captured over there.
        assert_eq!(ask(&a, B, 9080, PROXY_MARK), "inbound 10.244.0.3:9080");
        assert_eq!(ask(&a, SERVICE, 80, PROXY_MARK), "inbound 10.244.0.3:9080");
        assert_eq!(ask(&a, B, 15021, PROXY_MARK), "health");
        // The pod with itself, by the proxy through the mesh.
        assert_eq!(ask(&b, Ipv4Addr::LOCALHOST, 9080, 0), "app");
        assert_eq!(ask(&b, B, 9080, 0), "app");
        assert_eq!(ask(&b, B, 9080, PROXY_MARK), "inbound 10.244.0.3:9080");
        assert_eq!(ask(&b, Ipv4Addr::LOCALHOST, 9080, PROXY_MARK), "app");
        // The node's probes go straight to the application.
        assert_eq!(ask(&b, B, 9080, PROBE_MARK), "app");
    });
}

#[test]
fn annotations_leave_ports_and_ranges_out() {
    support::in_namespaces("annotations_leave_ports_and_ranges_out", || {
        let node = node();
        let annotations = [
            ("traffic.sidecar.istio.io/excludeOutboundPorts", "9090"),
            ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.244.0.3/32"),
            ("traffic.sidecar.istio.io/includeOutboundPorts", "9091"),
            ("traffic.sidecar.istio.io/excludeInboundPorts", "9092"),
        ];
        let capture =
            Capture::from_annotations(&annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
                .unwrap();
        let a = node.add_pod(A, Some(&capture)).unwrap();
        let b = node.add_pod(B, None).unwrap();
        a.set_services(&[service(9090, &[(B, 9090)])]).unwrap();
        serve(&a, 15001, "outbound");
        serve(&a, 15006, "inbound");
        serve(&a, 9092, "app");
        for port in [9090, 9091, 9093] {
            serve(&b, port, "b");
        }
        assert!(ask(&a, SERVICE, 9090, 0).starts_with("b"), "an excluded port still reaches its service");
        assert_eq!(ask(&a, B, 9093, 0), "b");
        assert_eq!(ask(&a, B, 9091, 0), "outbound 10.244.0.3:9091");
        assert_eq!(ask(&b, A, 9092, 0), "app");
        assert_eq!(ask(&b, A, 9093, 0), "inbound 10.244.0.2:9093");
    });
}
