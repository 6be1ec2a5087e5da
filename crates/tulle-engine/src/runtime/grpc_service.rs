//! Where a gRPC service is that filters ask.

use std::sync::Arc;
use std::time::Duration;

use super::matcher::HeaderName;

/// A gRPC service behind a cluster (`GrpcService` with `envoy_grpc`).
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcService {
    /// The cluster.
    pub cluster: Arc<str>,
    /// `:authority` of the calls. Default the cluster's name.
    pub authority: Arc<str>,
    /// Fields sent with each call.
    pub metadata: Vec<(HeaderName, Arc<str>)>,
    /// How long a call may take; `None` for no limit.
    pub timeout: Option<Duration>,
}
