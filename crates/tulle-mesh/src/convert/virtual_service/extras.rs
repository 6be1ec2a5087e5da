//! Faults and cross-origin policy of HTTP rules.

use tulle_api::istio as api;

use super::{api_duration, header_match};
use crate::convert::cx::Cx;
use crate::routing::{Cors, Delay, Fault, FaultAbort, FaultStatus, StringMatch};

pub(super) fn fault_of(cx: &mut Cx<'_>, rule: &str, f: &api::HttpFaultInjection) -> Option<Fault> {
    let api::HttpFaultInjection { delay, abort } = f;
    let delay = delay.as_ref().and_then(|api::FaultDelay { percent, percentage, http_delay_type }| {
        let percent = match percentage {
            Some(p) => p.value.unwrap_or(0.0),
            None => f64::from(percent.unwrap_or(0)),
        };
        match http_delay_type {
            Some(api::FaultDelayType::FixedDelay(d)) => Some(Delay { fixed: d.get(), percent }),
            // Said by the reader already: it has no effect.
            Some(api::FaultDelayType::ExponentialDelay(_)) | None => None,
        }
    });
    let abort = abort.as_ref().and_then(|api::FaultAbort { percentage, error_type }| {
        let status = match error_type {
            Some(api::FaultAbortType::HttpStatus(s)) => FaultStatus::Http(u16::try_from(*s).ok()?),
            Some(api::FaultAbortType::GrpcStatus(name)) => match grpc_status(name) {
                Some(code) => FaultStatus::Grpc(code),
                None => {
                    let path = format!("spec.{rule}.fault.abort.grpcStatus");
                    cx.warn(
                        &path,
                        format!("{name:?} is not a gRPC status"),
                        "write a name such as UNAVAILABLE",
                    );
                    return None;
                }
            },
            Some(api::FaultAbortType::Http2Error(_)) | None => return None,
        };
        Some(FaultAbort { status, percent: percentage.as_ref().map(|p| p.value.unwrap_or(0.0)) })
    });
    (delay.is_some() || abort.is_some()).then_some(Fault { delay, abort, expires: None })
}

/// The number of a gRPC status (grpc/doc/statuscodes.md).
fn grpc_status(name: &str) -> Option<u32> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let index = NAMES.iter().position(|n| *n == name)?;
    u32::try_from(index).ok()
}

pub(super) fn cors(c: &api::CorsPolicy) -> Cors {
    let api::CorsPolicy {
        allow_origin,
        allow_origins,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        unmatched_preflights,
    } = c;
    let origins = if allow_origins.is_empty() {
        allow_origin.iter().map(|o| StringMatch::Exact(o.clone())).collect()
    } else {
        allow_origins.iter().map(header_match).collect()
    };
    Cors {
        allow_origins: origins,
        allow_methods: allow_methods.clone(),
        allow_headers: allow_headers.clone(),
        expose_headers: expose_headers.clone(),
        max_age: max_age.as_ref().map(api_duration),
        allow_credentials: *allow_credentials,
        forward_unmatched_preflights: *unmatched_preflights != Some(api::UnmatchedPreflights::Ignore),
    }
}
