//! HTTP options of clusters.

use std::collections::HashMap;
use std::sync::Arc;

use tulle_proto::envoy::{core, google, upstream_http};
use tulle_proto::type_url;

use super::context::{At, Context, NO_HTTP3, UNSUPPORTED};
use super::error_matcher::error_matcher;
use super::http_options;
use super::value::text;
use crate::runtime::cluster::{UpstreamHttp, UpstreamProtocol};
use crate::runtime::error_matcher::ErrorMatcher;

/// The key of the options in `typed_extension_protocol_options`.
const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The older fields of a cluster, which the newer message replaces.
pub(super) struct OldFields<'m> {
    pub(super) upstream: Option<&'m core::UpstreamHttpProtocolOptions>,
    pub(super) common: Option<&'m core::HttpProtocolOptions>,
    pub(super) http1: Option<&'m core::Http1ProtocolOptions>,
    pub(super) http2: Option<&'m core::Http2ProtocolOptions>,
    pub(super) use_downstream: bool,
    /// Whether server name and certificate follow the request's host where nothing is said.
    pub(super) names_by_host: bool,
    pub(super) max_requests_per_connection: Option<u32>,
}

/// The protocol, the options beside it, and which answers count as errors.
type Upstream = (UpstreamProtocol, UpstreamHttp, Option<Arc<ErrorMatcher>>);

pub(super) fn upstream(
    cx: &mut Context<'_>,
    at: &At<'_>,
    typed: &HashMap<String, google::Any>,
    old: &OldFields<'_>,
) -> Option<Upstream> {
    let typed_at = at.field("typed_extension_protocol_options");
    let mut options = None;
    for (name, any) in typed {
        let at = typed_at.field(name);
        if name == KEY || any.type_url == type_url::HTTP_PROTOCOL_OPTIONS {
            options = Some(cx.unpack::<upstream_http::HttpProtocolOptions>(&at, any)?);
        } else {
            cx.refuse(&at, UNSUPPORTED);
        }
    }
    match options {
        Some(options) => modern(cx, &typed_at.field(KEY), &options, old),
        None => legacy(cx, at, old),
    }
}

fn legacy(cx: &mut Context<'_>, at: &At<'_>, old: &OldFields<'_>) -> Option<Upstream> {
    let http1 = http_options::http1(cx, &at.field("http_protocol_options"), old.http1)?;
    let http2 = http_options::http2(cx, &at.field("http2_protocol_options"), old.http2)?;
    let protocol = match (old.use_downstream, old.http2) {
        (true, _) => UpstreamProtocol::Downstream(http1, http2),
        (false, Some(_)) => UpstreamProtocol::Http2(http2),
        (false, None) => UpstreamProtocol::Http1(http1),
    };
    let upstream_at = at.field("upstream_http_protocol_options");
    let common_at = at.field("common_http_protocol_options");
    let http = common(cx, (&common_at, old.common), (&upstream_at, old.upstream), old)?;
    Some((protocol, http, None))
}

fn modern(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &upstream_http::HttpProtocolOptions,
    old: &OldFields<'_>,
) -> Option<Upstream> {
    let upstream_http::HttpProtocolOptions {
        common_http_protocol_options,
        upstream_http_protocol_options,
        http_filters,
        header_validation_config,
        outlier_detection,
        request_mirror_policies,
        hash_policy,
        retry_policy,
        upstream_protocol_options,
    } = message;
    refuse!(cx, at,
        header_validation_config: UNSUPPORTED,
        request_mirror_policies: "is not supported: use the route's",
        hash_policy: "is not supported: use the route's",
        retry_policy: "is not supported: use the route's",
    );
    // The codec of the upstream is not a filter here; any other one would change requests.
    for (i, filter) in http_filters.iter().enumerate() {
        if filter.name != "envoy.filters.http.upstream_codec" {
            let at = at.field("http_filters");
            cx.refuse(&at.index(i), format!("upstream filter {:?} is not supported", filter.name));
        }
    }
    let errors = match outlier_detection {
        Some(upstream_http::http_protocol_options::OutlierDetection { error_matcher: Some(message) }) => {
            let at = at.field("outlier_detection");
            Some(Arc::new(error_matcher(cx, &at.field("error_matcher"), message)?))
        }
        Some(upstream_http::http_protocol_options::OutlierDetection { error_matcher: None }) | None => None,
    };
    let protocol = protocol(cx, at, upstream_protocol_options.as_ref())?;
    let common_at = at.field("common_http_protocol_options");
    let upstream_at = at.field("upstream_http_protocol_options");
    let http = common(
        cx,
        (&common_at, common_http_protocol_options.as_ref()),
        (&upstream_at, upstream_http_protocol_options.as_ref()),
        old,
    )?;
    Some((protocol, http, errors))
}

