//! The PROXY protocol towards endpoints: a transport socket around another one.

use tulle_proto::envoy::core;
use tulle_proto::envoy::upstream_proxy_protocol::ProxyProtocolUpstreamTransport;
use tulle_proto::type_url;

use super::context::{At, Context, UNSUPPORTED};
use super::tls;
use crate::runtime::cluster::{ProxyProtocol, UpstreamTransport};

/// How bytes are wrapped, and what is said before.
type Wrapped = (UpstreamTransport, Option<ProxyProtocol>);

/// A transport socket towards endpoints.
pub(super) fn upstream(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::TransportSocket>,
) -> Option<Wrapped> {
    use core::transport_socket::ConfigType;
    let any = match message.and_then(|m| m.config_type.as_ref()) {
        Some(ConfigType::TypedConfig(any)) if any.type_url == type_url::UPSTREAM_PROXY_PROTOCOL => any,
        _ => return Some((tls::upstream(cx, at, message)?, None)),
    };
    let at = at.field("typed_config");
    let message: ProxyProtocolUpstreamTransport = cx.unpack(&at, any)?;
    let ProxyProtocolUpstreamTransport {
        config,
        transport_socket,
        allow_unspecified_address,
        tlv_as_pool_key,
    } = &message;
    no_effect!(cx, at,
        allow_unspecified_address: "addresses are always known",
        tlv_as_pool_key: "there are no TLVs",
    );
    let version = match config {
        None => ProxyProtocol::V1,
        Some(core::ProxyProtocolConfig { version, pass_through_tlvs, added_tlvs }) => {
            let at = at.field("config");
            refuse!(cx, at, pass_through_tlvs: UNSUPPORTED, added_tlvs: UNSUPPORTED);
            match cx.choice(&at.field("version"), *version)? {
                core::proxy_protocol_config::Version::V1 => ProxyProtocol::V1,
                core::proxy_protocol_config::Version::V2 => ProxyProtocol::V2,
            }
        }
    };
    let inner = at.field("transport_socket");
    cx.required(&inner, transport_socket.as_ref())?;
    Some((tls::upstream(cx, &inner, transport_socket.as_ref())?, Some(version)))
}
