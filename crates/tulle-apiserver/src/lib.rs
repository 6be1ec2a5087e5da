//! The Kubernetes-shaped resource API over a [`tulle_store::Store`]: what kubectl and client libraries talk to where there is
//! no Kubernetes.
//!
//! [`Server`] serves every kind of the table in `tulle-api` over HTTP/1.1 and HTTP/2: discovery, get, list, watch, create,
//! update, patch and delete, with Kubernetes' semantics for versions, selectors, paging, conflicts and errors.

mod access;
pub mod apply;
mod call;
mod client;
mod decode;
mod delete;
mod discovery;
mod error;
mod hub;
mod kubeconfig;
mod managed;
mod messages;
mod negotiate;
pub mod openapi;
mod page;
pub mod patch;
mod patching;
mod path;
mod query;
mod read;
mod render;
mod respond;
mod reviews;
mod selector;
mod server;
mod subresource;
pub mod table;
mod tls;
mod watch;
mod write;

pub use access::{Identity, Role, Token, secret_in, write_private};
pub use call::{Limits, Machine, NoMachine};
pub use client::{Client, ClientError, Reply};
pub use error::{ApiError, Reason};
pub use kubeconfig::kubeconfig;
pub use server::{Options, Server};
pub use tls::{ServerTls, TlsError, server_tls};

/// Reads `path`, `query` and `body` as far as that goes without a store: path and parameters of a request, label and field
/// selectors, and an object as JSON and as YAML. For fuzzers; none of these parts is an interface of its own.
#[doc(hidden)]
pub fn read_request(path: &str, query: &str, body: &[u8]) {
    let _ = path::target(path);
    let kind = tulle_api::Kind::Pod;
    if let Ok(parameters) = query::Query::parse(query) {
        let _ = (parameters.flag("watch"), parameters.number("limit"), parameters.seconds("timeoutSeconds"));
        let _ = (parameters.dry_run(), parameters.field_validation(), parameters.manager("fuzzer/1"));
        let labels = selector::LabelSelector::parse(parameters.text("labelSelector"));
        let fields = selector::FieldSelector::parse(parameters.text("fieldSelector"), kind);
        let objects = tulle_api::parse_manifests("body", body).0;
        for object in &objects {
            let _ = labels.as_ref().is_ok_and(|s| s.matches(&object.meta.labels));
            let _ = fields.as_ref().is_ok_and(|s| s.matches(object));
        }
    }
    let _ = (decode::json(body), decode::yaml(body));
}
