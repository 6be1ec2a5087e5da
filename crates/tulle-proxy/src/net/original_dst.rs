//! The address a redirected connection was made for.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use socket2::SockRef;
use tokio::net::TcpStream;

/// The destination before the kernel's redirection (`SO_ORIGINAL_DST`, IPv4 and IPv6); `None` where the connection was not
/// redirected or connection tracking knows nothing of it.
pub(crate) fn original_destination(stream: &TcpStream, local: SocketAddr) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let found = if is_v4(local) { socket.original_dst_v4() } else { socket.original_dst_v6() };
    found.ok()?.as_socket().map(unmapped)
}

fn is_v4(address: SocketAddr) -> bool {
    match address {
        SocketAddr::V4(_) => true,
        SocketAddr::V6(v6) => v6.ip().to_ipv4_mapped().is_some(),
    }
}

/// An IPv4 address that a dual-stack socket shows as IPv6 becomes IPv4 again, so that it matches what is configured.
pub(crate) fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::V4(SocketAddrV4::new(v4, v6.port())),
            None => SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id())),
        },
        v4 => v4,
    }
}
