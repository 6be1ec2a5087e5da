//! The HTTP connection manager.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::http_connection_manager::{self as hcm, http_connection_manager as part};
use tulle_proto::envoy::{core, google};

use super::context::{At, Context, NO_HTTP3, UNSUPPORTED};
use super::value::{config_source, data, flag, number, one_line, text};
use super::{access_log, headers, http_filter, http_options, net, route_table};
use crate::runtime::http_manager::{
    BodyFormat, Codec, EscapedSlashes, ForwardClientCert, ForwardClientCertMode, HostHandling, HttpManager,
    HttpTimeouts, LocalReplies, LocalReplyMapper, PathHandling, RemoteAddress, RequestLimits, RouteSource,
    SchemeHandling, ServerHeader, ServerHeaderMode, StripPort, Upgrade,
};

/// Names every field: those that [`http_manager`] does not read are refused or noted here.
fn account(cx: &mut Context<'_>, at: &At<'_>, message: &hcm::HttpConnectionManager) {
    let hcm::HttpConnectionManager {
        codec_type: _,
        stat_prefix: _,
        http_filters: _,
        add_user_agent: _,
        tracing: _,
        common_http_protocol_options: _,
        http1_safe_max_connection_duration,
        http_protocol_options: _,
        http2_protocol_options: _,
        http3_protocol_options,
        server_name: _,
        server_header_transformation: _,
        scheme_header_transformation: _,
        max_request_headers_kb: _,
        stream_idle_timeout: _,
        stream_flush_timeout: _,
        request_timeout: _,
        request_headers_timeout: _,
        drain_timeout: _,
        drain_timeout_jitter,
        delayed_close_timeout: _,
        access_log: _,
        access_log_flush_interval,
        flush_access_log_on_new_request,
        access_log_options,
        use_remote_address: _,
        xff_num_trusted_hops: _,
        original_ip_detection_extensions,
        early_header_mutation_extensions,
        internal_address_config: _,
        skip_xff_append: _,
        via: _,
        generate_request_id: _,
        preserve_external_request_id: _,
        always_set_request_id_in_response: _,
        forward_client_cert_details: _,
        set_current_client_cert_details: _,
        forward_client_cert_matcher,
        proxy_100_continue: _,
        represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        upgrade_configs: _,
        normalize_path: _,
        merge_slashes: _,
        path_with_escaped_slashes_action: _,
        request_id_extension: _,
        local_reply_config: _,
        strip_matching_host_port: _,
        stream_error_on_invalid_http_message: _,
        path_normalization_options,
        strip_trailing_host_dot: _,
        proxy_status_config,
        typed_header_validation_config,
        append_x_forwarded_port: _,
        append_local_overload,
        add_proxy_protocol_connection_state,
        forward_proto_config,
        route_specifier: _,
        strip_port_mode: _,
    } = message;
    refuse!(cx, at,
        original_ip_detection_extensions: UNSUPPORTED,
        early_header_mutation_extensions: UNSUPPORTED,
        forward_client_cert_matcher: UNSUPPORTED,
        path_normalization_options: "is not supported: use normalize_path",
        typed_header_validation_config: UNSUPPORTED,
        forward_proto_config: UNSUPPORTED,
        represent_ipv4_remote_address_as_ipv4_mapped_ipv6: UNSUPPORTED,
        proxy_status_config: UNSUPPORTED,
    );
    no_effect!(cx, at,
        http3_protocol_options: NO_HTTP3,
        http1_safe_max_connection_duration: "HTTP/1 connections always end between two requests",
        drain_timeout_jitter: "connections drain for exactly drain_timeout",
        access_log_flush_interval: "requests are logged once, at their end",
        flush_access_log_on_new_request: "requests are logged once, at their end",
        access_log_options: "requests are logged once, at their end",
        append_local_overload: "there is no overload manager",
        add_proxy_protocol_connection_state: "proxy protocol is not spoken",
    );
}

