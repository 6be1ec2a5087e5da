//! HTTP connection managers.

use std::time::Duration;

use tulle_mesh::config::{ClientCert, GatewayTopology, MeshConfig, PathNormalization};
use tulle_proto::envoy::core::Http2ProtocolOptions;
use tulle_proto::envoy::http_connection_manager::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager as kinds,
    http_connection_manager::RouteSpecifier,
};
use tulle_proto::envoy::listener::Filter;
use tulle_proto::envoy::route::RouteConfiguration;

use crate::access_log;
use crate::filters;
use crate::pb::{ads, boolv, duration};
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
    let mut manager = manager(mesh, side, prefix);
    if side == Side::Gateway {
        behind(&mut manager, view.topology);
    }
    manager.route_specifier = Some(RouteSpecifier::Rds(rds));
    manager.http_filters = outbound_filters(side, view.stock, policies, wanted);
    network(&manager)
}

/// A manager of a sidecar's inbound side, with its routes inside and the filters of policies: who may, then how many.
pub(super) fn inbound(
    mesh: &MeshConfig,
    stock: bool,
    http2: bool,
    prefix: &str,
    routes: RouteConfiguration,
    policies: &[HttpFilter],
) -> Filter {
    let mut manager = manager(mesh, Side::Inbound, prefix);
    manager.route_specifier = Some(RouteSpecifier::RouteConfig(routes));
    if http2 {
        manager.http2_protocol_options = Some(Http2ProtocolOptions::default());
    }
    // Peer metadata comes first: whoever is denied is told apart in metrics as well.
    let mut all = Vec::new();
    if !stock {
        all.push(filters::peer_metadata_inbound());
    }
    all.extend(policies.iter().cloned());
    all.extend([filters::grpc_stats(), filters::fault(), filters::cors()]);
    if !stock {
        all.push(filters::stats_http(false));
    }
    all.push(filters::router());
    manager.http_filters = all;
    network(&manager)
}

fn outbound_filters(side: Side, stock: bool, policies: &[HttpFilter], wanted: &Wanted) -> Vec<HttpFilter> {
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
    if !stock {
        all.push(filters::stats_http(side == Side::Gateway));
    }
    all.extend(wanted.sessions.then(filters::sessions));
    all.push(filters::router());
    all
}

fn network(manager: &HttpConnectionManager) -> Filter {
    filters::network("envoy.filters.network.http_connection_manager", manager)
}

fn manager(mesh: &MeshConfig, side: Side, prefix: &str) -> HttpConnectionManager {
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
        access_log: access_log::of_requests(mesh),
        ..HttpConnectionManager::default()
    };
    normalization(&mut out, mesh.path_normalization);
    match side {
        Side::Inbound => {
            out.forward_client_cert_details = Forward::AppendForward as i32;
            out.set_current_client_cert_details = Some(kinds::SetCurrentClientCertDetails {
                subject: boolv(true),
                dns: true,
                uri: true,
                ..Default::default()
            });
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
    out
}

/// What stands before a gateway.
fn behind(out: &mut HttpConnectionManager, topology: GatewayTopology) {
    use kinds::ForwardClientCertDetails as Forward;
    let GatewayTopology { trusted_proxies, client_cert, proxy_protocol: _ } = topology; // the listener's
    out.xff_num_trusted_hops = trusted_proxies.unwrap_or(0);
    if let Some(how) = client_cert {
        out.forward_client_cert_details = match how {
            ClientCert::Sanitize => Forward::Sanitize,
            ClientCert::ForwardOnly => Forward::ForwardOnly,
            ClientCert::AppendForward => Forward::AppendForward,
            ClientCert::SanitizeSet => Forward::SanitizeSet,
            ClientCert::AlwaysForwardOnly => Forward::AlwaysForwardOnly,
        } as i32;
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
