//! HTTP connection managers.

use std::time::Duration;

use tulle_mesh::config::{ClientCert, GatewayTopology, MeshConfig, PathNormalization};
use tulle_mesh::headers::{CertParts, ProxyHeaders, Server};
use tulle_mesh::proxies::{ConnectionSettings, EscapedSlashes, ProxySettings, Underscores};
use tulle_proto::envoy::core::Http2ProtocolOptions;
use tulle_proto::envoy::core::http_protocol_options::HeadersWithUnderscoresAction as UnderscoresAction;
use tulle_proto::envoy::http_connection_manager::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager as kinds,
    http_connection_manager::RouteSpecifier,
};
use tulle_proto::envoy::listener::Filter;
use tulle_proto::envoy::route::RouteConfiguration;
use tulle_proto::istio::stats::PluginConfig;

use crate::filters;
use crate::pb::{ads, boolv, duration, u32v};
use crate::tracing::Traced;
use crate::view::View;

/// Which side a manager is on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// From the workload.
    Outbound,
    /// To the workload.
    Inbound,
    /// At the edge.
    Gateway,
}

/// What routes need of filters.
pub(super) struct Wanted {
    /// Some keep sessions at their endpoints.
    pub(super) sessions: bool,
    /// Filters that ask whether requests may pass.
    pub(super) auth: Vec<HttpFilter>,
}

/// A manager whose routes come from RDS.
pub(super) fn with_rds(
    mesh: &MeshConfig,
    view: &View,
    side: Side,
    (prefix, routes): (&str, &str),
    policies: &[HttpFilter],
    wanted: &Wanted,
) -> Filter {
    let rds = Rds { route_config_name: routes.to_owned(), config_source: Some(ads()) };
    let mut manager = manager(mesh, &view.proxy, side, prefix);
    view.traced.put(&mut manager);
    if side == Side::Gateway {
        behind(&mut manager, view.topology);
    }
    manager.route_specifier = Some(RouteSpecifier::Rds(rds));
    manager.http_filters = outbound_filters(side, view, policies, wanted);
    network(&manager)
}

/// A manager of a sidecar's inbound side, with its routes inside and the filters of policies: who may, then how many.
pub(super) fn inbound(
    mesh: &MeshConfig,
    (proxy, traced): (&ProxySettings, &Traced),
    (stock, metrics): (bool, Option<&PluginConfig>),
    http2: bool,
    prefix: &str,
    routes: RouteConfiguration,
    policies: &[HttpFilter],
) -> Filter {
    let mut manager = manager(mesh, proxy, Side::Inbound, prefix);
    traced.put(&mut manager);
    manager.route_specifier = Some(RouteSpecifier::RouteConfig(routes));
    if http2 {
        manager.http2_protocol_options.get_or_insert_with(Http2ProtocolOptions::default);
    }
    // Peer metadata comes first: whoever is denied is told apart in metrics as well.
    let mut all = Vec::new();
    if !stock {
        all.push(filters::peer_metadata_inbound());
    }
    all.extend(policies.iter().cloned());
    all.extend([filters::grpc_stats(), filters::fault(), filters::cors()]);
    all.extend(metrics.map(|m| filters::stats_http(m, false)));
    all.push(filters::router(proxy.headers.debug.unwrap_or(true)));
    manager.http_filters = all;
    network(&manager)
}

fn outbound_filters(side: Side, view: &View, policies: &[HttpFilter], wanted: &Wanted) -> Vec<HttpFilter> {
    let stock = view.stock;
    let mut all = Vec::new();
    if !stock {
        all.push(filters::peer_metadata_outbound());
    }
    all.extend(policies.iter().cloned());
    all.push(filters::grpc_stats());
    if !stock {
        all.push(filters::istio_alpn());
    }
    all.extend([filters::fault(), filters::cors()]);
    all.extend(wanted.auth.iter().cloned());
    all.extend(view.metrics.iter().map(|m| filters::stats_http(m, side == Side::Gateway)));
    all.extend(wanted.sessions.then(filters::sessions));
    all.push(filters::router(view.proxy.headers.debug.unwrap_or(true)));
    all
}

fn network(manager: &HttpConnectionManager) -> Filter {
    filters::network("envoy.filters.network.http_connection_manager", manager)
}

fn manager(mesh: &MeshConfig, proxy: &ProxySettings, side: Side, prefix: &str) -> HttpConnectionManager {
    use kinds::ForwardClientCertDetails as Forward;
    let mut out = HttpConnectionManager {
        stat_prefix: prefix.to_owned(),
        server_name: "istio-envoy".into(),
        use_remote_address: boolv(side == Side::Gateway),
        stream_idle_timeout: Some(duration(Duration::ZERO)),
        upgrade_configs: vec![kinds::UpgradeConfig {
            upgrade_type: "websocket".into(),
            ..Default::default()
        }],
        ..HttpConnectionManager::default()
    };
    normalization(&mut out, mesh.path_normalization);
    match side {
        Side::Inbound => {
            out.forward_client_cert_details = Forward::AppendForward as i32;
            out.server_header_transformation = kinds::ServerHeaderTransformation::PassThrough as i32;
        }
        Side::Gateway => {
            out.forward_client_cert_details = Forward::SanitizeSet as i32;
            out.set_current_client_cert_details = Some(kinds::SetCurrentClientCertDetails {
                subject: boolv(true),
                cert: true,
                dns: true,
                uri: true,
                ..Default::default()
            });
        }
        Side::Outbound => {}
    }
    added(&mut out, &proxy.headers, side);
    bounded(&mut out, &proxy.connections);
    out
}