pub(super) fn http_manager(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &hcm::HttpConnectionManager,
) -> Option<HttpManager> {
    account(cx, at, message);
    let request_id = super::tracing::request_ids(cx, at, message);
    if message.stat_prefix.is_empty() {
        cx.refuse(&at.field("stat_prefix"), "must not be empty");
    }
    let codec = codec(cx, &at.field("codec_type"), message.codec_type);
    let invalid_ends_stream = message.stream_error_on_invalid_http_message.as_ref();
    let http1 =
        http_options::http1(cx, &at.field("http_protocol_options"), message.http_protocol_options.as_ref());
    let http2 =
        http_options::http2(cx, &at.field("http2_protocol_options"), message.http2_protocol_options.as_ref());
    let common_at = at.field("common_http_protocol_options");
    let common = http_options::common(cx, &common_at, message.common_http_protocol_options.as_ref());
    let routes = routes(cx, at, message.route_specifier.as_ref());
    let filters = http_filter::filters(cx, &at.field("http_filters"), &message.http_filters);
    let access_logs = access_log::access_logs(cx, &at.field("access_log"), &message.access_log);
    let local_replies =
        local_replies(cx, &at.field("local_reply_config"), message.local_reply_config.as_ref());
    let remote_address = remote_address(cx, at, message);
    let client_cert = client_cert(
        cx,
        at,
        message.forward_client_cert_details,
        message.set_current_client_cert_details.as_ref(),
    );
    let escaped_slashes = escaped_slashes(cx, at, message.path_with_escaped_slashes_action);
    let server = server(cx, at, &message.server_name, message.server_header_transformation);
    let tracing = super::tracing::tracing(cx, &at.field("tracing"), message.tracing.as_ref());
    let upgrades = upgrades(cx, &at.field("upgrade_configs"), &message.upgrade_configs);
    let strip_port = strip_port(cx, at, message);
    let scheme_at = at.field("scheme_header_transformation");
    let scheme = scheme(cx, &scheme_at, message.scheme_header_transformation.as_ref());
    let max_kb = number(message.max_request_headers_kb.as_ref(), 60);
    cx.between(&at.field("max_request_headers_kb"), max_kb, 1, 8192);
    let (common, mut http1, mut http2) = (common?, http1?, http2?);
    if let Some(google::BoolValue { value }) = invalid_ends_stream {
        http1.stream_error_on_invalid |= value;
        http2.stream_error_on_invalid |= value;
    }
    Some(HttpManager {
        stat_prefix: text(&message.stat_prefix),
        codec: codec?,
        routes: routes?,
        filters,
        access_logs,
        timeouts: timeouts(cx, at, message, &common),
        server: server?,
        via: one_line(cx, &at.field("via"), &message.via),
        remote_address,
        client_cert: client_cert?,
        path: PathHandling {
            normalize: flag(message.normalize_path.as_ref(), false),
            merge_slashes: message.merge_slashes,
            escaped_slashes: escaped_slashes?,
        },
        host: HostHandling { strip_port, strip_trailing_dot: message.strip_trailing_host_dot },
        scheme: scheme?,
        upgrades,
        http1,
        http2,
        limits: RequestLimits {
            max_headers_bytes: max_kb.saturating_mul(1024),
            max_headers: common.max_headers,
            max_requests_per_connection: common.max_requests_per_connection,
            underscores: common.underscores,
        },
        request_id,
        local_replies: local_replies?,
        tracing: tracing?,
        add_user_agent: flag(message.add_user_agent.as_ref(), false),
        proxy_100_continue: message.proxy_100_continue,
    })
}

fn codec(cx: &mut Context<'_>, at: &At<'_>, kind: i32) -> Option<Codec> {
    match cx.choice(at, kind)? {
        part::CodecType::Auto => Some(Codec::Auto),
        part::CodecType::Http1 => Some(Codec::Http1),
        part::CodecType::Http2 => Some(Codec::Http2),
        part::CodecType::Http3 => {
            cx.refuse(at, NO_HTTP3);
            None
        }
    }
}

fn remote_address(cx: &mut Context<'_>, at: &At<'_>, message: &hcm::HttpConnectionManager) -> RemoteAddress {
    RemoteAddress {
        use_remote_address: flag(message.use_remote_address.as_ref(), false),
        xff_trusted_hops: message.xff_num_trusted_hops,
        skip_xff_append: message.skip_xff_append,
        append_x_forwarded_port: message.append_x_forwarded_port,
        internal: internal_ranges(
            cx,
            &at.field("internal_address_config"),
            message.internal_address_config.as_ref(),
        ),
        internal_unix_sockets: message.internal_address_config.as_ref().is_some_and(|c| c.unix_sockets),
    }
}

fn strip_port(cx: &mut Context<'_>, at: &At<'_>, message: &hcm::HttpConnectionManager) -> StripPort {
    match &message.strip_port_mode {
        Some(part::StripPortMode::StripAnyHostPort(true)) if message.strip_matching_host_port => {
            cx.refuse(&at.field("strip_any_host_port"), "cannot stand beside strip_matching_host_port");
            StripPort::Any
        }
        Some(part::StripPortMode::StripAnyHostPort(true)) => StripPort::Any,
        _ if message.strip_matching_host_port => StripPort::Matching,
        _ => StripPort::Never,
    }
}

