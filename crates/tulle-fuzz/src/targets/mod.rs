//! One parser each.

pub(super) mod access_log;
pub(super) mod api_requests;
pub(super) mod dns;
pub(super) mod documents;
pub(super) mod durations;
pub(super) mod first_bytes;
pub(super) mod hosts;
pub(super) mod hpack;
pub(super) mod http1;
pub(super) mod http1_grammar;
pub(super) mod http2;
pub(super) mod identity_requests;
pub(super) mod jwt;
pub(super) mod manifests;
pub(super) mod patches;
pub(super) mod proto_json;
pub(super) mod queries;
pub(super) mod store_messages;
pub(super) mod telemetry_files;
pub(super) mod translation;
pub(super) mod xds;
pub(super) mod xds_any;
