//! `ProxyConfig` (`networking.istio.io`): how the proxies of some workloads are run.

use std::collections::BTreeMap;

use super::common::WorkloadSelector;
use crate::schema::record;

record! {
    /// How the proxies of some workloads are run.
    pub struct ProxyConfig {
        /// Workloads; the whole namespace by default, the whole mesh in the root namespace.
        pub selector: Option<WorkloadSelector> = "selector",
        /// Worker threads; 0 for one per core, by the processor limit when unset.
        pub concurrency: Option<i32> = "concurrency",
        /// Additional environment of the proxy.
        pub environment_variables: BTreeMap<String, String> = "environmentVariables",
        /// The proxy's image.
        pub image: Option<ProxyImage> = "image"
            => no_effect("the proxy is this program, no images are pulled"),
    }
}

record! {
    /// The proxy's image.
    pub struct ProxyImage {
        /// default, debug or distroless.
        pub image_type: String = "imageType",
    }
}
