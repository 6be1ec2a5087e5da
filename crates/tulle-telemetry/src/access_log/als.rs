//! Entries of Envoy's access log service (`envoy.data.accesslog.v3`).

use std::net::SocketAddr;
use std::time::Duration;

use tulle_proto::envoy::access_log_data::{
    AccessLogCommon, AccessLogType, ConnectionProperties, HttpAccessLogEntry, HttpRequestProperties,
    HttpResponseProperties, ResponseFlags as Flags, TcpAccessLogEntry, TlsProperties,
    http_access_log_entry::HttpVersion,
    response_flags::{Unauthorized, unauthorized::Reason},
    tls_properties::{
        CertificateProperties, TlsVersion,
        certificate_properties::{SubjectAltName, subject_alt_name::San},
    },
};
use tulle_proto::envoy::core::{
    Address, RequestMethod, SocketAddress, address, socket_address::PortSpecifier,
};
use tulle_proto::envoy::google;

use super::{Headers, RequestRecord};
use crate::flags::{ResponseFlag, ResponseFlags};

/// Fields that entries tell besides those that they always tell, by their lower-case names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlsFields {
    /// Of the request.
    pub request: Vec<String>,
    /// Of the response.
    pub response: Vec<String>,
    /// Of its trailers.
    pub trailers: Vec<String>,
}

/// The entry of a request (or of a connection, which then says nothing of HTTP). `tags` are custom tags.
pub fn http_entry(
    line: &RequestRecord<'_>,
    fields: &AlsFields,
    tags: Vec<(String, String)>,
) -> HttpAccessLogEntry {
    let version = match line.protocol {
        "HTTP/1.0" => HttpVersion::Http10,
        "HTTP/1.1" => HttpVersion::Http11,
        "HTTP/2" => HttpVersion::Http2,
        _ => HttpVersion::ProtocolUnspecified,
    };
    HttpAccessLogEntry {
        common_properties: Some(common(line, tags)),
        protocol_version: version.into(),
        request: Some(request(line, fields)),
        response: Some(response(line, fields)),
    }
}

/// The entry of a connection (or of a request, as if it were one).
pub fn tcp_entry(line: &RequestRecord<'_>, tags: Vec<(String, String)>) -> TcpAccessLogEntry {
    TcpAccessLogEntry {
        common_properties: Some(common(line, tags)),
        connection_properties: Some(ConnectionProperties {
            received_bytes: line.bytes_received,
            sent_bytes: line.bytes_sent,
        }),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn request(line: &RequestRecord<'_>, fields: &AlsFields) -> HttpRequestProperties {
    let header = |name: &str| line.request_headers.header(name).map(lossy).unwrap_or_default();
    let pseudo = [
        (":method", line.method),
        (":path", line.path),
        (":authority", line.authority),
        (":scheme", line.scheme),
    ];
    let pseudo = pseudo.iter().filter(|(_, value)| !value.is_empty());
    let pseudo: u64 = pseudo.map(|(name, value)| (name.len() + value.len()) as u64).sum();
    let method = std::str::from_utf8(line.method).ok().and_then(RequestMethod::from_str_name);
    HttpRequestProperties {
        request_method: method.unwrap_or(RequestMethod::MethodUnspecified).into(),
        scheme: lossy(line.scheme),
        authority: lossy(line.authority),
        path: lossy(line.path),
        user_agent: header("user-agent"),
        referer: header("referer"),
        forwarded_for: header("x-forwarded-for"),
        request_id: header("x-request-id"),
        original_path: header("x-envoy-original-path"),
        request_headers_bytes: line.request_headers.bytes() + pseudo,
        request_body_bytes: line.bytes_received,
        request_headers: chosen(&fields.request, &|name| match name {
            ":method" => Some(line.method).filter(|m| !m.is_empty()),
            ":path" => Some(line.path).filter(|p| !p.is_empty()),
            ":authority" | "host" => Some(line.authority).filter(|a| !a.is_empty()),
            ":scheme" => Some(line.scheme).filter(|s| !s.is_empty()),
            _ => line.request_headers.header(name),
        }),
        ..HttpRequestProperties::default()
    }
}

fn response(line: &RequestRecord<'_>, fields: &AlsFields) -> HttpResponseProperties {
    let status = if line.response_code == 0 { 0 } else { ":status200".len() as u64 };
    let of = |headers: Headers<'_>, names: &[String]| chosen(names, &|name| headers.header(name));
    HttpResponseProperties {
        response_code: (line.response_code != 0)
            .then(|| google::UInt32Value { value: line.response_code.into() }),
        response_headers_bytes: line.response_headers.bytes() + status,
        response_body_bytes: line.bytes_sent,
        response_headers: of(line.response_headers, &fields.response),
        response_trailers: of(line.response_trailers, &fields.trailers),
        response_code_details: line.response_code_details.to_owned(),
        ..HttpResponseProperties::default()
    }
}

fn chosen<'a>(
    names: &[String],
    value: &dyn Fn(&str) -> Option<&'a [u8]>,
) -> std::collections::HashMap<String, String> {
    names.iter().filter_map(|name| Some((name.clone(), lossy(value(name)?)))).collect()
}

fn common(line: &RequestRecord<'_>, tags: Vec<(String, String)>) -> AccessLogCommon {
    let of_http = !line.protocol.is_empty();
    let kind = if of_http { AccessLogType::DownstreamEnd } else { AccessLogType::TcpConnectionEnd };
    AccessLogCommon {
        downstream_remote_address: line.downstream_remote_address.map(address),
        downstream_local_address: line.downstream_local_address.map(address),
        downstream_direct_remote_address: line.downstream_direct_remote_address.map(address),
        tls_properties: tls(line),
        start_time: Some(google::Timestamp {
            seconds: i64::try_from(line.start.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(line.start.subsec_nanos()).unwrap_or(0),
        }),
        duration: line.duration.map(duration),
        time_to_last_rx_byte: line.request_duration.map(duration),
        time_to_first_upstream_rx_byte: line.response_duration.map(duration),
        upstream_remote_address: line.upstream_host.map(address),
        upstream_local_address: line.upstream_local_address.map(address),
        upstream_cluster: line.upstream_cluster_raw.to_owned(),
        upstream_transport_failure_reason: line.upstream_transport_failure_reason.to_owned(),
        response_flags: flags(line.response_flags),
        metadata: line.metadata.all(),
        route_name: line.route_name.to_owned(),
        custom_tags: tags.into_iter().collect(),
        upstream_request_attempt_count: line.attempts,
        connection_termination_details: line.connection_termination_details.to_owned(),
        stream_id: line.request_headers.header("x-request-id").map(lossy).unwrap_or_default(),
        access_log_type: kind.into(),
        ..AccessLogCommon::default()
    }
}

fn address(at: SocketAddr) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: at.ip().to_string(),
            port_specifier: Some(PortSpecifier::PortValue(at.port().into())),
            ..SocketAddress::default()
        })),
    }
}

