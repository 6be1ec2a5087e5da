//! The golden signals of some edges together.

use serde::Serialize;

use crate::graph::{Edge, EdgeKey};

/// Rates of requests, failures and durations. Connections of TCP are counted apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Golden {
    /// Requests that ended in the window.
    pub requests: f64,
    /// Requests a second.
    pub rate: f64,
    /// Those that failed.
    pub errors: f64,
    /// Those that were refused with a status from 400 to 499.
    pub refused: f64,
    /// Share of those that failed; 0 without requests.
    pub error_rate: f64,
    /// Share of the others; `None` without requests.
    pub success_rate: Option<f64>,
    /// Median duration in milliseconds.
    pub p50: Option<f64>,
    /// 95 % are faster.
    pub p95: Option<f64>,
    /// 99 % are faster.
    pub p99: Option<f64>,
    /// Share that came by mutual TLS among those of which it is known.
    pub mtls: Option<f64>,
    /// Connections of TCP opened a second.
    pub tcp_connections: f64,
    /// Bytes a second of TCP to clients.
    pub bytes_sent: f64,
    /// Bytes a second of TCP from clients.
    pub bytes_received: f64,
}

impl Golden {
    /// Those of `edges` together.
    pub fn of<'a>(edges: impl IntoIterator<Item = (&'a EdgeKey, &'a Edge)>) -> Self {
        let mut sum = Edge::default();
        let mut out = Self::default();
        for (key, edge) in edges {
            sum.mtls += edge.mtls;
            sum.plain += edge.plain;
            out.bytes_sent += edge.sent;
            out.bytes_received += edge.received;
            if key.protocol == "tcp" {
                out.tcp_connections += edge.rate;
                continue;
            }
            sum.count += edge.count;
            sum.rate += edge.rate;
            sum.errors += edge.errors;
            sum.refused += edge.refused;
            for (bound, count) in &edge.buckets {
                *sum.buckets.entry(*bound).or_default() += count;
            }
        }
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|q| sum.quantile(q));
        Self {
            requests: sum.count,
            rate: sum.rate,
            errors: sum.errors,
            refused: sum.refused,
            error_rate: sum.error_rate(),
            success_rate: (sum.rate > 0.0).then(|| 1.0 - sum.error_rate()),
            p50,
            p95,
            p99,
            mtls: sum.mtls_share(),
            ..out
        }
    }

    /// Those of the requests that a rule sent on.
    pub fn of_rule(calls: &Edge) -> Self {
        let [source, target, service, protocol] = std::array::from_fn(|_| String::new());
        Self::of([(&EdgeKey { source, target, service, protocol }, calls)])
    }

    /// Whether anything came at all.
    pub fn is_idle(&self) -> bool {
        self.rate <= 0.0 && self.tcp_connections <= 0.0 && self.bytes_sent + self.bytes_received <= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(protocol: &str) -> EdgeKey {
        EdgeKey {
            source: "a/x".into(),
            target: "a/y".into(),
            service: "service:a/y".into(),
            protocol: protocol.into(),
        }
    }

    #[test]
    fn connections_are_no_requests() {
        let http = Edge { rate: 8.0, errors: 2.0, mtls: 3.0, plain: 1.0, ..Edge::default() };
        let tcp = Edge { rate: 5.0, sent: 10.0, ..Edge::default() };
        let golden = Golden::of([(&key("http"), &http), (&key("grpc"), &http), (&key("tcp"), &tcp)]);
        assert_eq!((golden.rate, golden.error_rate, golden.success_rate), (16.0, 0.25, Some(0.75)));
        assert_eq!((golden.tcp_connections, golden.bytes_sent, golden.mtls), (5.0, 10.0, Some(0.75)));
        assert!(!golden.is_idle() && Golden::of([]).is_idle());
        assert_eq!(Golden::of([]).success_rate, None);
    }
}
