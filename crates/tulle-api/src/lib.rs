//! Istio, Gateway API and Kubernetes resource types with line-exact parsing and validation.
//!
//! From a file to objects: [`parse_manifests`]. One listing per type (see `schema`) makes the struct, its reader, its
//! writer and the table from which schemas and the field ledger come. The types mirror the documents and do nothing.

pub mod crd;
mod document;
mod fragment;
pub mod gateway_api;
pub mod istio;
pub mod kind;
pub mod kubernetes;
pub mod manifest;
pub mod mesh;
pub mod meta;
pub mod node;
pub mod object;
mod places;
pub mod policy;
pub mod schema;
pub mod status;
mod unsupported;
mod validate;
pub mod value;
mod yaml;

pub use document::parse_document;
pub use fragment::{CODE as FRAGMENT_CODE, is_fragment};
pub use kind::{Kind, Resource, Spec};
pub use manifest::{decode_object, parse_manifests, read_object};
pub use meta::{ObjectMeta, OwnerReference, parse_bool};
pub use object::Object;
pub use places::refine_places;
pub use validate::validate;
pub use yaml::to_yaml;
