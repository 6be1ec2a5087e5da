//! HTTP options that listeners and clusters have in common.

use std::time::Duration;

use tulle_proto::envoy::core;

use super::context::{At, Context, UNSUPPORTED};
use super::value::{flag, number, percent_fraction, text};
use crate::runtime::http_manager::{
    HeaderCase, Http1Options, Http2Keepalive, Http2Options, UnderscoreAction,
};
use crate::runtime::matcher::Fraction;

pub(super) fn http1(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::Http1ProtocolOptions>,
) -> Option<Http1Options> {
    use core::http1_protocol_options::header_key_format::{HeaderFormat, ProperCaseWords};
    let Some(core::Http1ProtocolOptions {
        allow_absolute_url,
        accept_http_10,
        default_host_for_http_10,
        header_key_format,
        enable_trailers,
        allow_chunked_length,
        override_stream_error_on_invalid_http_message,
        send_fully_qualified_url,
        use_balsa_parser,
        allow_custom_methods,
        ignore_http_11_upgrade,
    }) = message
    else {
        return Some(Http1Options::default());
    };
    no_effect!(cx, at, use_balsa_parser: "there is one HTTP/1 parser");
    refuse!(cx, at, ignore_http_11_upgrade: UNSUPPORTED);
    let at_format = at.field("header_key_format");
    let header_case = match header_key_format.as_ref().and_then(|f| f.header_format.as_ref()) {
        None => HeaderCase::Lower,
        Some(HeaderFormat::ProperCaseWords(ProperCaseWords {})) => HeaderCase::ProperWords,
        Some(HeaderFormat::StatefulFormatter(core::TypedExtensionConfig { name, typed_config: _ }))
            if name == "preserve_case" =>
        {
            HeaderCase::Preserve
        }
        Some(HeaderFormat::StatefulFormatter(core::TypedExtensionConfig { name, typed_config })) => {
            // The type names it where the name does not.
            let known = typed_config.as_ref().is_some_and(|any| any.type_url.contains("preserve_case"));
            if !known {
                cx.refuse(&at_format.field("stateful_formatter"), format!("{name:?} is not supported"));
                return None;
            }
            HeaderCase::Preserve
        }
    };
    Some(Http1Options {
        allow_absolute_url: flag(allow_absolute_url.as_ref(), true),
        accept_http_10: *accept_http_10,
        default_host_for_http_10: text(default_host_for_http_10),
        header_case,
        enable_trailers: *enable_trailers,
        allow_chunked_length: *allow_chunked_length,
        allow_custom_methods: *allow_custom_methods,
        send_fully_qualified_url: *send_fully_qualified_url,
        stream_error_on_invalid: flag(override_stream_error_on_invalid_http_message.as_ref(), false),
    })
}

pub(super) fn http2(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::Http2ProtocolOptions>,
) -> Option<Http2Options> {
    let default = Http2Options::default();
    let Some(core::Http2ProtocolOptions {
        hpack_table_size,
        max_concurrent_streams,
        initial_stream_window_size,
        initial_connection_window_size,
        allow_connect,
        allow_metadata,
        max_outbound_frames,
        max_outbound_control_frames,
        max_consecutive_inbound_frames_with_empty_payload,
        max_inbound_priority_frames_per_stream,
        max_inbound_window_update_frames_per_data_frame_sent,
        stream_error_on_invalid_http_messaging,
        override_stream_error_on_invalid_http_message,
        custom_settings_parameters,
        connection_keepalive,
        use_oghttp2_codec,
        max_metadata_size,
        enable_huffman_encoding,
        max_header_field_size_kb,
        disallow_obs_text,
        stream_reset_burst,
        stream_reset_rate,
    }) = message
    else {
        return Some(default);
    };
    refuse!(cx, at, allow_metadata: "METADATA frames are not supported", custom_settings_parameters: UNSUPPORTED);
    no_effect!(cx, at,
        max_inbound_priority_frames_per_stream: "priority frames are dropped as they come",
        max_inbound_window_update_frames_per_data_frame_sent: "floods are limited by the codec's own measure",
        use_oghttp2_codec: "there is one HTTP/2 codec",
        max_metadata_size: "METADATA frames are not supported",
        max_header_field_size_kb: "the limit on all headers together holds",
        disallow_obs_text: "bytes from 0x80 pass in values, as RFC 9110 says",
        stream_reset_burst: "floods are limited by the codec's own measure",
        stream_reset_rate: "floods are limited by the codec's own measure",
    );
    let mut window = |name: &str, value: Option<u32>, default: u32| match value {
        Some(value) => cx.between(&at.field(name), value, 65_535, i32::MAX.unsigned_abs()),
        None => Some(default),
    };
    let stream_window = initial_stream_window_size.as_ref().map(|v| v.value);
    let connection_window = initial_connection_window_size.as_ref().map(|v| v.value);
    let initial_stream_window =
        window("initial_stream_window_size", stream_window, default.initial_stream_window)?;
    let initial_connection_window =
        window("initial_connection_window_size", connection_window, default.initial_connection_window)?;
    let max_streams = number(max_concurrent_streams.as_ref(), default.max_concurrent_streams);
    cx.between(&at.field("max_concurrent_streams"), max_streams, 1, i32::MAX.unsigned_abs())?;
    let keepalive = match connection_keepalive {
        Some(message) => keepalive(cx, &at.field("connection_keepalive"), message)?,
        None => None,
    };
    Some(Http2Options {
        hpack_table_size: number(hpack_table_size.as_ref(), default.hpack_table_size),
        max_concurrent_streams: max_streams,
        initial_stream_window,
        initial_connection_window,
        allow_connect: *allow_connect,
        max_outbound_frames: number(max_outbound_frames.as_ref(), default.max_outbound_frames),
        max_outbound_control_frames: number(
            max_outbound_control_frames.as_ref(),
            default.max_outbound_control_frames,
        ),
        max_empty_frames: number(
            max_consecutive_inbound_frames_with_empty_payload.as_ref(),
            default.max_empty_frames,
        ),
        stream_error_on_invalid: flag(
            override_stream_error_on_invalid_http_message.as_ref(),
            *stream_error_on_invalid_http_messaging,
        ),
        keepalive,
        huffman: flag(enable_huffman_encoding.as_ref(), true),
    })
}

