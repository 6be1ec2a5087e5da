//! The rules of a pod, against a real kernel.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tulle_local::net::{Addresses, Families, Family, Ips, NodeNet, PodNet};
use tulle_local::redirect::{Capture, PROBE_MARK, PROXY_MARK};
use tulle_local::services::{ServicePort, Transport};

/// Two pods and a service in one family.
struct Place {
    family: Family,
    a: IpAddr,
    b: IpAddr,
    service: IpAddr,
}

/// The same pods and service in both families: whatever is said of one holds for the other.
fn places() -> [Place; 2] {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let (four, six) =
        (["10.244.0.2", "10.244.0.3", "10.96.0.5"], ["fd00:10:244::2", "fd00:10:244::3", "fd00:10:96::5"]);
    [(Family::V4, four), (Family::V6, six)].map(|(family, [a, b, service])| Place {
        family,
        a: ip(a),
        b: ip(b),
        service: ip(service),
    })
}

/// Listens in a pod, in both families, and answers each connection with `name` and the destination it was sent to first.
fn serve(pod: &PodNet, port: u16, name: &'static str) {
    for ip in pod.ips.all() {
        let family = Family::of(ip);
        let address = SocketAddr::new(family.unspecified(), port);
        let listener = pod.netns.run(|| {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            if family == Family::V6 {
                socket.set_only_v6(true)?;
            }
            socket.bind(&address.into())?;
            socket.listen(16)?;
            Ok(TcpListener::from(socket))
        });
        let listener = listener.unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let socket = Socket::from(stream);
                let here = socket.local_addr().ok().and_then(|a| a.as_socket());
                let first = match family {
                    Family::V4 => socket.original_dst_v4(),
                    Family::V6 => socket.original_dst_v6(),
                };
                let first = first.ok().and_then(|a| a.as_socket()).filter(|a| Some(*a) != here);
                let text = format!("{name} {}", first.map(|a| a.to_string()).unwrap_or_default());
                let _ = (&socket).write_all(text.trim().as_bytes());
            }
        });
    }
}

