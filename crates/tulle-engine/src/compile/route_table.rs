//! Route tables and virtual hosts.

use std::collections::HashMap;
use std::sync::Arc;

use tulle_proto::envoy::route as pb;

use super::context::{At, Context, UNSUPPORTED};
use super::overrides::overrides;
use super::value::{flag, metadata, named, provenance, text, texts};
use super::{destination, headers, matcher, rate_limit, retry, route};
use crate::runtime::filter::FilterOverrides;
use crate::runtime::retry::RetryPolicy;
use crate::runtime::route::{DomainIndex, Mirror, NameMap, RequireTls, Route, RouteTable, VirtualHost};

/// What routes take over from the levels around them.
pub(super) struct Inherited<'a> {
    pub(super) filters: &'a FilterOverrides,
    pub(super) retry: Option<&'a Arc<RetryPolicy>>,
    pub(super) mirrors: &'a [Mirror],
    pub(super) buffer_limit: Option<u64>,
}

pub(super) fn route_table(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::RouteConfiguration,
) -> Option<RouteTable> {
    let pb::RouteConfiguration {
        name,
        virtual_hosts,
        vhds,
        internal_only_headers,
        response_headers_to_add,
        response_headers_to_remove,
        request_headers_to_add,
        request_headers_to_remove,
        most_specific_header_mutations_wins,
        validate_clusters,
        max_direct_response_body_size_bytes,
        cluster_specifier_plugins,
        request_mirror_policies,
        ignore_port_in_host_matching,
        vhost_header,
        ignore_path_parameters_in_path_matching,
        typed_per_filter_config,
        metadata: meta,
        route_specifiers,
    } = message;
    refuse!(cx, at,
        vhds: "virtual host discovery is not supported",
        cluster_specifier_plugins: UNSUPPORTED,
        route_specifiers: UNSUPPORTED,
    );
    if flag(validate_clusters.as_ref(), false) {
        cx.note(&at.field("validate_clusters"), "a route to an unknown cluster answers with 503");
    }
    let body_limit = max_direct_response_body_size_bytes.as_ref().map_or(4096, |v| v.value);
    let meta = metadata(cx, &at.field("metadata"), meta.as_ref());
    let per_filter_at = at.field("typed_per_filter_config");
    let filters = overrides(cx, &per_filter_at, typed_per_filter_config, None, &FilterOverrides::default());
    let mirrors = destination::mirrors(cx, &at.field("request_mirror_policies"), request_mirror_policies);
    let inherited = Inherited { filters: &filters, retry: None, mirrors: &mirrors, buffer_limit: None };
    let hosts_at = at.field("virtual_hosts");
    let mut hosts = Vec::with_capacity(virtual_hosts.len());
    let mut domains = DomainBuilder::default();
    for (i, message) in virtual_hosts.iter().enumerate() {
        let at = hosts_at.index(i);
        let Some(host) = virtual_host(cx, &at, message, &inherited, body_limit) else { continue };
        domains.add(cx, &at.field("domains"), &host, u32::try_from(hosts.len()).unwrap_or(u32::MAX));
        hosts.push(Arc::new(host));
    }
    unique_names(cx, &hosts_at, virtual_hosts);
    let internal_at = at.field("internal_only_headers");
    let internal_only_headers = internal_only_headers
        .iter()
        .enumerate()
        .filter_map(|(i, name)| matcher::header_name(cx, &internal_at.index(i), name))
        .collect();
    let host_header = match vhost_header.as_str() {
        "" => None,
        name => Some(matcher::header_key(cx, &at.field("vhost_header"), name)?),
    };
    Some(RouteTable {
        name: text(name),
        virtual_hosts: hosts,
        domains: domains.build(),
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
        most_specific_headers_win: *most_specific_header_mutations_wins,
        internal_only_headers,
        ignore_port_in_host: *ignore_port_in_host_matching,
        ignore_path_parameters: *ignore_path_parameters_in_path_matching,
        host_header,
        provenance: provenance(&meta),
    })
}

fn unique_names(cx: &mut Context<'_>, at: &At<'_>, list: &[pb::VirtualHost]) {
    let mut seen = std::collections::HashSet::new();
    for (i, host) in list.iter().enumerate() {
        if !seen.insert(&host.name) {
            cx.refuse(&at.index(i).field("name"), format!("{:?} is there twice", host.name));
        }
    }
}