fn keepalive(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &core::KeepaliveSettings,
) -> Option<Option<Http2Keepalive>> {
    let core::KeepaliveSettings { interval, timeout, interval_jitter, connection_idle_interval } = message;
    let timeout_at = at.field("timeout");
    cx.required(&timeout_at, timeout.as_ref())?;
    let timeout = cx.positive(&timeout_at, timeout.as_ref())?;
    let jitter = match interval_jitter {
        Some(percent) => percent_fraction(cx, &at.field("interval_jitter"), percent)?,
        None => Fraction::new(15, 100),
    };
    Some(Some(Http2Keepalive {
        interval: cx.limit(&at.field("interval"), interval.as_ref(), None),
        timeout,
        jitter,
        idle_interval: cx.limit(
            &at.field("connection_idle_interval"),
            connection_idle_interval.as_ref(),
            None,
        ),
    }))
}

/// `HttpProtocolOptions`: what HTTP/1 and HTTP/2 have in common.
pub(super) struct CommonHttp {
    pub(super) idle: Option<Duration>,
    pub(super) max_connection: Option<Duration>,
    pub(super) max_stream: Option<Duration>,
    pub(super) max_headers: u32,
    pub(super) max_response_headers_kb: Option<u32>,
    pub(super) max_requests_per_connection: u32,
    pub(super) underscores: UnderscoreAction,
}

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn common(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::HttpProtocolOptions>,
) -> Option<CommonHttp> {
    use core::http_protocol_options::HeadersWithUnderscoresAction as Action;
    let default = core::HttpProtocolOptions::default();
    let core::HttpProtocolOptions {
        idle_timeout,
        max_connection_duration,
        max_connection_duration_jitter,
        max_headers_count,
        max_response_headers_kb,
        max_stream_duration,
        headers_with_underscores_action,
        max_requests_per_connection,
    } = message.unwrap_or(&default);
    no_effect!(cx, at, max_connection_duration_jitter: "connections end exactly at max_connection_duration");
    let underscores =
        match cx.choice(&at.field("headers_with_underscores_action"), *headers_with_underscores_action)? {
            Action::Allow => UnderscoreAction::Allow,
            Action::RejectRequest => UnderscoreAction::Reject,
            Action::DropHeader => UnderscoreAction::Drop,
        };
    let max_headers = number(max_headers_count.as_ref(), 100);
    cx.between(&at.field("max_headers_count"), max_headers, 1, u32::MAX)?;
    Some(CommonHttp {
        idle: cx.limit(&at.field("idle_timeout"), idle_timeout.as_ref(), Some(HOUR)),
        max_connection: cx.limit(
            &at.field("max_connection_duration"),
            max_connection_duration.as_ref(),
            None,
        ),
        max_stream: cx.limit(&at.field("max_stream_duration"), max_stream_duration.as_ref(), None),
        max_headers,
        max_response_headers_kb: max_response_headers_kb.as_ref().map(|v| v.value),
        max_requests_per_connection: number(max_requests_per_connection.as_ref(), 0),
        underscores,
    })
}
