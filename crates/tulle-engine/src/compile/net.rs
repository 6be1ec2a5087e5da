//! Addresses.

use std::net::IpAddr;

use tulle_proto::envoy::core;

use super::context::{At, Context, UNSUPPORTED};
use super::value::text;
use crate::runtime::net::{Address, CidrRange, ListenAddress, TcpKeepalive};

/// Whether a host name may stand in place of an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Allowed,
    Refused,
}

pub(super) fn address(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::Address>,
    names: Names,
) -> Option<Address> {
    use core::address::Address as Kind;
    let core::Address { address } = cx.required(at, message)?;
    match address {
        Some(Kind::SocketAddress(message)) => socket_address(cx, &at.field("socket_address"), message, names),
        Some(Kind::Pipe(core::Pipe { path, mode })) => {
            let at = at.field("pipe");
            no_effect!(cx, at, mode: "the socket keeps the mode of the process's umask");
            if path.is_empty() {
                cx.refuse(&at.field("path"), "must not be empty");
                return None;
            }
            Some(Address::Pipe(text(path)))
        }
        Some(Kind::EnvoyInternalAddress(_)) => {
            cx.refuse(&at.field("envoy_internal_address"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs socket_address or pipe");
            None
        }
    }
}

/// An address to listen on.
pub(super) fn listen_address(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::Address>,
) -> Option<ListenAddress> {
    use core::address::Address as Kind;
    let mut message = message.cloned();
    let mut ipv4_compat = false;
    if let Some(core::Address { address: Some(Kind::SocketAddress(socket)) }) = &mut message {
        ipv4_compat = std::mem::take(&mut socket.ipv4_compat);
    }
    let address = address(cx, at, message.as_ref(), Names::Refused)?;
    Some(ListenAddress { address, ipv4_compat })
}

pub(super) fn socket_address(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &core::SocketAddress,
    names: Names,
) -> Option<Address> {
    use core::socket_address::{PortSpecifier, Protocol};
    let core::SocketAddress {
        protocol,
        address,
        resolver_name,
        ipv4_compat,
        network_namespace_filepath,
        port_specifier,
    } = message;
    if cx.choice(&at.field("protocol"), *protocol) == Some(Protocol::Udp) {
        cx.refuse(&at.field("protocol"), "UDP is not supported");
    }
    refuse!(cx, at, resolver_name: UNSUPPORTED, network_namespace_filepath: UNSUPPORTED);
    no_effect!(cx, at, ipv4_compat: "only addresses to listen on take both families");
    let port = match port_specifier {
        None => 0,
        Some(PortSpecifier::PortValue(port)) => cx.port(&at.field("port_value"), *port)?,
        Some(PortSpecifier::NamedPort(_)) => {
            cx.refuse(&at.field("named_port"), UNSUPPORTED);
            return None;
        }
    };
    match (address.parse::<IpAddr>(), names) {
        (Ok(ip), _) => Some(Address::Ip((ip, port).into())),
        (Err(_), Names::Allowed) if !address.is_empty() => Some(Address::Name(text(address), port)),
        (Err(_), _) => {
            cx.refuse(&at.field("address"), format!("{address:?} is not an IP address"));
            None
        }
    }
}

pub(super) fn cidr(cx: &mut Context<'_>, at: &At<'_>, message: &core::CidrRange) -> Option<CidrRange> {
    let core::CidrRange { address_prefix, prefix_len } = message;
    let Ok(ip) = address_prefix.parse::<IpAddr>() else {
        cx.refuse(&at.field("address_prefix"), format!("{address_prefix:?} is not an IP address"));
        return None;
    };
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let len = cx.between(&at.field("prefix_len"), prefix_len.as_ref().map_or(0, |l| l.value), 0, longest)?;
    let len = u8::try_from(len).unwrap_or(u8::MAX);
    // Addresses are compared as IPv4 however they are spelt; so are ranges.
    match ip {
        IpAddr::V6(v6) if len >= 96 && v6.to_ipv4_mapped().is_some() => {
            Some(CidrRange::new(ip.to_canonical(), len - 96))
        }
        _ => Some(CidrRange::new(ip, len)),
    }
}

pub(super) fn cidrs(cx: &mut Context<'_>, at: &At<'_>, list: &[core::CidrRange]) -> Vec<CidrRange> {
    list.iter().enumerate().filter_map(|(i, message)| cidr(cx, &at.index(i), message)).collect()
}

pub(super) fn keepalive(message: &core::TcpKeepalive) -> TcpKeepalive {
    let core::TcpKeepalive { keepalive_probes, keepalive_time, keepalive_interval } = message;
    TcpKeepalive {
        probes: keepalive_probes.as_ref().map(|v| v.value),
        time_seconds: keepalive_time.as_ref().map(|v| v.value),
        interval_seconds: keepalive_interval.as_ref().map(|v| v.value),
    }
}