fn protocol(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&upstream_http::http_protocol_options::UpstreamProtocolOptions>,
) -> Option<UpstreamProtocol> {
    use upstream_http::http_protocol_options::{
        AutoHttpConfig, ExplicitHttpConfig, UpstreamProtocolOptions as Protocol, UseDownstreamHttpConfig,
        explicit_http_config::ProtocolConfig,
    };
    Some(match message {
        Some(Protocol::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config })) => {
            let at = at.field("explicit_http_config");
            match protocol_config {
                Some(ProtocolConfig::HttpProtocolOptions(message)) => UpstreamProtocol::Http1(
                    http_options::http1(cx, &at.field("http_protocol_options"), Some(message))?,
                ),
                Some(ProtocolConfig::Http2ProtocolOptions(message)) => UpstreamProtocol::Http2(
                    http_options::http2(cx, &at.field("http2_protocol_options"), Some(message))?,
                ),
                Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                    cx.refuse(&at.field("http3_protocol_options"), NO_HTTP3);
                    return None;
                }
                None => {
                    cx.refuse(&at, "needs http_protocol_options or http2_protocol_options");
                    return None;
                }
            }
        }
        Some(Protocol::UseDownstreamProtocolConfig(message)) => {
            let at = at.field("use_downstream_protocol_config");
            let UseDownstreamHttpConfig {
                http_protocol_options,
                http2_protocol_options,
                http3_protocol_options,
            } = message;
            no_effect!(cx, at, http3_protocol_options: NO_HTTP3);
            UpstreamProtocol::Downstream(
                http_options::http1(cx, &at.field("http_protocol_options"), http_protocol_options.as_ref())?,
                http_options::http2(
                    cx,
                    &at.field("http2_protocol_options"),
                    http2_protocol_options.as_ref(),
                )?,
            )
        }
        Some(Protocol::AutoConfig(message)) => {
            let at = at.field("auto_config");
            let AutoHttpConfig {
                http_protocol_options,
                http2_protocol_options,
                http3_protocol_options,
                alternate_protocols_cache_options,
            } = message;
            no_effect!(cx, at,
                http3_protocol_options: NO_HTTP3,
                alternate_protocols_cache_options: NO_HTTP3,
            );
            UpstreamProtocol::Auto(
                http_options::http1(cx, &at.field("http_protocol_options"), http_protocol_options.as_ref())?,
                http_options::http2(
                    cx,
                    &at.field("http2_protocol_options"),
                    http2_protocol_options.as_ref(),
                )?,
            )
        }
        None => {
            cx.refuse(at, "needs explicit_http_config, use_downstream_protocol_config or auto_config");
            return None;
        }
    })
}

fn common(
    cx: &mut Context<'_>,
    common: (&At<'_>, Option<&core::HttpProtocolOptions>),
    upstream: (&At<'_>, Option<&core::UpstreamHttpProtocolOptions>),
    old: &OldFields<'_>,
) -> Option<UpstreamHttp> {
    let (auto_sni, auto_san_validation, auto_sni_header) = match upstream.1 {
        Some(core::UpstreamHttpProtocolOptions {
            auto_sni,
            auto_san_validation,
            override_auto_sni_header,
        }) => (*auto_sni, *auto_san_validation, text(override_auto_sni_header)),
        None => (old.names_by_host, old.names_by_host, text("")),
    };
    if auto_sni_header.starts_with(':') && &*auto_sni_header != ":authority" {
        cx.refuse(&upstream.0.field("override_auto_sni_header"), "must be a header or :authority");
    }
    let common = http_options::common(cx, common.0, common.1)?;
    let max_requests = match common.max_requests_per_connection {
        0 => old.max_requests_per_connection.unwrap_or(0),
        own => own,
    };
    Some(UpstreamHttp {
        idle_timeout: common.idle,
        max_connection: common.max_connection,
        max_stream: common.max_stream,
        max_requests_per_connection: max_requests,
        max_response_headers_bytes: common.max_response_headers_kb.unwrap_or(60).saturating_mul(1024),
        max_response_headers: common.max_headers,
        auto_sni,
        auto_san_validation,
        auto_sni_header,
    })
}
