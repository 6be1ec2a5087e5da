//! `PeerAuthentication` (`security.istio.io`): which mutual TLS a workload accepts.

use std::collections::BTreeMap;

use super::common::WorkloadSelector;
use crate::schema::{enumeration, record};

record! {
    /// Which mutual TLS workloads accept.
    pub struct PeerAuthentication {
        /// Workloads; the whole namespace by default, the whole mesh in the root namespace.
        pub selector: Option<WorkloadSelector> = "selector",
        /// The mode; unset inherits.
        pub mtls: Option<MutualTls> = "mtls",
        /// The mode by workload port; needs a selector.
        pub port_level_mtls: BTreeMap<u32, MutualTls> = "portLevelMtls" => not_empty,
    }
}

record! {
    /// A mode of mutual TLS.
    pub struct MutualTls {
        /// The mode; unset inherits.
        pub mode: Option<MutualTlsMode> = "mode",
    }
}

enumeration! {
    /// What connections a workload accepts.
    pub enum MutualTlsMode {
        /// As the level above says; PERMISSIVE at the top.
        Unset = "UNSET",
        /// Plain text only.
        Disable = "DISABLE",
        /// Both.
        Permissive = "PERMISSIVE",
        /// Mutual TLS only.
        Strict = "STRICT",
    }
}
