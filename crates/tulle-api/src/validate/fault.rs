//! Rules about faults to inject.

use super::common::{self, duration, percent};
use super::rules::Rules;
use crate::istio::{FaultAbort, FaultAbortType, FaultDelay, FaultDelayType, HttpFaultInjection};
use crate::schema::At;

/// Names of gRPC status codes.
const GRPC_STATUS: [&str; 17] = [
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

/// Checks faults to inject.
pub(super) fn fault(given: &HttpFaultInjection, at: &At<'_>, rules: &mut Rules) {
    let HttpFaultInjection { delay, abort } = given;
    if delay.is_none() && abort.is_none() {
        rules.error(at, "injects nothing", "give delay or abort");
    }
    if let Some(FaultDelay { percent: old, percentage, http_delay_type }) = delay {
        let here = at.field("delay");
        common::whole_percent(*old, &here.field("percent"), rules);
        percent(percentage.as_ref(), &here.field("percentage"), rules);
        match http_delay_type {
            Some(FaultDelayType::FixedDelay(time)) => duration(Some(time), &here.field("fixedDelay"), rules),
            Some(FaultDelayType::ExponentialDelay(_)) => {
                rules.error(
                    &here.field("exponentialDelay"),
                    "is not supported, here or in Istio",
                    "use fixedDelay",
                );
            }
            None => rules.warn(&here, "delays nothing", "give fixedDelay"),
        }
    }
    if let Some(FaultAbort { percentage, error_type }) = abort {
        let here = at.field("abort");
        percent(percentage.as_ref(), &here.field("percentage"), rules);
        match error_type {
            Some(FaultAbortType::HttpStatus(code)) if !(200..=599).contains(code) => {
                rules.error(
                    &here.field("httpStatus"),
                    format!("must be between 200 and 599 but is {code}"),
                    "",
                );
            }
            Some(FaultAbortType::GrpcStatus(name)) if !GRPC_STATUS.contains(&name.as_str()) => {
                let message = format!("{name:?} is not the name of a gRPC status");
                rules.error(&here.field("grpcStatus"), message, "write a name such as UNAVAILABLE");
            }
            Some(FaultAbortType::Http2Error(_)) => {
                rules.error(
                    &here.field("http2Error"),
                    "is not supported, here or in Istio",
                    "use httpStatus",
                );
            }
            Some(_) => {}
            None => rules.warn(&here, "aborts nothing", "give httpStatus or grpcStatus"),
        }
    }
}
