//! What several analyzers need to know: predicates on conditions, hosts, pods, calls and policies.
//!
//! Each room answers one kind of question over the whole configuration and builds its index once per analysis.

pub mod age;
pub mod annotations;
pub mod calls;
pub mod client_tls;
pub mod earlier;
pub mod entries;
pub mod fronts;
pub mod hosts;
pub mod matches;
pub mod patches;
pub mod pods;
pub mod policies;
pub mod resilience;
pub mod routes;
pub mod splits;
pub mod test_namespaces;
pub mod text;
pub mod written;
