//! Envoy's v3 messages, from the `envoy-types` crate, under short names.
//!
//! `core::Address` is `envoy.config.core.v3.Address`, and so on: the last word of the package names the module.

use envoy_types::pb;

pub use pb::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;

/// `envoy.admin.v3`: what `/config_dump` and `/clusters` answer.
pub mod admin {
    pub use super::pb::envoy::admin::v3::*;
}
/// `envoy.config.accesslog.v3`.
pub mod accesslog {
    pub use super::pb::envoy::config::accesslog::v3::*;
}
/// `envoy.config.bootstrap.v3`.
pub mod bootstrap {
    pub use super::pb::envoy::config::bootstrap::v3::*;
}
/// `envoy.config.cluster.v3`.
pub mod cluster {
    pub use super::pb::envoy::config::cluster::v3::*;
}
/// `envoy.config.core.v3`.
pub mod core {
    pub use super::pb::envoy::config::core::v3::*;
}
/// `envoy.config.endpoint.v3`.
pub mod endpoint {
    pub use super::pb::envoy::config::endpoint::v3::*;
}
/// `envoy.config.listener.v3`.
pub mod listener {
    pub use super::pb::envoy::config::listener::v3::*;
}
/// `envoy.config.metrics.v3`.
pub mod metrics {
    pub use super::pb::envoy::config::metrics::v3::*;
}
/// `envoy.config.common.mutation_rules.v3`.
pub mod mutation_rules {
    pub use super::pb::envoy::config::common::mutation_rules::v3::*;
}
/// `envoy.config.rbac.v3`: the rules; the filters are [`http_rbac`] and [`network_rbac`].
pub mod rbac {
    pub use super::pb::envoy::config::rbac::v3::*;
}
/// `envoy.config.route.v3`.
pub mod route {
    pub use super::pb::envoy::config::route::v3::*;
}
/// `envoy.config.trace.v3`.
pub mod trace {
    pub use super::pb::envoy::config::trace::v3::*;
}
/// `envoy.extensions.tracers.opentelemetry.resource_detectors.v3`.
pub mod otel_detectors {
    pub use super::pb::envoy::extensions::tracers::opentelemetry::resource_detectors::v3::*;
}
/// `envoy.extensions.tracers.opentelemetry.samplers.v3`.
pub mod otel_samplers {
    pub use super::pb::envoy::extensions::tracers::opentelemetry::samplers::v3::*;
}
/// `envoy.extensions.request_id.uuid.v3`.
pub mod request_id {
    pub use super::pb::envoy::extensions::request_id::uuid::v3::*;
}
/// `opentelemetry.proto.common.v1`: see also [`crate::otlp`].
pub mod otel_common {
    pub use super::pb::opentelemetry::proto::common::v1::*;
}
/// `envoy.extensions.access_loggers.open_telemetry.v3`.
pub mod otel_access_log {
    pub use super::pb::envoy::extensions::access_loggers::open_telemetry::v3::*;
}
/// `envoy.extensions.access_loggers.grpc.v3`.
pub mod grpc_access_log {
    pub use super::pb::envoy::extensions::access_loggers::grpc::v3::*;
}
/// `envoy.extensions.access_loggers.filters.cel.v3`.
pub mod cel_access_log {
    pub use super::pb::envoy::extensions::access_loggers::filters::cel::v3::*;
}
/// `envoy.data.accesslog.v3`: entries of the gRPC access log service.
pub mod access_log_data {
    pub use super::pb::envoy::data::accesslog::v3::*;
}
/// `envoy.service.accesslog.v3`: messages of the gRPC access log service.
pub mod access_log_service {
    pub use super::pb::envoy::service::accesslog::v3::{
        StreamAccessLogsMessage, StreamAccessLogsResponse, stream_access_logs_message,
    };
}
/// `envoy.extensions.access_loggers.file.v3`.
pub mod file_access_log {
    pub use super::pb::envoy::extensions::access_loggers::file::v3::*;
}
/// `envoy.extensions.access_loggers.stream.v3`.
pub mod stream_access_log {
    pub use super::pb::envoy::extensions::access_loggers::stream::v3::*;
}
/// `envoy.extensions.filters.network.http_connection_manager.v3`.
pub mod http_connection_manager {
    pub use super::pb::envoy::extensions::filters::network::http_connection_manager::v3::*;
}
/// `envoy.extensions.filters.network.tcp_proxy.v3`.
pub mod tcp_proxy {
    pub use super::pb::envoy::extensions::filters::network::tcp_proxy::v3::*;
}
/// `envoy.extensions.filters.network.rbac.v3`.
pub mod network_rbac {
    pub use super::pb::envoy::extensions::filters::network::rbac::v3::*;
}
/// `envoy.extensions.filters.network.ext_authz.v3`.
pub mod network_ext_authz {
    pub use super::pb::envoy::extensions::filters::network::ext_authz::v3::*;
}
/// `envoy.extensions.filters.http.rbac.v3`.
pub mod http_rbac {
    pub use super::pb::envoy::extensions::filters::http::rbac::v3::*;
}
/// `envoy.extensions.filters.http.fault.v3`.
pub mod fault {
    pub use super::pb::envoy::extensions::filters::http::fault::v3::*;
}
/// `envoy.extensions.filters.common.fault.v3`.
pub mod fault_common {
    pub use super::pb::envoy::extensions::filters::common::fault::v3::*;
}
/// `envoy.extensions.filters.http.cors.v3`.
pub mod cors {
    pub use super::pb::envoy::extensions::filters::http::cors::v3::*;
}
/// `envoy.extensions.filters.http.grpc_stats.v3`.
pub mod grpc_stats {
    pub use super::pb::envoy::extensions::filters::http::grpc_stats::v3::*;
}
/// `envoy.extensions.filters.http.grpc_web.v3`.
pub mod grpc_web {
    pub use super::pb::envoy::extensions::filters::http::grpc_web::v3::*;
}
/// `envoy.extensions.filters.http.local_ratelimit.v3`.
pub mod local_ratelimit {
    pub use super::pb::envoy::extensions::filters::http::local_ratelimit::v3::*;
}
/// `envoy.extensions.common.ratelimit.v3`: descriptors and what rate limit filters have in common.
pub mod ratelimit_common {
    pub use super::pb::envoy::extensions::common::ratelimit::v3::*;
}
/// `envoy.extensions.filters.http.header_mutation.v3`.
pub mod header_mutation {
    pub use super::pb::envoy::extensions::filters::http::header_mutation::v3::*;
}
/// `envoy.extensions.filters.http.set_metadata.v3`.
pub mod set_metadata {
    pub use super::pb::envoy::extensions::filters::http::set_metadata::v3::*;
}
/// `envoy.extensions.filters.http.buffer.v3`.
pub mod buffer {
    pub use super::pb::envoy::extensions::filters::http::buffer::v3::*;
}
/// `envoy.extensions.filters.http.health_check.v3`.
pub mod health_check {
    pub use super::pb::envoy::extensions::filters::http::health_check::v3::*;
}
/// `envoy.extensions.filters.http.stateful_session.v3`.
pub mod stateful_session {
    pub use super::pb::envoy::extensions::filters::http::stateful_session::v3::*;
}
/// `envoy.extensions.clusters.dynamic_forward_proxy.v3`.
pub mod forward_proxy_cluster {
    pub use super::pb::envoy::extensions::clusters::dynamic_forward_proxy::v3::*;
}
/// `envoy.extensions.common.dynamic_forward_proxy.v3`.
pub mod dns_cache {
    pub use super::pb::envoy::extensions::common::dynamic_forward_proxy::v3::*;
}
/// `envoy.extensions.filters.http.dynamic_forward_proxy.v3`.
pub mod forward_proxy {
    pub use super::pb::envoy::extensions::filters::http::dynamic_forward_proxy::v3::*;
}
/// `envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3`.
pub mod sni_forward_proxy {
    pub use super::pb::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3::*;
}
/// `xds.core.v3`: what newer messages of Envoy are made of.
pub mod xds_core {
    pub use super::pb::xds::core::v3::*;
}
/// `envoy.extensions.http.stateful_session.cookie.v3`.
pub mod session_cookie {
    pub use super::pb::envoy::extensions::http::stateful_session::cookie::v3::*;

