//! The vocabulary that every other crate speaks: names of resources, diagnostics, host names, labels, identities.
//!
//! Nothing here knows a wire format, a socket or a clock: time is an argument wherever it matters.

pub mod agent;
pub mod backoff;
pub mod diagnostic;
pub mod drain;
pub mod duration;
pub mod host;
pub mod labels;
pub mod locality;
pub mod nearby;
pub mod nearest;
pub mod readiness;
pub mod resource;
pub mod spiffe;

pub use agent::AgentConfig;
pub use diagnostic::{Diagnostic, Diagnostics, FieldPath, Severity, SourceSpan};
pub use host::Host;
pub use labels::{Labels, Selector};
pub use locality::Locality;
pub use resource::{Provenance, ResourceRef};
pub use spiffe::SpiffeId;
