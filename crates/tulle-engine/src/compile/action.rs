//! What becomes of a request.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::{core, google, route as pb};

use super::context::{At, Context, UNSUPPORTED};
use super::route_table::Inherited;
use super::template::template;
use super::value::{flag, named, one_line, text};
use super::{destination, matcher, rate_limit, redirect, retry};
use crate::runtime::filter::FilterOverrides;
use crate::runtime::route::{
    Forward, GrpcTimeout, HashPolicy, HashSource, HostRewrite, IdleTimeout, PathRewrite, Priority,
    StreamDuration,
};

/// Names every field: those that [`forward`] does not read are refused or noted here.
fn account(cx: &mut Context<'_>, at: &At<'_>, message: &pb::RouteAction) {
    let pb::RouteAction {
        cluster_not_found_response_code: _,
        metadata_match: _,
        prefix_rewrite: _,
        regex_rewrite: _,
        path_rewrite_policy,
        path_rewrite: _,
        append_x_forwarded_host: _,
        timeout: _,
        idle_timeout: _,
        flush_timeout,
        early_data_policy,
        retry_policy: _,
        retry_policy_typed_config,
        request_mirror_policies: _,
        priority: _,
        rate_limits: _,
        include_vh_rate_limits: _,
        hash_policy: _,
        cors: _,
        max_grpc_timeout: _,
        grpc_timeout_offset: _,
        upgrade_configs: _,
        internal_redirect_policy: _,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
        max_stream_duration: _,
        cluster_specifier: _,
        host_rewrite_specifier: _,
    } = message;
    refuse!(cx, at,
        path_rewrite_policy: UNSUPPORTED,
        early_data_policy: UNSUPPORTED,
        retry_policy_typed_config: UNSUPPORTED,
        hedge_policy: UNSUPPORTED,
        internal_redirect_action: "is not supported: use internal_redirect_policy",
        max_internal_redirects: "is not supported: use internal_redirect_policy",
    );
    no_effect!(cx, at,
        flush_timeout: "the connection manager's stream_flush_timeout holds",
    );
}

pub(super) fn forward(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::RouteAction,
    outer: &Inherited<'_>,
    filters: &FilterOverrides,
) -> Option<Forward> {
    use pb::route_action::ClusterNotFoundResponseCode as NotFoundCode;
    account(cx, at, message);
    let cluster_not_found_status = match cx
        .choice(&at.field("cluster_not_found_response_code"), message.cluster_not_found_response_code)?
    {
        NotFoundCode::ServiceUnavailable => 503,
        NotFoundCode::NotFound => 404,
        NotFoundCode::InternalServerError => 500,
    };
    let cluster = destination::cluster(cx, at, message.cluster_specifier.as_ref(), filters);
    let host_rewrite = host_rewrite(cx, at, message.host_rewrite_specifier.as_ref());
    let path_rewrite = self::path_rewrite(
        cx,
        at,
        &message.prefix_rewrite,
        message.regex_rewrite.as_ref(),
        &message.path_rewrite,
    );
    let retry = match &message.retry_policy {
        Some(policy) => retry::retry(cx, &at.field("retry_policy"), policy).map(Arc::new),
        None => outer.retry.cloned(),
    };
    let own_mirrors =
        destination::mirrors(cx, &at.field("request_mirror_policies"), &message.request_mirror_policies);
    let idle_at = at.field("idle_timeout");
    let idle_timeout = match cx.duration(&idle_at, message.idle_timeout.as_ref()) {
        None => IdleTimeout::Inherit,
        Some(Duration::ZERO) => IdleTimeout::Off,
        Some(after) => IdleTimeout::After(after),
    };
    let max_stream_duration = stream_duration(
        cx,
        at,
        message.max_stream_duration.as_ref(),
        (message.max_grpc_timeout.as_ref(), message.grpc_timeout_offset.as_ref()),
    );
    let (upgrades, connect_terminate) = upgrades(cx, &at.field("upgrade_configs"), &message.upgrade_configs);
    let priority = match cx.choice(&at.field("priority"), message.priority)? {
        core::RoutingPriority::Default => Priority::Default,
        core::RoutingPriority::High => Priority::High,
    };
    let internal_redirect = match &message.internal_redirect_policy {
        Some(policy) => redirect::internal_redirect(cx, &at.field("internal_redirect_policy"), policy),
        None => None,
    };
    let timeout = cx.limit(&at.field("timeout"), message.timeout.as_ref(), Some(Duration::from_secs(15)));
    let hash_policies = hash_policies(cx, &at.field("hash_policy"), &message.hash_policy);
    let limits_at = at.field("rate_limits");
    let rate_limits = rate_limit::rules(cx, &limits_at, &message.rate_limits, rate_limit::Of::Route);
    let metadata_match =
        destination::lb_metadata(cx, &at.field("metadata_match"), message.metadata_match.as_ref());
    Some(Forward {
        cluster: cluster?,
        cluster_not_found_status,
        host_rewrite: host_rewrite?,
        append_x_forwarded_host: message.append_x_forwarded_host,
        path_rewrite: path_rewrite?,
        timeout,
        idle_timeout,
        max_stream_duration,
        retry,
        mirrors: if own_mirrors.is_empty() { outer.mirrors.to_vec() } else { own_mirrors },
        hash_policies,
        upgrades,
        connect_terminate,
        metadata_match,
        priority,
        internal_redirect,
        rate_limits,
        include_virtual_host_rate_limits: flag(message.include_vh_rate_limits.as_ref(), false),
    })
}