fn virtual_host(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::VirtualHost,
    outer: &Inherited<'_>,
    body_limit: u32,
) -> Option<VirtualHost> {
    let pb::VirtualHost {
        name,
        domains,
        routes,
        matcher,
        require_tls,
        virtual_clusters,
        rate_limits,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        cors,
        typed_per_filter_config,
        include_request_attempt_count,
        include_attempt_count_in_response,
        retry_policy,
        retry_policy_typed_config,
        hedge_policy,
        include_is_timeout_retry_header,
        per_request_buffer_limit_bytes,
        request_body_buffer_limit,
        request_mirror_policies,
        metadata: meta,
        route_specifiers,
    } = message;
    refuse!(cx, at,
        matcher: UNSUPPORTED,
        retry_policy_typed_config: UNSUPPORTED,
        hedge_policy: UNSUPPORTED,
        include_is_timeout_retry_header: UNSUPPORTED,
        route_specifiers: UNSUPPORTED,
    );
    no_effect!(cx, at, virtual_clusters: "statistics are those of the metric contract");
    if domains.is_empty() {
        cx.refuse(&at.field("domains"), "needs at least one");
    }
    let meta = metadata(cx, &at.field("metadata"), meta.as_ref());
    let cors_at = at.field("cors");
    let filters = overrides(
        cx,
        &at.field("typed_per_filter_config"),
        typed_per_filter_config,
        cors.as_ref().map(|cors| (&cors_at, cors)),
        outer.filters,
    );
    let retry = match retry_policy {
        Some(policy) => retry::retry(cx, &at.field("retry_policy"), policy).map(Arc::new),
        None => None,
    };
    let own_mirrors = destination::mirrors(cx, &at.field("request_mirror_policies"), request_mirror_policies);
    let inherited = Inherited {
        filters: &filters,
        retry: retry.as_ref(),
        mirrors: if own_mirrors.is_empty() { outer.mirrors } else { &own_mirrors },
        buffer_limit: buffer_limit(
            per_request_buffer_limit_bytes.as_ref(),
            request_body_buffer_limit.as_ref(),
        ),
    };
    let routes_at = at.field("routes");
    let routes: Vec<Arc<Route>> = routes
        .iter()
        .enumerate()
        .filter_map(|(i, message)| route::route(cx, &routes_at.index(i), message, &inherited, body_limit))
        .map(Arc::new)
        .collect();
    let require_tls = match cx.choice(&at.field("require_tls"), *require_tls)? {
        pb::virtual_host::TlsRequirementType::None => RequireTls::None,
        pb::virtual_host::TlsRequirementType::ExternalOnly => RequireTls::ExternalOnly,
        pb::virtual_host::TlsRequirementType::All => RequireTls::All,
    };
    Some(VirtualHost {
        name: named(cx, &at.field("name"), name),
        domains: texts(domains),
        routes,
        require_tls,
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
        attempt_count_in_request: *include_request_attempt_count,
        attempt_count_in_response: *include_attempt_count_in_response,
        rate_limits: rate_limit::rules(cx, &at.field("rate_limits"), rate_limits, rate_limit::Of::Route),
        provenance: provenance(&meta),
    })
}

/// The newer field wins over the older one.
pub(super) fn buffer_limit(
    old: Option<&tulle_proto::envoy::google::UInt32Value>,
    new: Option<&tulle_proto::envoy::google::UInt64Value>,
) -> Option<u64> {
    new.map(|v| v.value).or(old.map(|v| u64::from(v.value)))
}

/// Sorts domains by kind and refuses those that are there twice.
#[derive(Default)]
struct DomainBuilder {
    exact: NameMap,
    suffixes: HashMap<usize, NameMap>,
    prefixes: HashMap<usize, NameMap>,
    default: Option<u32>,
}

impl DomainBuilder {
    fn add(&mut self, cx: &mut Context<'_>, at: &At<'_>, host: &VirtualHost, index: u32) {
        for (i, domain) in host.domains.iter().enumerate() {
            let at = at.index(i);
            let name = domain.to_ascii_lowercase();
            let twice = if name == "*" {
                self.default.replace(index).is_some()
            } else if let Some(suffix) = name.strip_prefix('*') {
                insert(self.suffixes.entry(suffix.len()).or_default(), suffix, index)
            } else if let Some(prefix) = name.strip_suffix('*') {
                insert(self.prefixes.entry(prefix.len()).or_default(), prefix, index)
            } else {
                insert(&mut self.exact, &name, index)
            };
            if twice {
                cx.refuse(&at, format!("{domain:?} is there twice; each domain may have one virtual host"));
            }
        }
    }

    fn build(self) -> DomainIndex {
        let sorted = |lists: HashMap<usize, NameMap>| {
            let mut lists: Vec<(usize, NameMap)> = lists.into_iter().collect();
            lists.sort_by_key(|(len, _)| std::cmp::Reverse(*len));
            lists
        };
        DomainIndex {
            exact: self.exact,
            suffixes: sorted(self.suffixes),
            prefixes: sorted(self.prefixes),
            default: self.default,
        }
    }
}

fn insert(names: &mut NameMap, name: &str, index: u32) -> bool {
    names.insert(name.as_bytes().into(), index).is_some()
}
