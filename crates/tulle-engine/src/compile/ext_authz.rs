//! External authorization.

use std::time::Duration;

use tulle_proto::envoy::{core, ext_authz as pb, kind, matcher as pbmatcher, network_ext_authz};

use super::context::{At, Context, UNSUPPORTED};
use super::grpc_service::grpc_service;
use super::headers::header_add;
use super::matcher;
use super::value::{api_version, flag, runtime_fraction, text, texts};
use crate::runtime::ext_authz::{AuthBody, AuthPath, AuthService, ExtAuthz, ExtAuthzChange, HttpAuth};
use crate::runtime::filter::FilterOverride;
use crate::runtime::headers::HeaderOps;
use crate::runtime::listener::NetworkExtAuthz;
use crate::runtime::matcher::{Fraction, StringMatcher};

/// How long a call may take where nothing is said, as Envoy's.
const TIMEOUT: Duration = Duration::from_millis(200);

pub(super) fn ext_authz(cx: &mut Context<'_>, at: &At<'_>, message: &pb::ExtAuthz) -> Option<ExtAuthz> {
    let pb::ExtAuthz {
        transport_api_version,
        failure_mode_allow,
        failure_mode_allow_header_add,
        with_request_body,
        clear_route_cache,
        status_on_error,
        validate_mutations,
        metadata_context_namespaces,
        typed_metadata_context_namespaces,
        route_metadata_context_namespaces,
        route_typed_metadata_context_namespaces,
        filter_enabled,
        filter_enabled_metadata,
        deny_at_disable,
        include_peer_certificate,
        stat_prefix,
        bootstrap_metadata_labels_key,
        allowed_headers,
        disallowed_headers,
        include_tls_session,
        charge_cluster_response_stats,
        encode_raw_headers,
        decoder_header_mutation_rules,
        enable_dynamic_metadata_ingestion,
        filter_metadata,
        emit_filter_state_stats,
        max_denied_response_body_bytes,
        enforce_response_header_limits,
        shadow_mode,
        emit_client_span,
        services,
    } = message;
    refuse!(cx, at,
        typed_metadata_context_namespaces: UNSUPPORTED,
        route_typed_metadata_context_namespaces: UNSUPPORTED,
        include_peer_certificate: UNSUPPORTED,
        bootstrap_metadata_labels_key: UNSUPPORTED,
        encode_raw_headers: UNSUPPORTED,
        decoder_header_mutation_rules: UNSUPPORTED,
        filter_metadata: UNSUPPORTED,
        emit_filter_state_stats: UNSUPPORTED,
        enforce_response_header_limits: UNSUPPORTED,
        shadow_mode: UNSUPPORTED,
    );
    no_effect!(cx, at,
        validate_mutations: "mutations are always checked",
        stat_prefix: "statistics are those of the metric contract",
        charge_cluster_response_stats: "statistics are those of the metric contract",
        emit_client_span: "spans are not exported",
    );
    let found = cx.problems();
    api_version(cx, &at.field("transport_api_version"), *transport_api_version);
    use pb::ext_authz::Services;
    let service = match services {
        Some(Services::GrpcService(message)) => grpc(cx, &at.field("grpc_service"), message),
        Some(Services::HttpService(message)) => http(cx, &at.field("http_service"), message),
        None => {
            cx.refuse(at, "needs grpc_service or http_service");
            None
        }
    };
    let enabled = match filter_enabled {
        Some(message) => runtime_fraction(cx, &at.field("filter_enabled"), message)?,
        None => Fraction::ALWAYS,
    };
    let enabled_metadata = match filter_enabled_metadata {
        Some(message) => Some(matcher::metadata(cx, &at.field("filter_enabled_metadata"), message)?),
        None => None,
    };
    let allowed = allowed_headers.as_ref().map(|list| names(cx, &at.field("allowed_headers"), Some(list)));
    let built = ExtAuthz {
        service: service?,
        enabled,
        enabled_metadata,
        deny_at_disable: deny(cx, &at.field("deny_at_disable"), deny_at_disable.as_ref()),
        failure_allow: *failure_mode_allow,
        failure_header: *failure_mode_allow_header_add,
        error_status: status(cx, &at.field("status_on_error"), status_on_error.as_ref()),
        body: body(cx, &at.field("with_request_body"), with_request_body.as_ref()),
        clear_route_cache: *clear_route_cache,
        allowed,
        disallowed: names(cx, &at.field("disallowed_headers"), disallowed_headers.as_ref()),
        metadata: texts(metadata_context_namespaces),
        route_metadata: texts(route_metadata_context_namespaces),
        tls_session: *include_tls_session,
        takes_metadata: flag(enable_dynamic_metadata_ingestion.as_ref(), true),
        max_denied_body: usize::try_from(*max_denied_response_body_bytes).ok().filter(|most| *most > 0),
    };
    (cx.problems() == found).then_some(built)
}

