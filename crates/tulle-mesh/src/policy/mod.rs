//! Security policy of workloads.

mod authorization;
pub mod jwks;
mod peer;
mod rate_limit;
mod request;

pub use authorization::{
    Action, AuthorizationPolicy, Condition, Operation, Rule, Source, StringSet, Target, applicable,
};
pub use peer::{MtlsMode, PeerAuthentication, PeerModes, effective_modes, in_force};
pub use rate_limit::{Limit, LimitKey, LimitMatch, Rate, RateLimit};
pub(crate) use request::for_workload;
pub use request::{Fetched, JwtRule, KeySource, RequestAuthentication};
