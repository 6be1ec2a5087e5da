//! Routes (RDS).

mod action;
mod claims;
mod domains;
pub(crate) mod gateway;
mod http;
mod matching;
pub(crate) mod sidecar;

use tulle_mesh::Snapshot;
use tulle_mesh::headers::ProxyHeaders;
use tulle_proto::envoy::route::{RouteConfiguration, VirtualHost, route};
use tulle_proto::type_url;

use crate::envoy_filter::{self, Ports, outbound};
use crate::pb::{boolv, u32v};
use crate::resource::Resource;
use crate::sources::Sources;
use crate::view::View;

pub(crate) use action::{cluster_of, inbound, with_policy};

/// Largest body of a direct response, in bytes, as Istio sets it.
const MAX_DIRECT_BODY: u32 = 1024 * 1024;

/// A route configuration in which ports of the authority do not count.
fn configuration(
    snapshot: &Snapshot,
    view: &View,
    name: &str,
    ports: Ports<'_>,
    mut virtual_hosts: Vec<VirtualHost>,
) -> Resource {
    for host in &mut virtual_hosts {
        add_headers(host, &view.proxy.headers);
    }
    let mut sources = Sources::of_routes(snapshot, view, &virtual_hosts);
    let mut message = RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts,
        validate_clusters: boolv(false),
        max_direct_response_body_size_bytes: u32v(MAX_DIRECT_BODY),
        ignore_port_in_host_matching: true,
        ..RouteConfiguration::default()
    };
    envoy_filter::routes(&view.patches, outbound(view.kind), ports, &mut message, &mut sources);
    Resource::new(name, type_url::ROUTE_CONFIGURATION, &message, sources)
}

/// Headers of virtual hosts and routes that are written otherwise than they are by default.
fn add_headers(host: &mut VirtualHost, headers: &ProxyHeaders) {
    if headers.attempt_count == Some(false) {
        host.include_request_attempt_count = false;
    }
    if headers.forwarded_host == Some(true) {
        for route in &mut host.routes {
            if let Some(route::Action::Route(action)) = &mut route.action {
                action.append_x_forwarded_host = true;
            }
        }
    }
}
