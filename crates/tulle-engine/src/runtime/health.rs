//! Active health checks (`envoy.config.core.v3.HealthCheck`).

use std::sync::Arc;
use std::time::Duration;

use super::headers::HeaderOps;

/// How endpoints are asked whether they are well.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// How long an answer may take.
    pub timeout: Duration,
    /// The times between two checks of one endpoint.
    pub intervals: Intervals,
    /// Failures in a row after which an endpoint is unhealthy. At least 1.
    pub unhealthy_threshold: u32,
    /// Successes in a row after which it is healthy again. At least 1; the first check of all decides alone.
    pub healthy_threshold: u32,
    /// Whether one connection serves many checks. Default true.
    pub reuse_connection: bool,
    /// What is asked.
    pub kind: HealthCheckKind,
}

/// The times between two checks of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    /// While it is healthy.
    pub healthy: Duration,
    /// While it is unhealthy. Default as `healthy`.
    pub unhealthy: Duration,
    /// After a success that was not enough. Default as `healthy`.
    pub healthy_edge: Duration,
    /// After a failure that was not enough. Default as `unhealthy`.
    pub unhealthy_edge: Duration,
    /// While the cluster has had no request. Default 60 s.
    pub no_traffic: Duration,
    /// The same for a healthy endpoint. Default as `no_traffic`.
    pub no_traffic_healthy: Duration,
    /// Longest random wait before the first check.
    pub initial_jitter: Duration,
    /// Random part added to each wait.
    pub jitter: Duration,
    /// The same as a part of the wait, in percent.
    pub jitter_percent: u32,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum HealthCheckKind {
    /// Whether it answers an HTTP request as expected.
    Http(HttpCheck),
    /// Whether it takes a connection, and answers what is sent on it.
    Tcp(TcpCheck),
    /// Whether `grpc.health.v1.Health/Check` says `SERVING`.
    Grpc(GrpcCheck),
}

/// A check by HTTP.
#[derive(Clone, Debug)]
pub struct HttpCheck {
    /// Host header; the cluster's name if empty.
    pub host: Arc<str>,
    /// Path.
    pub path: Arc<str>,
    /// Method. Default GET.
    pub method: Arc<str>,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// Statuses of a healthy endpoint, as half-open ranges. Default 200 alone.
    pub expected: Vec<(u16, u16)>,
    /// Statuses that count against the threshold; all others make it unhealthy at once.
    pub retriable: Vec<(u16, u16)>,
    /// Changes of the request's headers.
    pub headers: HeaderOps,
}

/// A check by TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpCheck {
    /// What is sent; empty for nothing: a connection is enough.
    pub send: Vec<u8>,
    /// What must come back, in this order, with anything between.
    pub receive: Vec<Vec<u8>>,
}

/// A check by gRPC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcCheck {
    /// The service that is asked about; empty for the server.
    pub service: Arc<str>,
    /// Authority; the cluster's name if empty.
    pub authority: Arc<str>,
}