/// What answers a connection from a pod: a name, or the error.
fn ask(pod: &PodNet, to: IpAddr, port: u16, mark: u32) -> String {
    let to = SocketAddr::new(to, port);
    let result = pod.netns.run(|| {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        if mark != 0 {
            socket.set_mark(mark)?;
        }
        socket.connect_timeout(&to.into(), Duration::from_secs(3))?;
        let mut stream = TcpStream::from(socket);
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    result.unwrap_or_else(|e| format!("{:?}", e.kind()))
}

fn node() -> NodeNet {
    NodeNet::create(Addresses::new(Families::Dual)).unwrap()
}

fn ips(of: impl Fn(&Place) -> IpAddr) -> Ips {
    let [four, six] = places();
    Ips::new(of(&four), Some(of(&six)))
}

fn pods(node: &NodeNet, a: Option<&Capture>, b: Option<&Capture>) -> (PodNet, PodNet) {
    (node.add_pod(ips(|p| p.a), a).unwrap(), node.add_pod(ips(|p| p.b), b).unwrap())
}

fn service(place: &Place, port: u16, endpoints: &[(IpAddr, u16)]) -> ServicePort {
    let endpoints = endpoints.iter().map(|(ip, port)| SocketAddr::new(*ip, *port)).collect();
    ServicePort { address: place.service, port, transport: Transport::Tcp, endpoints }
}

#[test]
fn a_pod_without_sidecar_reaches_services() {
    support::in_namespaces("a_pod_without_sidecar_reaches_services", || {
        let node = node();
        let (a, b) = pods(&node, None, None);
        serve(&a, 9080, "a");
        serve(&b, 9081, "b");
        for place in places() {
            let Place { family, a: at_a, b: at_b, service: at } = place;
            assert_eq!(ask(&a, at_b, 9081, 0), "b", "{family:?}");
            let ports = [
                service(&place, 80, &[(at_a, 9080), (at_b, 9081)]),
                service(&place, 81, &[(at_b, 9081)]),
                service(&place, 82, &[]),
            ];
            a.set_services(family, &ports).unwrap();
            assert!(ask(&a, at, 81, 0).starts_with('b'), "{family:?}");
            // Also through itself.
            let answers: Vec<String> = (0..40).map(|_| ask(&a, at, 80, 0)).collect();
            assert!(answers.iter().any(|t| t.starts_with('a')) && answers.iter().any(|t| t.starts_with('b')));
            assert!(answers.iter().all(|t| t.starts_with(['a', 'b'])), "{answers:?}");
            // No endpoints, and no such port: refused at once.
            assert_eq!(ask(&a, at, 82, 0), "ConnectionRefused");
            assert_eq!(ask(&a, at, 83, 0), "ConnectionRefused");
            a.set_services(family, &[]).unwrap();
            assert_eq!(ask(&a, at, 81, 0), "ConnectionRefused");
        }
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
        let (a, b) = pods(&node, Some(&Capture::default()), Some(&Capture::default()));
        for pod in [&a, &b] {
            serve(pod, 15001, "outbound");
            serve(pod, 15006, "inbound");
            serve(pod, 15021, "health");
            serve(pod, 9080, "app");
        }
        let outside = ["1.1.1.1", "2001:db8::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        for (place, outside) in places().into_iter().zip(outside) {
            let Place { family, b: at, service: virtual_ip, .. } = place;
            for pod in [&a, &b] {
                pod.set_services(family, &[service(&place, 80, &[(at, 9080)])]).unwrap();
            }
            let to = |name: &str, ip: IpAddr, port| format!("{name} {}", SocketAddr::new(ip, port));
            // The application: outbound, with the first destination known.
            assert_eq!(ask(&a, virtual_ip, 80, 0), to("outbound", virtual_ip, 80));
            assert_eq!(ask(&a, at, 9080, 0), to("outbound", at, 9080));
            assert_eq!(ask(&a, outside, 443, 0), to("outbound", outside, 443));
            // The proxy: passes here, is captured over there.
            assert_eq!(ask(&a, at, 9080, PROXY_MARK), to("inbound", at, 9080));
            assert_eq!(ask(&a, virtual_ip, 80, PROXY_MARK), to("inbound", at, 9080));
            assert_eq!(ask(&a, at, 15021, PROXY_MARK), "health");
            // The pod with itself, by the proxy through the mesh.
            assert_eq!(ask(&b, family.loopback(), 9080, 0), "app");
            assert_eq!(ask(&b, at, 9080, 0), "app");
            assert_eq!(ask(&b, at, 9080, PROXY_MARK), to("inbound", at, 9080));
            assert_eq!(ask(&b, family.loopback(), 9080, PROXY_MARK), "app");
            // The node's probes go straight to the application.
            assert_eq!(ask(&b, at, 9080, PROBE_MARK), "app");
        }
        // The proxy speaks to its application from an address of its own.
        let source: SocketAddr = "[::6]:0".parse().unwrap();
        let bound = b.netns.run(|| Socket::new(Domain::IPV6, Type::STREAM, None)?.bind(&source.into()));
        assert!(bound.is_ok(), "{bound:?}");
    });
}

#[test]
fn annotations_leave_ports_and_ranges_out() {
    support::in_namespaces("annotations_leave_ports_and_ranges_out", || {
        let node = node();
        let annotations = [
            ("traffic.sidecar.istio.io/excludeOutboundPorts", "9090"),
            ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.244.0.3/32,fd00:10:244::3/128"),
            ("traffic.sidecar.istio.io/includeOutboundPorts", "9091"),
            ("traffic.sidecar.istio.io/excludeInboundPorts", "9092"),
        ];
        let capture =
            Capture::from_annotations(&annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
                .unwrap();
        let (a, b) = pods(&node, Some(&capture), None);
        serve(&a, 15001, "outbound");
        serve(&a, 15006, "inbound");
        serve(&a, 9092, "app");
        for port in [9090, 9091, 9093] {
            serve(&b, port, "b");
        }
        for place in places() {
            a.set_services(place.family, &[service(&place, 9090, &[(place.b, 9090)])]).unwrap();
            let answer = ask(&a, place.service, 9090, 0);
            assert!(answer.starts_with('b'), "an excluded port still reaches its service: {answer}");
            assert_eq!(ask(&a, place.b, 9093, 0), "b");
            assert_eq!(ask(&a, place.b, 9091, 0), format!("outbound {}", SocketAddr::new(place.b, 9091)));
            assert_eq!(ask(&b, place.a, 9092, 0), "app");
            assert_eq!(ask(&b, place.a, 9093, 0), format!("inbound {}", SocketAddr::new(place.a, 9093)));
        }
    });
}

#[test]
fn one_family_included_leaves_the_other_alone() {
    support::in_namespaces("one_family_included_leaves_the_other_alone", || {
        let node = node();
        let annotations =
            [("traffic.sidecar.istio.io/includeOutboundIPRanges".to_owned(), "10.0.0.0/8".to_owned())];
        let capture = Capture::from_annotations(&annotations.into()).unwrap();
        let (a, b) = pods(&node, Some(&capture), None);
        serve(&a, 15001, "outbound");
        serve(&b, 9093, "b");
        let [four, six] = places();
        assert_eq!(ask(&a, four.b, 9093, 0), "outbound 10.244.0.3:9093");
        assert_eq!(ask(&a, six.b, 9093, 0), "b");
    });
}

/// The link-local addresses of a pod's link, as `/proc/net/if_inet6` shows them.
fn link_local(pod: &PodNet) -> Vec<String> {
    let text =
        pod.netns.run(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6")).unwrap_or_default();
    let lines = text.lines().filter(|l| l.ends_with("eth0") && l.starts_with("fe80"));
    lines.map(|l| l[..32].to_owned()).collect()
}

#[test]
fn no_address_gets_around_capture() {
    support::in_namespaces("no_address_gets_around_capture", || {
        // Without IPv6 a pod has not even a link-local address: no rule would see what comes there.
        let node = NodeNet::create(Addresses::new(Families::V4)).unwrap();
        let [four, _] = places();
        let alone = node.add_pod(Ips::new(four.a, None), Some(&Capture::default())).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(link_local(&alone), [""; 0]);
        assert_eq!(ask(&alone, "fd00::1".parse().unwrap(), 80, 0), "NetworkUnreachable");
    });
}

#[test]
fn link_local_addresses_are_captured_too() {
    support::in_namespaces("link_local_addresses_are_captured_too", || {
        let node = node();
        let (a, b) = pods(&node, None, Some(&Capture::default()));
        serve(&b, 15006, "inbound");
        serve(&b, 9080, "app");
        let scope = a.netns.run(|| Ok(tulle_local::netlink::link::index_of("eth0").unwrap())).unwrap();
        let began = Instant::now();
        // The kernel looks for another owner of such an address first.
        let answer = loop {
            let to = link_local(&b).first().map(|hex| u128::from_str_radix(hex, 16).unwrap());
            let answer = to.map(|ip| {
                let to = SocketAddrV6::new(Ipv6Addr::from_bits(ip), 9080, 0, scope);
                a.netns.run(|| {
                    let mut stream = TcpStream::connect_timeout(&to.into(), Duration::from_secs(1))?;
                    let mut text = String::new();
                    stream.read_to_string(&mut text).map(|_| text)
                })
            });
            if let Some(Ok(text)) = answer {
                break text;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "no answer at a link-local address");
            std::thread::sleep(Duration::from_millis(100));
        };
        assert!(answer.starts_with("inbound"), "{answer}");
    });
}
