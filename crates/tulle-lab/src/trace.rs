//! The headers that a well-behaved service passes on, so that traces join and user-based routes hold over hops.

use http::{HeaderMap, HeaderName};

/// Names in lower case: request id, W3C trace context and baggage, B3 in both forms, and what user-based routing reads.
const FORWARDED: &[&str] = &[
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "sw8",
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
];

/// The headers of `incoming` that belong on every request made on its behalf.
pub(crate) fn forwarded(incoming: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    for name in FORWARDED {
        for value in incoming.get_all(*name) {
            out.append(HeaderName::from_static(name), value.clone());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_on_trace_headers_and_nothing_else() {
        let mut incoming = HeaderMap::new();
        incoming.insert("traceparent", "00-1-2-01".parse().unwrap());
        incoming.insert("end-user", "jason".parse().unwrap());
        incoming.insert("x-internal", "no".parse().unwrap());
        let out = forwarded(&incoming);
        assert_eq!(out.len(), 2);
        assert_eq!(out["end-user"], "jason");
    }
}
