//! Security policy of workloads.

mod authorization;
mod peer;

pub use authorization::{
    Action, AuthorizationPolicy, Condition, Operation, Rule, Source, StringSet, Target, applicable,
};
pub use peer::{MtlsMode, PeerAuthentication, PeerModes, effective_modes, in_force};
