//! A finished request as expressions read it.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::access_log::operator::MetadataSource;
use crate::access_log::record::RequestRecord;
use crate::cel::{Attribute, Attributes, Value};

impl Attributes for RequestRecord<'_> {
    fn get<'a>(&'a self, attribute: &'a Attribute) -> Value<'a> {
        let some = |bytes: &'a [u8]| Value::bytes(Some(bytes).filter(|b| !b.is_empty()));
        match attribute {
            Attribute::RequestPath => some(self.path),
            Attribute::RequestUrlPath => some(self.path.split(|b| *b == b'?').next().unwrap_or_default()),
            Attribute::RequestQuery => {
                let mark = self.path.iter().position(|b| *b == b'?');
                mark.map_or(Value::Missing, |at| some(&self.path[at + 1..]))
            }
            Attribute::RequestHost => some(self.authority),
            Attribute::RequestScheme => some(self.scheme),
            Attribute::RequestMethod => some(self.method),
            Attribute::RequestProtocol => Value::text(self.protocol),
            Attribute::RequestId => Value::bytes(self.request_headers.header("x-request-id")),
            Attribute::RequestReferer => Value::bytes(self.request_headers.header("referer")),
            Attribute::RequestUserAgent => Value::bytes(self.request_headers.header("user-agent")),
            Attribute::RequestHeader(name) => Value::bytes(self.request_headers.header(name)),
            Attribute::RequestSize => Value::number(self.bytes_received),
            Attribute::RequestDuration => {
                self.duration.map_or(Value::Missing, |duration| Value::number(duration.as_millis()))
            }
            Attribute::ResponseCode if self.protocol.is_empty() => Value::Missing,
            Attribute::ResponseCode => Value::number(self.response_code),
            Attribute::ResponseCodeDetails => Value::text(self.response_code_details),
            Attribute::ResponseFlags => Value::number(self.response_flags.bits()),
            Attribute::ResponseGrpcStatus => self.grpc_status.map_or(Value::Missing, Value::number),
            Attribute::ResponseSize => Value::number(self.bytes_sent),
            Attribute::ResponseHeader(name) => Value::bytes(self.response_headers.header(name)),
            Attribute::ResponseTrailer(name) => Value::bytes(self.response_trailers.header(name)),
            Attribute::SourceAddress => address(self.downstream_remote_address),
            Attribute::SourcePort => port(self.downstream_remote_address),
            Attribute::DestinationAddress => address(self.downstream_local_address),
            Attribute::DestinationPort => port(self.downstream_local_address),
            Attribute::ConnectionId => Value::number(self.connection_id),
            Attribute::ConnectionMtls => Value::Bool(!self.downstream_peer_uri_san.is_empty()),
            Attribute::ConnectionServerName => Value::text(self.requested_server_name),
            Attribute::ConnectionTlsVersion => Value::text(self.downstream_tls_version),
            Attribute::ConnectionPeerUriSan => Value::text(self.downstream_peer_uri_san),
            Attribute::ConnectionLocalUriSan => Value::text(self.downstream_local_uri_san),
            Attribute::ConnectionTerminationDetails => Value::text(self.connection_termination_details),
            Attribute::UpstreamAddress => address(self.upstream_host),
            Attribute::UpstreamPort => port(self.upstream_host),
            Attribute::UpstreamLocalAddress => address(self.upstream_local_address),
            Attribute::UpstreamPeerUriSan => Value::text(self.upstream_peer_uri_san),
            Attribute::UpstreamTransportFailure => Value::text(self.upstream_transport_failure_reason),
            Attribute::UpstreamAttempts => Value::number(self.attempts),
            Attribute::ClusterName => Value::text(self.upstream_cluster_raw),
            Attribute::RouteName => Value::text(self.route_name),
            Attribute::FilterChainName => Value::text(self.filter_chain_name),
            Attribute::Metadata(path) => {
                let Some((namespace, path)) = path.split_first() else { return Value::Missing };
                let mut out = Vec::new();
                match self.metadata.write(MetadataSource::Dynamic, namespace, path, &mut out) {
                    Some(_) => Value::Text(Cow::Owned(String::from_utf8_lossy(&out).into_owned())),
                    None => Value::Missing,
                }
            }
        }
    }
}

fn address<'a>(address: Option<SocketAddr>) -> Value<'a> {
    address.map_or(Value::Missing, |address| Value::Text(Cow::Owned(address.to_string())))
}

fn port<'a>(address: Option<SocketAddr>) -> Value<'a> {
    address.map_or(Value::Missing, |address| Value::number(address.port()))
}
