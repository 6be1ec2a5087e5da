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
