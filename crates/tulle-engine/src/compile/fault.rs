//! Injected faults.

use tulle_proto::envoy::{fault, fault_common, kind};

use super::context::{At, Context};
use super::matcher;
use super::value::{RUNTIME_KEY, denominator, fraction, text, texts};
use crate::runtime::fault::{AbortSource, DelaySource, Fault, FaultAbort, FaultDelay, FaultRate, Share};

pub(super) fn fault(cx: &mut Context<'_>, at: &At<'_>, message: &fault::HttpFault) -> Option<Fault> {
    let fault::HttpFault {
        delay,
        abort,
        upstream_cluster,
        headers,
        downstream_nodes,
        max_active_faults,
        response_rate_limit,
        delay_percent_runtime,
        abort_percent_runtime,
        delay_duration_runtime,
        abort_http_status_runtime,
        max_active_faults_runtime,
        response_rate_limit_percent_runtime,
        abort_grpc_status_runtime,
        disable_downstream_cluster_stats,
        filter_metadata,
    } = message;
    no_effect!(cx, at,
        delay_percent_runtime: RUNTIME_KEY,
        abort_percent_runtime: RUNTIME_KEY,
        delay_duration_runtime: RUNTIME_KEY,
        abort_http_status_runtime: RUNTIME_KEY,
        max_active_faults_runtime: RUNTIME_KEY,
        response_rate_limit_percent_runtime: RUNTIME_KEY,
        abort_grpc_status_runtime: RUNTIME_KEY,
        disable_downstream_cluster_stats: "faults are not counted by downstream cluster",
        filter_metadata: "nothing reads it",
    );
    let found = cx.problems();
    let delay = delay.as_ref().and_then(|message| self::delay(cx, &at.field("delay"), message));
    let abort = abort.as_ref().and_then(|message| self::abort(cx, &at.field("abort"), message));
    let response_rate =
        response_rate_limit.as_ref().and_then(|message| rate(cx, &at.field("response_rate_limit"), message));
    let headers = matcher::headers(cx, &at.field("headers"), headers);
    (cx.problems() == found).then(|| Fault {
        delay,
        abort,
        upstream_cluster: text(upstream_cluster),
        headers,
        downstream_nodes: texts(downstream_nodes),
        max_active: max_active_faults.as_ref().map(|v| v.value),
        response_rate,
    })
}

fn share(cx: &mut Context<'_>, at: &At<'_>, percentage: Option<&kind::FractionalPercent>) -> Share {
    let at = at.field("percentage");
    percentage.map_or(Share::NONE, |message| Share {
        fraction: fraction(cx, &at, message),
        of: denominator(cx, &at, message),
    })
}

fn delay(cx: &mut Context<'_>, at: &At<'_>, message: &fault_common::FaultDelay) -> Option<FaultDelay> {
    use fault_common::fault_delay::{FaultDelaySecifier, HeaderDelay};
    let fault_common::FaultDelay { percentage, fault_delay_secifier } = message;
    let share = share(cx, at, percentage.as_ref());
    let duration = match fault_delay_secifier {
        Some(FaultDelaySecifier::FixedDelay(delay)) => {
            DelaySource::Fixed(cx.positive(&at.field("fixed_delay"), Some(delay))?)
        }
        Some(FaultDelaySecifier::HeaderDelay(HeaderDelay {})) => DelaySource::Header,
        None => {
            cx.refuse(at, "needs fixed_delay or header_delay");
            return None;
        }
    };
    Some(FaultDelay { share, duration })
}

fn abort(cx: &mut Context<'_>, at: &At<'_>, message: &fault::FaultAbort) -> Option<FaultAbort> {
    use fault::fault_abort::{ErrorType, HeaderAbort};
    let fault::FaultAbort { percentage, response_body, error_type } = message;
    let share = share(cx, at, percentage.as_ref());
    let status = match error_type {
        Some(ErrorType::HttpStatus(status)) => {
            let status = cx.between(&at.field("http_status"), *status, 200, 599)?;
            AbortSource::Http(u16::try_from(status).unwrap_or(503))
        }
        Some(ErrorType::GrpcStatus(status)) => AbortSource::Grpc(*status),
        Some(ErrorType::HeaderAbort(HeaderAbort {})) => AbortSource::Header,
        None => {
            cx.refuse(at, "needs http_status, grpc_status or header_abort");
            return None;
        }
    };
    let body = if response_body.is_empty() { "fault filter abort" } else { response_body };
    Some(FaultAbort { share, status, body: text(body) })
}

fn rate(cx: &mut Context<'_>, at: &At<'_>, message: &fault_common::FaultRateLimit) -> Option<FaultRate> {
    use fault_common::fault_rate_limit::{FixedLimit, HeaderLimit, LimitType};
    let fault_common::FaultRateLimit { percentage, limit_type } = message;
    let share = share(cx, at, percentage.as_ref());
    let kbps = match limit_type {
        Some(LimitType::FixedLimit(FixedLimit { limit_kbps: 0 })) => {
            cx.refuse(&at.field("fixed_limit").field("limit_kbps"), "must be above zero");
            return None;
        }
        Some(LimitType::FixedLimit(FixedLimit { limit_kbps })) => Some(*limit_kbps),
        Some(LimitType::HeaderLimit(HeaderLimit {})) => None,
        None => {
            cx.refuse(at, "needs fixed_limit or header_limit");
            return None;
        }
    };
    Some(FaultRate { share, kbps })
}
