//! What becomes of a request.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::{core, google, mutation_rules, route as pb};

use super::context::{At, Context, UNSUPPORTED};
use super::overrides::overrides;
use super::route_table::Inherited;
use super::template::template;
use super::value::{data, flag, metadata, number, runtime_fraction, text};
use super::{headers, matcher, retry};
use crate::runtime::filter::FilterOverrides;
use crate::runtime::headers::HeaderOps;
use crate::runtime::matcher::Fraction;
use crate::runtime::metadata::Fields;
use crate::runtime::route::{
    ClusterChoice, ClusterName, DirectResponse, Forward, GrpcTimeout, HashPolicy, HashSource, HostRewrite,
    IdleTimeout, InternalRedirect, Mirror, PathRewrite, Priority, Redirect, RedirectPath, StreamDuration,
    WeightedCluster, WeightedClusters,
};

pub(super) fn forward(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::RouteAction,
    outer: &Inherited<'_>,
    filters: &FilterOverrides,
) -> Option<Forward> {
    use pb::route_action::ClusterNotFoundResponseCode as NotFoundCode;
    let pb::RouteAction {
        cluster_not_found_response_code,
        metadata_match,
        prefix_rewrite,
        regex_rewrite,
        path_rewrite_policy,
        path_rewrite,
        append_x_forwarded_host,
        timeout,
        idle_timeout,
        flush_timeout,
        early_data_policy,
        retry_policy,
        retry_policy_typed_config,
        request_mirror_policies,
        priority,
        rate_limits,
        include_vh_rate_limits,
        hash_policy,
        cors: _compiled_with_the_filters,
        max_grpc_timeout,
        grpc_timeout_offset,
        upgrade_configs,
        internal_redirect_policy,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
        max_stream_duration,
        cluster_specifier,
        host_rewrite_specifier,
    } = message;
    refuse!(cx, at,
        path_rewrite_policy: UNSUPPORTED,
        early_data_policy: UNSUPPORTED,
        retry_policy_typed_config: UNSUPPORTED,
        rate_limits: "global rate limits are not supported",
        hedge_policy: UNSUPPORTED,
        internal_redirect_action: "is not supported: use internal_redirect_policy",
        max_internal_redirects: "is not supported: use internal_redirect_policy",
    );
    no_effect!(cx, at,
        flush_timeout: "the connection manager's stream_flush_timeout holds",
        include_vh_rate_limits: "there are no rate limits",
    );
    let cluster_not_found_status =
        match cx.choice(&at.field("cluster_not_found_response_code"), *cluster_not_found_response_code)? {
            NotFoundCode::ServiceUnavailable => 503,
            NotFoundCode::NotFound => 404,
            NotFoundCode::InternalServerError => 500,
        };
    let cluster = cluster(cx, at, cluster_specifier.as_ref(), filters);
    let host_rewrite = host_rewrite(cx, at, host_rewrite_specifier.as_ref());
    let path_rewrite = self::path_rewrite(cx, at, prefix_rewrite, regex_rewrite.as_ref(), path_rewrite);
    let retry = match retry_policy {
        Some(policy) => retry::retry(cx, &at.field("retry_policy"), policy).map(Arc::new),
        None => outer.retry.cloned(),
    };
    let own_mirrors = mirrors(cx, &at.field("request_mirror_policies"), request_mirror_policies);
    let idle_at = at.field("idle_timeout");
    let idle_timeout = match cx.duration(&idle_at, idle_timeout.as_ref()) {
        None => IdleTimeout::Inherit,
        Some(Duration::ZERO) => IdleTimeout::Off,
        Some(after) => IdleTimeout::After(after),
    };
    let max_stream_duration = stream_duration(
        cx,
        at,
        max_stream_duration.as_ref(),
        (max_grpc_timeout.as_ref(), grpc_timeout_offset.as_ref()),
    );
    let (upgrades, connect_terminate) = upgrades(cx, &at.field("upgrade_configs"), upgrade_configs);
    let priority = match cx.choice(&at.field("priority"), *priority)? {
        core::RoutingPriority::Default => Priority::Default,
        core::RoutingPriority::High => Priority::High,
    };
    let internal_redirect = match internal_redirect_policy {
        Some(policy) => internal_redirect(cx, &at.field("internal_redirect_policy"), policy),
        None => None,
    };
    let timeout = cx.limit(&at.field("timeout"), timeout.as_ref(), Some(Duration::from_secs(15)));
    let hash_policies = hash_policies(cx, &at.field("hash_policy"), hash_policy);
    let metadata_match = lb_metadata(cx, &at.field("metadata_match"), metadata_match.as_ref());
    Some(Forward {
        cluster: cluster?,
        cluster_not_found_status,
        host_rewrite: host_rewrite?,
        append_x_forwarded_host: *append_x_forwarded_host,
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
    })
}

