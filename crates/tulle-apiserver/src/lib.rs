//! The Kubernetes-shaped resource API over a [`tulle_store::Store`]: what kubectl and client libraries talk to where there is
//! no Kubernetes.

pub mod apply;
pub mod openapi;
pub mod patch;
pub mod table;
