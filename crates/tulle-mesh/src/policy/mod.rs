//! Security policy of workloads.

mod authorization;
mod peer;
mod rate_limit;

pub use authorization::{
    Action, AuthorizationPolicy, Condition, Operation, Rule, Source, StringSet, Target, applicable,
};
pub use peer::{MtlsMode, PeerAuthentication, PeerModes, effective_modes, in_force};
pub use rate_limit::{Limit, LimitKey, LimitMatch, Rate, RateLimit};