/// `envoy.filters.network.ext_authz`.
pub(super) fn network(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &network_ext_authz::ExtAuthz,
) -> Option<NetworkExtAuthz> {
    let network_ext_authz::ExtAuthz {
        stat_prefix,
        grpc_service: wanted,
        failure_mode_allow,
        include_peer_certificate,
        transport_api_version,
        filter_enabled_metadata,
        bootstrap_metadata_labels_key,
        include_tls_session,
        send_tls_alert_on_denial,
        metadata_context_namespaces,
        typed_metadata_context_namespaces,
        shadow_mode,
    } = message;
    refuse!(cx, at,
        include_peer_certificate: UNSUPPORTED,
        bootstrap_metadata_labels_key: UNSUPPORTED,
        send_tls_alert_on_denial: UNSUPPORTED,
        typed_metadata_context_namespaces: UNSUPPORTED,
        shadow_mode: UNSUPPORTED,
    );
    no_effect!(cx, at, stat_prefix: "statistics are those of the metric contract");
    api_version(cx, &at.field("transport_api_version"), *transport_api_version);
    let enabled_metadata = match filter_enabled_metadata {
        Some(message) => Some(matcher::metadata(cx, &at.field("filter_enabled_metadata"), message)?),
        None => None,
    };
    let at = at.field("grpc_service");
    let message = cx.required(&at, wanted.as_ref())?;
    let timeout = cx.limit(&at.field("timeout"), message.timeout.as_ref(), Some(TIMEOUT));
    Some(NetworkExtAuthz {
        service: grpc_service(cx, &at, Some(message), Some(timeout))?,
        failure_allow: *failure_mode_allow,
        enabled_metadata,
        metadata: texts(metadata_context_namespaces),
        tls_session: *include_tls_session,
    })
}

fn deny(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::RuntimeFeatureFlag>) -> bool {
    let Some(core::RuntimeFeatureFlag { default_value, runtime_key }) = message else { return false };
    no_effect!(cx, at, runtime_key: "there is no runtime; the default value holds");
    flag(default_value.as_ref(), false)
}

fn status(cx: &mut Context<'_>, at: &At<'_>, message: Option<&kind::HttpStatus>) -> u16 {
    let Some(kind::HttpStatus { code }) = message else { return 403 };
    let code = u32::try_from(*code).unwrap_or(0);
    cx.between(&at.field("code"), code, 200, 599).and_then(|code| u16::try_from(code).ok()).unwrap_or(403)
}

fn body(cx: &mut Context<'_>, at: &At<'_>, message: Option<&pb::BufferSettings>) -> Option<AuthBody> {
    let pb::BufferSettings { max_request_bytes, allow_partial_message, pack_as_bytes } = message?;
    let limit = cx.between(&at.field("max_request_bytes"), *max_request_bytes, 1, u32::MAX)?;
    Some(AuthBody { limit, partial: *allow_partial_message, as_bytes: *pack_as_bytes })
}

fn names(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pbmatcher::ListStringMatcher>,
) -> Vec<StringMatcher> {
    let Some(pbmatcher::ListStringMatcher { patterns }) = message else { return Vec::new() };
    let at = at.field("patterns");
    patterns
        .iter()
        .enumerate()
        .filter_map(|(i, message)| matcher::string(cx, &at.index(i), message))
        .collect()
}

fn grpc(cx: &mut Context<'_>, at: &At<'_>, message: &core::GrpcService) -> Option<AuthService> {
    let timeout = cx.limit(&at.field("timeout"), message.timeout.as_ref(), Some(TIMEOUT));
    grpc_service(cx, at, Some(message), Some(timeout)).map(AuthService::Grpc)
}