/// `envoy.lb` of the metadata that endpoints must have.
fn lb_metadata(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::Metadata>) -> Fields {
    metadata(cx, at, message).remove("envoy.lb").unwrap_or_default()
}

fn cluster(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::route_action::ClusterSpecifier>,
    filters: &FilterOverrides,
) -> Option<ClusterChoice> {
    use pb::route_action::ClusterSpecifier as Spec;
    match message {
        Some(Spec::Cluster(name)) => {
            if name.is_empty() {
                cx.refuse(&at.field("cluster"), "must not be empty");
            }
            Some(ClusterChoice::Single(text(name)))
        }
        Some(Spec::ClusterHeader(name)) => {
            matcher::header_key(cx, &at.field("cluster_header"), name).map(ClusterChoice::Header)
        }
        Some(Spec::WeightedClusters(message)) => {
            weighted(cx, &at.field("weighted_clusters"), message, filters).map(ClusterChoice::Weighted)
        }
        Some(Spec::ClusterSpecifierPlugin(_)) => {
            cx.refuse(&at.field("cluster_specifier_plugin"), UNSUPPORTED);
            None
        }
        Some(Spec::InlineClusterSpecifierPlugin(_)) => {
            cx.refuse(&at.field("inline_cluster_specifier_plugin"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs cluster, weighted_clusters or cluster_header");
            None
        }
    }
}

fn weighted(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::WeightedCluster,
    filters: &FilterOverrides,
) -> Option<WeightedClusters> {
    use pb::weighted_cluster::RandomValueSpecifier as Random;
    let pb::WeightedCluster { clusters, total_weight, runtime_key_prefix, random_value_specifier } = message;
    no_effect!(cx, at,
        total_weight: "weights are taken as parts of their sum",
        runtime_key_prefix: super::value::RUNTIME_KEY,
    );
    let list_at = at.field("clusters");
    let mut out = Vec::with_capacity(clusters.len());
    for (i, message) in clusters.iter().enumerate() {
        out.push(weight(cx, &list_at.index(i), message, filters)?);
    }
    let total: u64 = out.iter().map(|c| u64::from(c.weight)).sum();
    if total == 0 || total > u64::from(u32::MAX) {
        cx.refuse(&list_at, "the sum of the weights must be above zero and below 2^32");
        return None;
    }
    let random_header = match random_value_specifier {
        Some(Random::HeaderName(name)) => Some(matcher::header_key(cx, &at.field("header_name"), name)?),
        _ => None,
    };
    let use_hash_policy = matches!(random_value_specifier, Some(Random::UseHashPolicy(flag)) if flag.value);
    Some(WeightedClusters { clusters: out, total, random_header, use_hash_policy })
}

fn weight(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::weighted_cluster::ClusterWeight,
    filters: &FilterOverrides,
) -> Option<WeightedCluster> {
    use pb::weighted_cluster::cluster_weight::HostRewriteSpecifier;
    let pb::weighted_cluster::ClusterWeight {
        name,
        cluster_header,
        weight,
        metadata_match,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        host_rewrite_specifier,
    } = message;
    let cluster = cluster_name(cx, at, "name", name, cluster_header)?;
    let host_rewrite = match host_rewrite_specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => text(host),
        None => text(""),
    };
    Some(WeightedCluster {
        cluster,
        weight: number(weight.as_ref(), 0),
        request_headers: headers::ops(
            cx,
            (&at.field("request_headers_to_add"), request_headers_to_add),
            (&at.field("request_headers_to_remove"), request_headers_to_remove),
        ),
        response_headers: headers::ops(
            cx,
            (&at.field("response_headers_to_add"), response_headers_to_add),
            (&at.field("response_headers_to_remove"), response_headers_to_remove),
        ),
        host_rewrite,
        filters: overrides(cx, &at.field("typed_per_filter_config"), typed_per_filter_config, None, filters),
        metadata_match: lb_metadata(cx, &at.field("metadata_match"), metadata_match.as_ref()),
    })
}

fn cluster_name(
    cx: &mut Context<'_>,
    at: &At<'_>,
    field: &str,
    name: &str,
    header: &str,
) -> Option<ClusterName> {
    match (name.is_empty(), header.is_empty()) {
        (false, true) => Some(ClusterName::Name(text(name))),
        (true, false) => {
            matcher::header_key(cx, &at.field("cluster_header"), header).map(ClusterName::Header)
        }
        _ => {
            cx.refuse(at, format!("needs {field} or cluster_header, and not both"));
            None
        }
    }
}

fn host_rewrite(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::route_action::HostRewriteSpecifier>,
) -> Option<HostRewrite> {
    use pb::route_action::HostRewriteSpecifier as Spec;
    Some(match message {
        None => HostRewrite::None,
        Some(Spec::HostRewriteLiteral(host)) => HostRewrite::Literal(text(host)),
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
        (None, prefix, _) => PathRewrite::Prefix(text(prefix)),
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

pub(super) fn mirrors(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[pb::route_action::RequestMirrorPolicy],
) -> Vec<Mirror> {
    list.iter().enumerate().filter_map(|(i, message)| mirror(cx, &at.index(i), message)).collect()
}

fn mirror(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::route_action::RequestMirrorPolicy,
) -> Option<Mirror> {
    use mutation_rules::header_mutation::Action;
    let pb::route_action::RequestMirrorPolicy {
        cluster,
        cluster_header,
        runtime_fraction: fraction,
        trace_sampled,
        disable_shadow_host_suffix_append,
        request_headers_mutations,
        host_rewrite_literal,
    } = message;
    no_effect!(cx, at, trace_sampled: "spans are not exported yet");
    let fraction = match fraction {
        Some(fraction) => runtime_fraction(cx, &at.field("runtime_fraction"), fraction)?,
        None => Fraction::ALWAYS,
    };
    let mut ops = HeaderOps::default();
    let list_at = at.field("request_headers_mutations");
    for (i, mutation_rules::HeaderMutation { action }) in request_headers_mutations.iter().enumerate() {
        let at = list_at.index(i);
        match action {
            Some(Action::Remove(name)) => {
                ops.remove.extend(matcher::header_name(cx, &at.field("remove"), name));
            }
            Some(Action::Append(message)) => {
                ops.add.extend(headers::header_add(cx, &at.field("append"), message));
            }
            Some(Action::RemoveOnMatch(_)) | None => {
                cx.refuse(&at, "only remove and append are supported");
            }
        }
    }
    Some(Mirror {
        cluster: cluster_name(cx, at, "cluster", cluster, cluster_header)?,
        fraction,
        shadow_suffix: !disable_shadow_host_suffix_append,
        host_rewrite: text(host_rewrite_literal),
        headers: ops,
    })
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
        out.push((text(&kind), flag(enabled.as_ref(), true)));
    }
    (out, terminate)
}

fn internal_redirect(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::InternalRedirectPolicy,
) -> Option<InternalRedirect> {
    let pb::InternalRedirectPolicy {
        max_internal_redirects,
        redirect_response_codes,
        predicates,
        allow_cross_scheme_redirect,
        response_headers_to_copy,
    } = message;
    refuse!(cx, at, predicates: UNSUPPORTED, response_headers_to_copy: UNSUPPORTED);
    let list_at = at.field("redirect_response_codes");
    let mut codes = Vec::new();
    for (i, code) in redirect_response_codes.iter().enumerate() {
        match u16::try_from(*code) {
            Ok(code @ (301 | 302 | 303 | 307 | 308)) => codes.push(code),
            _ => cx.refuse(&list_at.index(i), format!("{code} is not a redirect")),
        }
    }
    if codes.is_empty() {
        codes.push(302);
    }
    Some(InternalRedirect {
        max: number(max_internal_redirects.as_ref(), 1),
        codes,
        cross_scheme: *allow_cross_scheme_redirect,
    })
}

pub(super) fn redirect(cx: &mut Context<'_>, at: &At<'_>, message: &pb::RedirectAction) -> Option<Redirect> {
    use pb::redirect_action::SchemeRewriteSpecifier as Scheme;
    use pb::redirect_action::{PathRewriteSpecifier as Path, RedirectResponseCode as Code};
    let pb::RedirectAction {
        host_redirect,
        port_redirect,
        response_code,
        strip_query,
        scheme_rewrite_specifier,
        path_rewrite_specifier,
    } = message;
    let status = match cx.choice(&at.field("response_code"), *response_code)? {
        Code::MovedPermanently => 301,
        Code::Found => 302,
        Code::SeeOther => 303,
        Code::TemporaryRedirect => 307,
        Code::PermanentRedirect => 308,
    };
    let scheme = match scheme_rewrite_specifier {
        Some(Scheme::HttpsRedirect(true)) => "https",
        Some(Scheme::HttpsRedirect(false)) | None => "",
        Some(Scheme::SchemeRedirect(scheme)) => scheme,
    };
    let path = match path_rewrite_specifier {
        None => RedirectPath::Keep,
        Some(Path::PathRedirect(path)) if path.is_empty() => RedirectPath::Keep,
        // A plain path may hold percent signs (escapes); only `path_rewrite` has variables.
        Some(Path::PathRedirect(path)) => {
            RedirectPath::Full(crate::runtime::headers::Template::Text(text(path)))
        }
        Some(Path::PrefixRewrite(prefix)) => RedirectPath::Prefix(text(prefix)),
        Some(Path::RegexRewrite(regex)) => {
            RedirectPath::Regex(matcher::substitution(cx, &at.field("regex_rewrite"), regex)?)
        }
        Some(Path::PathRewrite(source)) => {
            RedirectPath::Full(template(cx, &at.field("path_rewrite"), source)?)
        }
    };
    Some(Redirect {
        status,
        scheme: text(scheme),
        host: text(host_redirect),
        port: cx.port(&at.field("port_redirect"), *port_redirect)?,
        path,
        strip_query: *strip_query,
    })
}

pub(super) fn direct_response(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::DirectResponseAction,
    body_limit: u32,
) -> Option<DirectResponse> {
    let pb::DirectResponseAction { status, body, body_format } = message;
    refuse!(cx, at, body_format: UNSUPPORTED);
    let status = cx.between(&at.field("status"), *status, 200, 599)?;
    let body_at = at.field("body");
    let body = match body {
        Some(body) => data(cx, &body_at, body)?,
        None => Arc::from(&[][..]),
    };
    if body.len() > body_limit as usize {
        cx.refuse(&body_at, format!("has {} bytes; at most {body_limit} are allowed", body.len()));
        return None;
    }
    Some(DirectResponse { status: u16::try_from(status).unwrap_or(500), body })
}