fn duration(value: Duration) -> google::Duration {
    google::Duration {
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(value.subsec_nanos()).unwrap_or(0),
    }
}

fn tls(line: &RequestRecord<'_>) -> Option<TlsProperties> {
    let name = line.requested_server_name;
    let version = match line.downstream_tls_version {
        "TLSv1.2" => TlsVersion::TlSv12,
        "TLSv1.3" => TlsVersion::TlSv13,
        _ if name.is_empty() => return None,
        _ => TlsVersion::VersionUnspecified,
    };
    let certificate = |uri: &str| {
        (version != TlsVersion::VersionUnspecified).then(|| CertificateProperties {
            subject_alt_name: (!uri.is_empty())
                .then(|| SubjectAltName { san: Some(San::Uri(uri.to_owned())) })
                .into_iter()
                .collect(),
            ..CertificateProperties::default()
        })
    };
    Some(TlsProperties {
        tls_version: version.into(),
        tls_sni_hostname: name.to_owned(),
        local_certificate_properties: certificate(line.downstream_local_uri_san),
        peer_certificate_properties: certificate(line.downstream_peer_uri_san),
        ..TlsProperties::default()
    })
}

fn flags(set: ResponseFlags) -> Option<Flags> {
    if set.is_empty() {
        return None;
    }
    let mut out = Flags::default();
    for flag in set.iter() {
        match flag {
            ResponseFlag::FailedLocalHealthCheck => out.failed_local_healthcheck = true,
            ResponseFlag::NoHealthyUpstream => out.no_healthy_upstream = true,
            ResponseFlag::UpstreamRequestTimeout => out.upstream_request_timeout = true,
            ResponseFlag::LocalReset => out.local_reset = true,
            ResponseFlag::UpstreamRemoteReset => out.upstream_remote_reset = true,
            ResponseFlag::UpstreamConnectionFailure => out.upstream_connection_failure = true,
            ResponseFlag::UpstreamConnectionTermination => out.upstream_connection_termination = true,
            ResponseFlag::UpstreamOverflow => out.upstream_overflow = true,
            ResponseFlag::NoRouteFound => out.no_route_found = true,
            ResponseFlag::DelayInjected => out.delay_injected = true,
            ResponseFlag::FaultInjected => out.fault_injected = true,
            ResponseFlag::RateLimited => out.rate_limited = true,
            ResponseFlag::UnauthorizedExternalService => {
                out.unauthorized_details = Some(Unauthorized { reason: Reason::ExternalService.into() });
            }
            ResponseFlag::RateLimitServiceError => out.rate_limit_service_error = true,
            ResponseFlag::DownstreamConnectionTermination => out.downstream_connection_termination = true,
            ResponseFlag::UpstreamRetryLimitExceeded => out.upstream_retry_limit_exceeded = true,
            ResponseFlag::StreamIdleTimeout => out.stream_idle_timeout = true,
            ResponseFlag::InvalidEnvoyRequestHeaders => out.invalid_envoy_request_headers = true,
            ResponseFlag::DownstreamProtocolError => out.downstream_protocol_error = true,
            ResponseFlag::UpstreamMaxStreamDurationReached => {
                out.upstream_max_stream_duration_reached = true;
            }
            ResponseFlag::ResponseFromCacheFilter => out.response_from_cache_filter = true,
            ResponseFlag::NoFilterConfigFound => out.no_filter_config_found = true,
            ResponseFlag::DurationTimeout => out.duration_timeout = true,
            ResponseFlag::UpstreamProtocolError => out.upstream_protocol_error = true,
            ResponseFlag::NoClusterFound => out.no_cluster_found = true,
            ResponseFlag::OverloadManager => out.overload_manager = true,
            ResponseFlag::DnsResolutionFailed => out.dns_resolution_failure = true,
            ResponseFlag::DownstreamRemoteReset => out.downstream_remote_reset = true,
            // The message has no fields for them.
            ResponseFlag::DropOverload | ResponseFlag::UnconditionalDropOverload => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::HeaderLookup;

    struct One;

    impl HeaderLookup for One {
        fn header(&self, name: &str) -> Option<&[u8]> {
            match name {
                "x-a" => Some(b"\xff1"),
                "user-agent" => Some(b"test"),
                _ => None,
            }
        }
    }

    #[test]
    fn an_entry_of_a_request() {
        let mut flags = ResponseFlags::NONE;
        flags.insert(ResponseFlag::UpstreamConnectionFailure);
        let line = RequestRecord {
            start: Duration::new(5, 7),
            protocol: "HTTP/2",
            method: b"GET",
            path: b"/x",
            response_code: 503,
            response_flags: flags,
            request_headers: &One,
            requested_server_name: "a.b",
            downstream_remote_address: Some(([10, 0, 0, 1], 4).into()),
            ..RequestRecord::default()
        };
        let fields = AlsFields {
            request: vec!["x-a".into(), ":path".into(), "x-none".into()],
            ..AlsFields::default()
        };
        let entry = http_entry(&line, &fields, vec![("k".to_owned(), "v".to_owned())]);
        let request = entry.request.unwrap();
        assert_eq!(entry.protocol_version, i32::from(HttpVersion::Http2));
        assert_eq!(
            (request.request_method, request.user_agent.as_str()),
            (RequestMethod::Get.into(), "test")
        );
        let mut told: Vec<_> = request.request_headers.into_iter().collect();
        told.sort();
        assert_eq!(told, [(":path".to_owned(), "/x".to_owned()), ("x-a".to_owned(), "\u{fffd}1".to_owned())]);
        let common = entry.common_properties.unwrap();
        assert!(common.response_flags.unwrap().upstream_connection_failure);
        assert_eq!(common.tls_properties.unwrap().tls_sni_hostname, "a.b");
        assert_eq!(common.custom_tags["k"], "v");
        assert_eq!(common.start_time, Some(google::Timestamp { seconds: 5, nanos: 7 }));
        assert_eq!(entry.response.unwrap().response_code, Some(google::UInt32Value { value: 503 }));
    }

    #[test]
    fn a_connection_has_bytes_and_no_flags_if_all_is_well() {
        let line = RequestRecord { bytes_received: 3, bytes_sent: 4, ..RequestRecord::default() };
        let entry = tcp_entry(&line, Vec::new());
        let wanted = ConnectionProperties { received_bytes: 3, sent_bytes: 4 };
        assert_eq!(entry.connection_properties, Some(wanted));
        let common = entry.common_properties.unwrap();
        assert_eq!((common.response_flags, common.tls_properties), (None, None));
        assert_eq!(common.access_log_type, i32::from(AccessLogType::TcpConnectionEnd));
    }
}