fn host_rewrite(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::route_action::HostRewriteSpecifier>,
) -> Option<HostRewrite> {
    use pb::route_action::HostRewriteSpecifier as Spec;
    Some(match message {
        None => HostRewrite::None,
        Some(Spec::HostRewriteLiteral(host)) => {
            HostRewrite::Literal(one_line(cx, &at.field("host_rewrite_literal"), host))
        }
        Some(Spec::AutoHostRewrite(on)) if on.value => HostRewrite::FromEndpoint,
        Some(Spec::AutoHostRewrite(_)) => HostRewrite::None,
        Some(Spec::HostRewriteHeader(name)) => {
            HostRewrite::FromHeader(matcher::header_key(cx, &at.field("host_rewrite_header"), name)?)
        }
        Some(Spec::HostRewritePathRegex(regex)) => {
            HostRewrite::FromPath(matcher::substitution(cx, &at.field("host_rewrite_path_regex"), regex)?)
        }
        Some(Spec::HostRewrite(source)) => {
            HostRewrite::Template(template(cx, &at.field("host_rewrite"), source)?)
        }
    })
}

fn path_rewrite(
    cx: &mut Context<'_>,
    at: &At<'_>,
    prefix: &str,
    regex: Option<&tulle_proto::envoy::matcher::RegexMatchAndSubstitute>,
    full: &str,
) -> Option<PathRewrite> {
    let given =
        usize::from(!prefix.is_empty()) + usize::from(regex.is_some()) + usize::from(!full.is_empty());
    if given > 1 {
        cx.refuse(at, "only one of prefix_rewrite, regex_rewrite and path_rewrite may be given");
        return None;
    }
    Some(match (regex, prefix, full) {
        (Some(regex), _, _) => {
            PathRewrite::Regex(matcher::substitution(cx, &at.field("regex_rewrite"), regex)?)
        }
        (None, "", "") => PathRewrite::None,
        (None, "", full) => PathRewrite::Full(template(cx, &at.field("path_rewrite"), full)?),
        (None, prefix, _) => PathRewrite::Prefix(one_line(cx, &at.field("prefix_rewrite"), prefix)),
    })
}