/// What is written of connections; the listener and the clusters have the rest.
fn bounded(out: &mut HttpConnectionManager, settings: &ConnectionSettings) {
    let ConnectionSettings {
        edge: _,
        downstream_buffer: _,
        upstream_buffer: _,
        idle_timeout,
        max_connection,
        drain_timeout,
        request_timeout,
        head_timeout,
        stream_idle_timeout,
        max_stream,
        max_streams,
        stream_window,
        connection_window,
        underscores,
        merge_slashes,
        escaped_slashes,
    } = settings;
    let underscores = underscores.map(|action| match action {
        Underscores::Allow => UnderscoresAction::Allow as i32,
        Underscores::Reject => UnderscoresAction::RejectRequest as i32,
        Underscores::Drop => UnderscoresAction::DropHeader as i32,
    });
    if idle_timeout.is_some() || max_connection.is_some() || max_stream.is_some() || underscores.is_some() {
        let common = out.common_http_protocol_options.get_or_insert_with(Default::default);
        common.idle_timeout = idle_timeout.map(duration);
        common.max_connection_duration = max_connection.map(duration);
        common.max_stream_duration = max_stream.map(duration);
        common.headers_with_underscores_action = underscores.unwrap_or_default();
    }
    if max_streams.is_some() || stream_window.is_some() || connection_window.is_some() {
        let http2 = out.http2_protocol_options.get_or_insert_with(Default::default);
        http2.max_concurrent_streams = max_streams.and_then(u32v);
        http2.initial_stream_window_size = stream_window.and_then(u32v);
        http2.initial_connection_window_size = connection_window.and_then(u32v);
    }
    if let Some(time) = stream_idle_timeout {
        out.stream_idle_timeout = Some(duration(*time));
    }
    out.request_timeout = request_timeout.map(duration);
    out.request_headers_timeout = head_timeout.map(duration);
    out.drain_timeout = drain_timeout.map(duration);
    if let Some(merge) = merge_slashes {
        out.merge_slashes = *merge;
    }
    if let Some(action) = escaped_slashes {
        use kinds::PathWithEscapedSlashesAction as Action;
        out.path_with_escaped_slashes_action = match action {
            EscapedSlashes::Keep => Action::KeepUnchanged,
            EscapedSlashes::Reject => Action::RejectRequest,
            EscapedSlashes::Redirect => Action::UnescapeAndRedirect,
            EscapedSlashes::Decode => Action::UnescapeAndForward,
        } as i32;
    }
}

/// The headers that are written otherwise than they are by default.
fn added(out: &mut HttpConnectionManager, headers: &ProxyHeaders, side: Side) {
    let ProxyHeaders {
        client_cert,
        client_parts,
        request_id,
        server,
        attempt_count: _,  // the virtual hosts'
        debug: _,          // the router's
        forwarded_host: _, // the routes'
        forwarded_port,
    } = headers;
    if let Some(false) = request_id {
        out.generate_request_id = boolv(false);
    }
    match server {
        None => {}
        Some(Server::Upstream) => {
            out.server_name.clear();
            out.server_header_transformation = kinds::ServerHeaderTransformation::PassThrough as i32;
        }
        Some(Server::Is(value)) => {
            out.server_name.clone_from(value);
            out.server_header_transformation = kinds::ServerHeaderTransformation::Overwrite as i32;
        }
    }
    if side != Side::Outbound {
        out.append_x_forwarded_port = forwarded_port.unwrap_or(false);
    }
    // Of gateways, what stands before them decides.
    if side == Side::Inbound {
        if let Some(how) = client_cert {
            out.forward_client_cert_details = forward(*how);
        }
        let CertParts { subject, cert, chain, dns, uri } = *client_parts;
        out.set_current_client_cert_details = Some(kinds::SetCurrentClientCertDetails {
            subject: boolv(subject.unwrap_or(true)),
            cert: cert.unwrap_or(false),
            chain: chain.unwrap_or(false),
            dns: dns.unwrap_or(true),
            uri: uri.unwrap_or(true),
            ..Default::default()
        });
    }
}

fn forward(how: ClientCert) -> i32 {
    use kinds::ForwardClientCertDetails as Forward;
    let forward = match how {
        ClientCert::Sanitize => Forward::Sanitize,
        ClientCert::ForwardOnly => Forward::ForwardOnly,
        ClientCert::AppendForward => Forward::AppendForward,
        ClientCert::SanitizeSet => Forward::SanitizeSet,
        ClientCert::AlwaysForwardOnly => Forward::AlwaysForwardOnly,
    };
    forward as i32
}

/// What stands before a gateway.
fn behind(out: &mut HttpConnectionManager, topology: GatewayTopology) {
    let GatewayTopology { trusted_proxies, client_cert, proxy_protocol: _ } = topology; // the listener's
    out.xff_num_trusted_hops = trusted_proxies.unwrap_or(0);
    if let Some(how) = client_cert {
        out.forward_client_cert_details = forward(how);
    }
}

fn normalization(out: &mut HttpConnectionManager, wanted: PathNormalization) {
    out.normalize_path = boolv(wanted != PathNormalization::None);
    out.merge_slashes =
        matches!(wanted, PathNormalization::MergeSlashes | PathNormalization::DecodeAndMergeSlashes);
    out.path_with_escaped_slashes_action = match wanted {
        PathNormalization::DecodeAndMergeSlashes => kinds::PathWithEscapedSlashesAction::UnescapeAndForward,
        _ => kinds::PathWithEscapedSlashesAction::KeepUnchanged,
    } as i32;
}
