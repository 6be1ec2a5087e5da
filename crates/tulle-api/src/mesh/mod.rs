//! Settings of the whole mesh: Istio's `MeshConfig` and `MeshNetworks`, the content of the ConfigMap `istio`, and the
//! `IstioOperator` that carries them in an installation.
//!
//! The types mirror the documents (istio.io/latest/docs/reference/config/istio.mesh.v1alpha1) and do nothing.

mod config_map;
mod extension_provider;
mod mesh_config;
mod networks;
mod operator;
mod proxy;
mod proxy_headers;
mod tracing;
mod visibility;

pub use config_map::{PROXY_ANNOTATION, Settings, read_config_map, read_proxy_annotation};
pub(crate) use config_map::{holds_settings, unfold};
pub use extension_provider::*;
pub use mesh_config::*;
pub use networks::*;
pub use operator::*;
pub use proxy::*;
pub use proxy_headers::*;
pub use tracing::*;
pub use visibility::*;