/// `old` holds `max_grpc_timeout` and `grpc_timeout_offset`, which the newer message replaces.
fn stream_duration(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::route_action::MaxStreamDuration>,
    old: (Option<&google::Duration>, Option<&google::Duration>),
) -> StreamDuration {
    let (old_max, old_offset) = old;
    let (max, grpc_max, offset, at_max, at_grpc, at_offset);
    let inner = at.field("max_stream_duration");
    match message {
        Some(pb::route_action::MaxStreamDuration {
            max_stream_duration,
            grpc_timeout_header_max,
            grpc_timeout_header_offset,
        }) => {
            max = max_stream_duration.as_ref();
            grpc_max = grpc_timeout_header_max.as_ref();
            offset = grpc_timeout_header_offset.as_ref();
            at_max = inner.field("max_stream_duration");
            at_grpc = inner.field("grpc_timeout_header_max");
            at_offset = inner.field("grpc_timeout_header_offset");
        }
        None => {
            max = None;
            grpc_max = old_max;
            offset = old_offset;
            at_max = inner;
            at_grpc = at.field("max_grpc_timeout");
            at_offset = at.field("grpc_timeout_offset");
        }
    }
    let max = cx.duration(&at_max, max);
    StreamDuration {
        replaces_timeout: message.is_some(),
        unlimited: max == Some(Duration::ZERO),
        max: max.filter(|max| !max.is_zero()),
        grpc: match cx.duration(&at_grpc, grpc_max) {
            None => GrpcTimeout::Ignore,
            Some(Duration::ZERO) => GrpcTimeout::Any,
            Some(max) => GrpcTimeout::UpTo(max),
        },
        grpc_offset: cx.duration(&at_offset, offset).unwrap_or_default(),
    }
}

pub(super) fn hash_policies(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[pb::route_action::HashPolicy],
) -> Vec<HashPolicy> {
    list.iter().enumerate().filter_map(|(i, message)| hash_policy(cx, &at.index(i), message)).collect()
}

fn hash_policy(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::route_action::HashPolicy,
) -> Option<HashPolicy> {
    use pb::route_action::hash_policy::{
        ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier as Spec, QueryParameter,
    };
    let pb::route_action::HashPolicy { terminal, policy_specifier } = message;
    let source = match policy_specifier {
        Some(Spec::Header(Header { header_name, regex_rewrite })) => {
            let at = at.field("header");
            let key = matcher::header_key(cx, &at.field("header_name"), header_name)?;
            let rewrite = match regex_rewrite {
                Some(regex) => Some(matcher::substitution(cx, &at.field("regex_rewrite"), regex)?),
                None => None,
            };
            HashSource::Header(key, rewrite)
        }
        Some(Spec::Cookie(Cookie { name, ttl, path, attributes })) => {
            let at = at.field("cookie");
            if name.is_empty() {
                cx.refuse(&at.field("name"), "must not be empty");
            }
            let attributes =
                attributes.iter().map(|CookieAttribute { name, value }| (text(name), text(value))).collect();
            let ttl = cx.duration(&at.field("ttl"), ttl.as_ref());
            HashSource::Cookie { name: text(name), path: text(path), ttl, attributes }
        }
        Some(Spec::ConnectionProperties(ConnectionProperties { source_ip: true })) => HashSource::SourceIp,
        Some(Spec::ConnectionProperties(ConnectionProperties { source_ip: false })) => {
            cx.refuse(&at.field("connection_properties").field("source_ip"), "must be true");
            return None;
        }
        Some(Spec::QueryParameter(QueryParameter { name })) => HashSource::Query(text(name)),
        Some(Spec::FilterState(_)) => {
            cx.refuse(&at.field("filter_state"), UNSUPPORTED);
            return None;
        }
        None => {
            cx.refuse(at, "needs header, cookie, connection_properties or query_parameter");
            return None;
        }
    };
    Some(HashPolicy { source, terminal: *terminal })
}

/// Upgrades by name, and whether CONNECT is ended here.
fn upgrades(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[pb::route_action::UpgradeConfig],
) -> (Vec<(Arc<str>, bool)>, bool) {
    use pb::route_action::upgrade_config::ConnectConfig;
    let (mut out, mut terminate) = (Vec::with_capacity(list.len()), false);
    for (i, pb::route_action::UpgradeConfig { upgrade_type, enabled, connect_config }) in
        list.iter().enumerate()
    {
        let at = at.index(i);
        let kind = upgrade_type.to_ascii_lowercase();
        if let Some(ConnectConfig { proxy_protocol_config, allow_post }) = connect_config {
            let inner = at.field("connect_config");
            refuse!(cx, inner, proxy_protocol_config: UNSUPPORTED, allow_post: UNSUPPORTED);
            if kind == "connect" {
                terminate = true;
            } else {
                cx.refuse(&inner, "is for CONNECT only");
            }
        }
        let kind = named(cx, &at.field("upgrade_type"), &kind);
        out.push((kind, flag(enabled.as_ref(), true)));
    }
    (out, terminate)
}