    /// Name of a session state whose cookie goes with the browser, although the session has an end: our proxy's alone.
    pub const OF_BROWSER: &str = "tulle.stateful_session.browser";
}
/// `envoy.extensions.http.stateful_session.header.v3`.
pub mod session_header {
    pub use super::pb::envoy::extensions::http::stateful_session::header::v3::*;
}
/// `envoy.type.http.v3`.
pub mod http_type {
    pub use super::pb::envoy::r#type::http::v3::*;
}
/// `envoy.extensions.filters.http.csrf.v3`.
pub mod csrf {
    pub use super::pb::envoy::extensions::filters::http::csrf::v3::*;
}
/// `envoy.extensions.filters.http.compressor.v3`.
pub mod compressor {
    pub use super::pb::envoy::extensions::filters::http::compressor::v3::*;
}
/// `envoy.extensions.filters.http.decompressor.v3`.
pub mod decompressor {
    pub use super::pb::envoy::extensions::filters::http::decompressor::v3::*;
}
/// `envoy.extensions.filters.http.ratelimit.v3`.
pub mod http_ratelimit {
    pub use super::pb::envoy::extensions::filters::http::ratelimit::v3::*;
}
/// `envoy.extensions.filters.http.jwt_authn.v3`.
pub mod jwt_authn {
    pub use super::pb::envoy::extensions::filters::http::jwt_authn::v3::*;
}
/// `envoy.extensions.filters.http.ext_authz.v3`.
pub mod ext_authz {
    pub use super::pb::envoy::extensions::filters::http::ext_authz::v3::*;
}
/// `envoy.extensions.compression.gzip.*.v3`.
pub mod gzip {
    pub use super::pb::envoy::extensions::compression::gzip::compressor::v3 as compressor;
    pub use super::pb::envoy::extensions::compression::gzip::decompressor::v3 as decompressor;
}
/// `envoy.config.ratelimit.v3`: where the rate limit service is.
pub mod ratelimit_service {
    pub use super::pb::envoy::config::ratelimit::v3::*;
}
/// `envoy.service.ratelimit.v3`: what is said to the rate limit service.
pub mod ratelimit {
    pub use super::pb::envoy::service::ratelimit::v3::*;
}
/// `envoy.service.auth.v3`: what is said to the authorization service.
pub mod auth {
    pub use super::pb::envoy::service::auth::v3::*;
}
/// `envoy.extensions.filters.http.router.v3`.
pub mod router {
    pub use super::pb::envoy::extensions::filters::http::router::v3::*;
}
/// `envoy.extensions.filters.listener.*.v3`.
pub mod listener_filters {
    pub use super::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
    pub use super::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
    pub use super::pb::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
    pub use super::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
}
/// `envoy.extensions.load_balancing_policies.*.v3`.
pub mod lb_policies {
    pub use super::pb::envoy::extensions::load_balancing_policies::cluster_provided::v3::ClusterProvided;
    pub use super::pb::envoy::extensions::load_balancing_policies::common::v3 as common;
    pub use super::pb::envoy::extensions::load_balancing_policies::least_request::v3::{
        LeastRequest, least_request,
    };
    pub use super::pb::envoy::extensions::load_balancing_policies::maglev::v3::Maglev;
    pub use super::pb::envoy::extensions::load_balancing_policies::random::v3::Random;
    pub use super::pb::envoy::extensions::load_balancing_policies::ring_hash::v3::RingHash;
    pub use super::pb::envoy::extensions::load_balancing_policies::round_robin::v3::RoundRobin;
    pub use super::pb::envoy::extensions::load_balancing_policies::wrr_locality::v3::WrrLocality;
}
/// `envoy.config.common.matcher.v3`.
pub mod common_matcher {
    pub use super::pb::envoy::config::common::matcher::v3::*;
}
/// `envoy.extensions.retry.priority.*.v3`.
pub mod retry_priority {
    pub use super::pb::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;
}
/// `envoy.extensions.retry.host.*.v3`.
pub mod retry_host {
    pub use super::pb::envoy::extensions::retry::host::omit_canary_hosts::v3::OmitCanaryHostsPredicate;
    pub use super::pb::envoy::extensions::retry::host::omit_host_metadata::v3::OmitHostMetadataConfig;
    pub use super::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
}
/// `envoy.extensions.transport_sockets.tls.v3`.
pub mod tls {
    pub use super::pb::envoy::extensions::transport_sockets::tls::v3::*;
}
/// `envoy.extensions.transport_sockets.proxy_protocol.v3`.
pub mod upstream_proxy_protocol {
    pub use super::pb::envoy::extensions::transport_sockets::proxy_protocol::v3::*;
}

