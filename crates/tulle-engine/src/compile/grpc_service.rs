//! gRPC services that filters ask.

use std::time::Duration;

use tulle_proto::envoy::core;

use super::context::{At, Context, UNSUPPORTED};
use super::matcher::header_name;
use super::value::text;
use crate::runtime::grpc_service::GrpcService;

/// A service behind a cluster. `timeout` is the caller's own, which wins over that of the message.
pub(super) fn grpc_service(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::GrpcService>,
    own_timeout: Option<Option<Duration>>,
) -> Option<GrpcService> {
    use core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    let core::GrpcService { timeout, initial_metadata, retry_policy, target_specifier } =
        cx.required(at, message)?;
    refuse!(cx, at, retry_policy: UNSUPPORTED);
    let target = match target_specifier {
        Some(TargetSpecifier::EnvoyGrpc(target)) => target,
        Some(TargetSpecifier::GoogleGrpc(_)) => {
            cx.refuse(&at.field("google_grpc"), "is not supported: use envoy_grpc");
            return None;
        }
        None => {
            cx.refuse(at, "needs envoy_grpc");
            return None;
        }
    };
    let list_at = at.field("initial_metadata");
    let mut metadata = Vec::with_capacity(initial_metadata.len());
    for (i, core::HeaderValue { key, value, raw_value }) in initial_metadata.iter().enumerate() {
        let at = list_at.index(i);
        refuse!(cx, at, raw_value: UNSUPPORTED);
        if value.contains('%') {
            cx.refuse(&at.field("value"), "variables are not supported here");
        }
        metadata.push((header_name(cx, &at.field("key"), key)?, text(value)));
    }
    let timeout = own_timeout.unwrap_or_else(|| cx.limit(&at.field("timeout"), timeout.as_ref(), None));
    let at = at.field("envoy_grpc");
    let EnvoyGrpc { cluster_name, authority, retry_policy, max_receive_message_length, skip_envoy_headers } =
        target;
    refuse!(cx, at, retry_policy: UNSUPPORTED);
    no_effect!(cx, at,
        max_receive_message_length: "answers to filters are limited to 1 MiB",
        skip_envoy_headers: "no such headers are sent",
    );
    if cluster_name.is_empty() {
        cx.refuse(&at.field("cluster_name"), "must not be empty");
        return None;
    }
    let authority = text(if authority.is_empty() { cluster_name } else { authority });
    Some(GrpcService { cluster: text(cluster_name), authority, metadata, timeout })
}
