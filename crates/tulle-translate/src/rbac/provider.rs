//! CUSTOM: the extension provider that is asked (`extensionProviders` of the mesh's settings).

use std::time::Duration;

use tulle_mesh::Snapshot;
use tulle_mesh::provider::{CheckedBody, ExtAuthz, ExtAuthzProtocol, ProviderKind};
use tulle_proto::envoy::core::{
    ApiVersion, GrpcService, HeaderValue, HttpUri, grpc_service::EnvoyGrpc, grpc_service::TargetSpecifier,
    http_uri::HttpUpstreamType,
};
use tulle_proto::envoy::ext_authz::{
    AuthorizationRequest, AuthorizationResponse, BufferSettings, ExtAuthz as HttpFilter, HttpService,
    ext_authz::Services,
};
use tulle_proto::envoy::kind::HttpStatus;
use tulle_proto::envoy::matcher::{
    ListStringMatcher, MetadataMatcher, StringMatcher, metadata_matcher::PathSegment,
    metadata_matcher::path_segment::Segment, string_matcher::MatchPattern,
};
use tulle_proto::envoy::network_ext_authz::ExtAuthz as NetworkFilter;

use crate::jwt::is_text;
use crate::names::ClusterName;
use crate::pb::{duration, matcher};

/// Before the metadata in which the shadow rules of a provider say which policy matched, as Istio has it.
pub(super) const SHADOW_PREFIX: &str = "istio_ext_authz_";
/// Begins the names of policies that ask a provider, as Istio has it.
const NAME_PREFIX: &str = "istio-ext-authz";

/// Begins the names of the policies that ask `provider`.
pub(super) fn name_prefix(provider: &str) -> String {
    format!("{NAME_PREFIX}-{provider}-")
}

/// The filters that ask a provider about what its policies match.
pub(super) struct Asking {
    pub(super) http: HttpFilter,
    /// Only gRPC services are asked about connections.
    pub(super) network: Option<NetworkFilter>,
}

/// How the provider is asked; `None` where there is none of this name that can be, or its service is not known to the proxies of
/// `namespace`.
pub(super) fn asking(snapshot: &Snapshot, namespace: &str, provider: &str) -> Option<Asking> {
    let ProviderKind::ExtAuthz(authz) = &snapshot.extension_provider(provider)?.kind else { return None };
    let service = snapshot
        .service(&authz.host, namespace)
        .filter(|s| authz.namespace.is_empty() || s.namespace() == authz.namespace)?;
    service.port(authz.port)?;
    let ExtAuthz {
        namespace: _,
        host,
        port,
        timeout,
        fail_open,
        status_on_error,
        clear_route_cache,
        body,
        protocol,
    } = &**authz;
    let cluster = ClusterName::outbound(host, *port, "");
    let mut http = HttpFilter {
        transport_api_version: ApiVersion::V3 as i32,
        failure_mode_allow: *fail_open,
        status_on_error: Some(HttpStatus { code: i32::from(*status_on_error) }),
        clear_route_cache: *clear_route_cache,
        with_request_body: body.map(buffered),
        filter_enabled_metadata: Some(where_matched("envoy.filters.http.rbac", provider)),
        ..HttpFilter::default()
    };
    let network = match protocol {
        ExtAuthzProtocol::Grpc => {
            let service = grpc(&cluster, *timeout);
            http.services = Some(Services::GrpcService(service.clone()));
            Some(NetworkFilter {
                stat_prefix: "tcp.".into(),
                grpc_service: Some(service),
                failure_mode_allow: *fail_open,
                transport_api_version: ApiVersion::V3 as i32,
                filter_enabled_metadata: Some(where_matched("envoy.filters.network.rbac", provider)),
                ..NetworkFilter::default()
            })
        }
        ExtAuthzProtocol::Http { path_prefix, request_headers, additional_headers, .. } => {
            http.allowed_headers = names(request_headers);
            let added = additional_headers.iter().map(|(key, value)| HeaderValue {
                key: key.clone(),
                value: value.clone(),
                ..HeaderValue::default()
            });
            http.services = Some(Services::HttpService(HttpService {
                server_uri: Some(HttpUri {
                    uri: format!("http://{host}"),
                    timeout: Some(duration(*timeout)),
                    http_upstream_type: Some(HttpUpstreamType::Cluster(cluster.to_string())),
                }),
                path_prefix: path_prefix.clone(),
                authorization_request: (!additional_headers.is_empty())
                    .then(|| AuthorizationRequest { headers_to_add: added.collect(), ..Default::default() }),
                authorization_response: response(protocol),
                ..HttpService::default()
            }));
            None
        }
    };
    Some(Asking { http, network })
}

fn response(protocol: &ExtAuthzProtocol) -> Option<AuthorizationResponse> {
    let ExtAuthzProtocol::Http { upstream_on_allow, downstream_on_deny, downstream_on_allow, .. } = protocol
    else {
        return None;
    };
    let response = AuthorizationResponse {
        allowed_upstream_headers: names(upstream_on_allow),
        allowed_client_headers: names(downstream_on_deny),
        allowed_client_headers_on_success: names(downstream_on_allow),
        ..AuthorizationResponse::default()
    };
    (response != AuthorizationResponse::default()).then_some(response)
}

/// A `|` is no part of an authority.
fn grpc(cluster: &ClusterName, timeout: Duration) -> GrpcService {
    GrpcService {
        timeout: Some(duration(timeout)),
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: cluster.to_string(),
            authority: cluster.sni(),
            ..EnvoyGrpc::default()
        })),
        ..GrpcService::default()
    }
}

fn buffered(body: CheckedBody) -> BufferSettings {
    let CheckedBody { max_bytes, allow_partial, as_bytes } = body;
    BufferSettings {
        max_request_bytes: max_bytes,
        allow_partial_message: allow_partial,
        pack_as_bytes: as_bytes,
    }
}

/// Names of headers: exact, or with a `*` at one end.
fn names(all: &[String]) -> Option<ListStringMatcher> {
    let pattern = |name: &String| StringMatcher {
        ignore_case: true,
        ..matcher(match (name.strip_prefix('*'), name.strip_suffix('*')) {
            (Some(end), _) => MatchPattern::Suffix(end.to_owned()),
            (_, Some(start)) => MatchPattern::Prefix(start.to_owned()),
            (None, None) => MatchPattern::Exact(name.clone()),
        })
    };
    (!all.is_empty()).then(|| ListStringMatcher { patterns: all.iter().map(pattern).collect() })
}

/// Asks only about what a policy of the provider matched.
fn where_matched(filter: &str, provider: &str) -> MetadataMatcher {
    let key = format!("{SHADOW_PREFIX}shadow_effective_policy_id");
    let prefix = matcher(MatchPattern::Prefix(format!("{}ns[", name_prefix(provider))));
    MetadataMatcher {
        filter: filter.to_owned(),
        path: vec![PathSegment { segment: Some(Segment::Key(key)) }],
        value: Some(is_text(prefix)),
        invert: false,
    }
}