fn http(cx: &mut Context<'_>, at: &At<'_>, message: &pb::HttpService) -> Option<AuthService> {
    let pb::HttpService {
        server_uri,
        path_prefix,
        path_override,
        authorization_request,
        authorization_response,
        retry_policy,
    } = message;
    refuse!(cx, at, retry_policy: UNSUPPORTED);
    let uri_at = at.field("server_uri");
    let core::HttpUri { uri, timeout, http_upstream_type } = cx.required(&uri_at, server_uri.as_ref())?;
    no_effect!(cx, uri_at, uri: "the server is that of cluster, and is asked under the request's own authority");
    let cluster = match http_upstream_type {
        Some(core::http_uri::HttpUpstreamType::Cluster(cluster)) if !cluster.is_empty() => text(cluster),
        _ => {
            cx.refuse(&uri_at.field("cluster"), "must not be empty");
            return None;
        }
    };
    for (name, path) in [("path_prefix", path_prefix), ("path_override", path_override)] {
        if !path.is_empty() && !path.starts_with('/') {
            cx.refuse(&at.field(name), "must begin with /");
        }
    }
    if !path_prefix.is_empty() && !path_override.is_empty() {
        cx.refuse(&at.field("path_override"), "excludes path_prefix");
    }
    let (allowed, headers) = match authorization_request {
        Some(pb::AuthorizationRequest { allowed_headers, headers_to_add }) => {
            let at = at.field("authorization_request");
            let allowed = names(cx, &at.field("allowed_headers"), allowed_headers.as_ref());
            (allowed, added(cx, &at.field("headers_to_add"), headers_to_add))
        }
        None => Default::default(),
    };
    let default = pb::AuthorizationResponse::default();
    let pb::AuthorizationResponse {
        allowed_upstream_headers,
        allowed_upstream_headers_to_append,
        allowed_client_headers,
        allowed_client_headers_on_success,
        dynamic_metadata_from_headers,
    } = authorization_response.as_ref().unwrap_or(&default);
    let response_at = at.field("authorization_response");
    let mut list = |name: &str, message: &Option<pbmatcher::ListStringMatcher>| {
        names(cx, &response_at.field(name), message.as_ref())
    };
    let upstream = list("allowed_upstream_headers", allowed_upstream_headers);
    let upstream_append = list("allowed_upstream_headers_to_append", allowed_upstream_headers_to_append);
    let client = list("allowed_client_headers", allowed_client_headers);
    let client_on_success = list("allowed_client_headers_on_success", allowed_client_headers_on_success);
    let metadata = list("dynamic_metadata_from_headers", dynamic_metadata_from_headers);
    let path = if path_override.is_empty() {
        AuthPath::Prefix(text(path_prefix))
    } else {
        AuthPath::Fixed(text(path_override))
    };
    let timeout = cx.limit(&uri_at.field("timeout"), timeout.as_ref(), Some(TIMEOUT));
    Some(AuthService::Http(Box::new(HttpAuth {
        cluster,
        timeout,
        path,
        allowed,
        headers,
        upstream,
        upstream_append,
        client,
        client_on_success,
        metadata,
    })))
}

fn added(cx: &mut Context<'_>, at: &At<'_>, list: &[core::HeaderValue]) -> HeaderOps {
    use core::header_value_option::HeaderAppendAction;
    let mut add = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let option = core::HeaderValueOption {
            header: Some(value.clone()),
            append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
            ..Default::default()
        };
        add.extend(header_add(cx, &at.index(i), &option));
    }
    HeaderOps { add, remove: Vec::new() }
}

/// What a route says; `outer` is what the levels around it say.
pub(super) fn per_route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::ExtAuthzPerRoute,
    outer: Option<&FilterOverride>,
) -> Option<FilterOverride> {
    use pb::check_settings::ServiceOverride;
    use pb::ext_authz_per_route::Override;
    let pb::ExtAuthzPerRoute { r#override } = message;
    let settings = match r#override {
        Some(Override::Disabled(true)) => return Some(FilterOverride::Disabled),
        Some(Override::Disabled(false)) => &pb::CheckSettings::default(),
        Some(Override::CheckSettings(settings)) => settings,
        None => {
            cx.refuse(at, "needs disabled or check_settings");
            return None;
        }
    };
    let at = at.field("check_settings");
    let pb::CheckSettings {
        context_extensions,
        disable_request_body_buffering,
        with_request_body,
        emit_client_span,
        service_override,
    } = settings;
    no_effect!(cx, at, emit_client_span: "spans are not exported");
    let mut change = ExtAuthzChange::default();
    if let Some(FilterOverride::ExtAuthz(outer)) = outer {
        change.extensions.clone_from(&outer.extensions);
    }
    change.extensions.extend(context_extensions.iter().map(|(key, value)| (text(key), text(value))));
    if *disable_request_body_buffering {
        if with_request_body.is_some() {
            cx.refuse(&at.field("with_request_body"), "excludes disable_request_body_buffering");
        }
        change.body = Some(None);
    } else if with_request_body.is_some() {
        change.body = Some(body(cx, &at.field("with_request_body"), with_request_body.as_ref()));
    }
    change.service = match service_override {
        None => None,
        Some(ServiceOverride::GrpcService(message)) => Some(grpc(cx, &at.field("grpc_service"), message)?),
        Some(ServiceOverride::HttpService(message)) => Some(http(cx, &at.field("http_service"), message)?),
    };
    Some(FilterOverride::ExtAuthz(std::sync::Arc::new(change)))
}