fn timeouts(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &hcm::HttpConnectionManager,
    common: &http_options::CommonHttp,
) -> HttpTimeouts {
    let stream_idle = cx.limit(
        &at.field("stream_idle_timeout"),
        message.stream_idle_timeout.as_ref(),
        Some(Duration::from_secs(300)),
    );
    HttpTimeouts {
        request: cx.limit(&at.field("request_timeout"), message.request_timeout.as_ref(), None),
        request_headers: cx.limit(
            &at.field("request_headers_timeout"),
            message.request_headers_timeout.as_ref(),
            None,
        ),
        stream_idle,
        stream_flush: cx.limit(
            &at.field("stream_flush_timeout"),
            message.stream_flush_timeout.as_ref(),
            stream_idle,
        ),
        idle: common.idle,
        max_connection: common.max_connection,
        max_stream: common.max_stream,
        drain: cx
            .duration(&at.field("drain_timeout"), message.drain_timeout.as_ref())
            .unwrap_or(Duration::from_secs(5)),
        delayed_close: cx
            .duration(&at.field("delayed_close_timeout"), message.delayed_close_timeout.as_ref())
            .unwrap_or(Duration::from_secs(1)),
    }
}

fn routes(cx: &mut Context<'_>, at: &At<'_>, message: Option<&part::RouteSpecifier>) -> Option<RouteSource> {
    match message {
        Some(part::RouteSpecifier::RouteConfig(message)) => {
            let table = route_table::route_table(cx, &at.field("route_config"), message)?;
            Some(RouteSource::Inline(Arc::new(table)))
        }
        Some(part::RouteSpecifier::Rds(hcm::Rds { config_source: source, route_config_name })) => {
            let at = at.field("rds");
            config_source(cx, &at.field("config_source"), source.as_ref());
            if route_config_name.is_empty() {
                cx.refuse(&at.field("route_config_name"), "must not be empty");
            }
            Some(RouteSource::Rds(text(route_config_name)))
        }
        Some(part::RouteSpecifier::ScopedRoutes(_)) => {
            cx.refuse(&at.field("scoped_routes"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs route_config or rds");
            None
        }
    }
}

fn internal_ranges(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&part::InternalAddressConfig>,
) -> Vec<crate::runtime::net::CidrRange> {
    let Some(part::InternalAddressConfig { unix_sockets: _read_by_the_caller, cidr_ranges }) = message else {
        return Vec::new();
    };
    net::cidrs(cx, &at.field("cidr_ranges"), cidr_ranges)
}

fn client_cert(
    cx: &mut Context<'_>,
    at: &At<'_>,
    mode: i32,
    details: Option<&part::SetCurrentClientCertDetails>,
) -> Option<ForwardClientCert> {
    use part::ForwardClientCertDetails as Mode;
    let mode = match cx.choice(&at.field("forward_client_cert_details"), mode)? {
        Mode::Sanitize => ForwardClientCertMode::Sanitize,
        Mode::ForwardOnly => ForwardClientCertMode::ForwardOnly,
        Mode::AppendForward => ForwardClientCertMode::AppendForward,
        Mode::SanitizeSet => ForwardClientCertMode::SanitizeSet,
        Mode::AlwaysForwardOnly => ForwardClientCertMode::AlwaysForwardOnly,
    };
    let default = part::SetCurrentClientCertDetails::default();
    let part::SetCurrentClientCertDetails { subject, cert, chain, dns, uri, issuer, format } =
        details.unwrap_or(&default);
    let at = at.field("set_current_client_cert_details");
    refuse!(cx, at, issuer: UNSUPPORTED, format: "only TEXT is supported");
    Some(ForwardClientCert {
        mode,
        subject: flag(subject.as_ref(), false),
        cert: *cert,
        chain: *chain,
        dns: *dns,
        uri: *uri,
    })
}

fn escaped_slashes(cx: &mut Context<'_>, at: &At<'_>, action: i32) -> Option<EscapedSlashes> {
    use part::PathWithEscapedSlashesAction as Action;
    Some(match cx.choice(&at.field("path_with_escaped_slashes_action"), action)? {
        Action::ImplementationSpecificDefault | Action::KeepUnchanged => EscapedSlashes::Keep,
        Action::RejectRequest => EscapedSlashes::Reject,
        Action::UnescapeAndRedirect => EscapedSlashes::UnescapeAndRedirect,
        Action::UnescapeAndForward => EscapedSlashes::UnescapeAndForward,
    })
}

fn server(cx: &mut Context<'_>, at: &At<'_>, name: &str, mode: i32) -> Option<ServerHeader> {
    use part::ServerHeaderTransformation as Mode;
    let mode = match cx.choice(&at.field("server_header_transformation"), mode)? {
        Mode::Overwrite => ServerHeaderMode::Overwrite,
        Mode::AppendIfAbsent => ServerHeaderMode::AppendIfAbsent,
        Mode::PassThrough => ServerHeaderMode::PassThrough,
    };
    let name = if name.is_empty() { "envoy" } else { name };
    Some(ServerHeader { name: one_line(cx, &at.field("server_name"), name), mode })
}

fn scheme(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::SchemeHeaderTransformation>,
) -> Option<SchemeHandling> {
    use core::scheme_header_transformation::Transformation;
    let Some(core::SchemeHeaderTransformation { match_upstream, transformation }) = message else {
        return Some(SchemeHandling::Keep);
    };
    match transformation {
        Some(Transformation::SchemeToOverwrite(scheme)) if ["http", "https"].contains(&scheme.as_str()) => {
            Some(SchemeHandling::Overwrite(text(scheme)))
        }
        Some(Transformation::SchemeToOverwrite(scheme)) => {
            cx.refuse(&at.field("scheme_to_overwrite"), format!("{scheme:?} must be http or https"));
            None
        }
        None if *match_upstream => Some(SchemeHandling::MatchUpstream),
        None => Some(SchemeHandling::Keep),
    }
}

fn upgrades(cx: &mut Context<'_>, at: &At<'_>, list: &[part::UpgradeConfig]) -> Vec<Upgrade> {
    let mut upgrades = Vec::with_capacity(list.len());
    for (i, part::UpgradeConfig { upgrade_type, filters, enabled }) in list.iter().enumerate() {
        let at = at.index(i);
        refuse!(cx, at, filters: "filters of their own for upgrades are not supported");
        if upgrade_type.eq_ignore_ascii_case("connect-udp") {
            cx.refuse(&at.field("upgrade_type"), UNSUPPORTED);
        }
        let kind = text(&upgrade_type.to_ascii_lowercase());
        if upgrades.iter().any(|other: &Upgrade| other.kind == kind) {
            cx.refuse(&at.field("upgrade_type"), format!("{kind:?} is there twice"));
        }
        upgrades.push(Upgrade { kind, enabled: flag(enabled.as_ref(), true) });
    }
    upgrades
}

fn local_replies(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&hcm::LocalReplyConfig>,
) -> Option<LocalReplies> {
    let Some(hcm::LocalReplyConfig { mappers, body_format: format }) = message else {
        return Some(LocalReplies::default());
    };
    let list_at = at.field("mappers");
    let mut out = LocalReplies::default();
    for (i, message) in mappers.iter().enumerate() {
        out.mappers.push(mapper(cx, &list_at.index(i), message)?);
    }
    out.body_format = body_format(cx, &at.field("body_format"), format.as_ref())?;
    Some(out)
}

fn mapper(cx: &mut Context<'_>, at: &At<'_>, message: &hcm::ResponseMapper) -> Option<LocalReplyMapper> {
    let hcm::ResponseMapper { filter, status_code, body, body_format_override, headers_to_add } = message;
    let filter_at = at.field("filter");
    let filter = cx.required(&filter_at, filter.as_ref())?;
    let status = match status_code {
        Some(code) => {
            let code = cx.between(&at.field("status_code"), code.value, 200, 599)?;
            Some(u16::try_from(code).unwrap_or(500))
        }
        None => None,
    };
    let body = match body {
        Some(body) => Some(data(cx, &at.field("body"), body)?),
        None => None,
    };
    Some(LocalReplyMapper {
        filter: access_log::filter(cx, &filter_at, filter)?,
        status,
        body,
        format: body_format(cx, &at.field("body_format_override"), body_format_override.as_ref())?,
        headers: headers::adds(cx, &at.field("headers_to_add"), headers_to_add),
    })
}

/// `None` is a problem, `Some(None)` no format.
fn body_format(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::SubstitutionFormatString>,
) -> Option<Option<BodyFormat>> {
    let Some(message) = message else { return Some(None) };
    let (format, content_type) = access_log::substitution(cx, at, message, false)?;
    let content_type = match (&*content_type, &format) {
        ("", crate::runtime::access_log::LogFormat::Json { .. }) => text("application/json"),
        ("", _) => text("text/plain"),
        _ => content_type,
    };
    Some(Some(BodyFormat { format, content_type }))
}
