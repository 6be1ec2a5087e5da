//! `XBackendTrafficPolicy`: retries and sessions of a destination. On trial in the Gateway API.

use super::common::{LocalObjectReference, SessionPersistence};
use crate::schema::record;
use crate::value::WrittenDuration;

record! {
    /// Retries and sessions of destinations.
    pub struct XBackendTrafficPolicySpec {
        /// The destinations.
        pub target_refs: Vec<LocalObjectReference> = "targetRefs" => keyed(&["group", "kind", "name"]) => required,
        /// Limits retries.
        pub retry_constraint: Option<XRetryConstraint> = "retryConstraint",
        /// Sends the requests of a session to the same place.
        pub session_persistence: Option<SessionPersistence> = "sessionPersistence",
    }
}

record! {
    /// Limits retries.
    pub struct XRetryConstraint {
        /// Share of all requests that may be retries.
        pub budget: Option<XRetryBudget> = "budget",
        /// Retries that are always allowed.
        pub min_retry_rate: Option<XRequestRate> = "minRetryRate",
    }
}

record! {
    /// A share of requests.
    pub struct XRetryBudget {
        /// The share, 0 to 100; 20 by default.
        pub percent: Option<i32> = "percent",
        /// Time over which requests are counted; 10s by default.
        pub interval: Option<WrittenDuration> = "interval",
    }
}

record! {
    /// A rate.
    pub struct XRequestRate {
        /// Requests, 1 to 1000000.
        pub count: Option<i32> = "count",
        /// Time in which they may come, at most 1h.
        pub interval: Option<WrittenDuration> = "interval",
    }
}