/// `envoy.extensions.transport_sockets.raw_buffer.v3`.
pub mod raw_buffer {
    pub use super::pb::envoy::extensions::transport_sockets::raw_buffer::v3::*;
}
/// `envoy.extensions.upstreams.http.v3`: the protocol options of a cluster.
pub mod upstream_http {
    pub use super::pb::envoy::extensions::upstreams::http::v3::*;
}
/// `envoy.service.discovery.v3`: requests, responses, and the aggregated discovery service.
pub mod discovery {
    pub use super::pb::envoy::service::discovery::v3::*;
}
/// `envoy.type.v3`: percentages, ranges, token buckets.
pub mod kind {
    pub use super::pb::envoy::r#type::v3::*;
}
/// `envoy.type.matcher.v3`: string, regex, metadata and path matchers.
pub mod matcher {
    pub use super::pb::envoy::r#type::matcher::v3::*;
}
/// `envoy.type.metadata.v3`: the way to a value of metadata.
pub mod metadata {
    pub use super::pb::envoy::r#type::metadata::v3::*;
}
/// `envoy.type.tracing.v3`.
pub mod tracing {
    pub use super::pb::envoy::r#type::tracing::v3::*;
}
/// `google.protobuf`: `Any`, `Struct`, `Duration` and the wrappers.
pub mod google {
    pub use super::pb::google::protobuf::*;
}
/// `google.rpc`.
pub mod rpc {
    pub use super::pb::google::rpc::*;
}
/// `xds.core.v3` and `xds.type.matcher.v3`.
pub mod xds {
    pub use super::pb::xds::core::v3 as core;
    pub use super::pb::xds::r#type::matcher::v3 as matcher;
    pub use super::pb::xds::r#type::v3 as kind;
}
