//! From what travels to what runs: one function per Envoy message.
//!
//! Each message is taken apart without `..`: a field is applied, or refused by its path, or noted as without effect with
//! the reason. All problems of a resource are found at once; a resource with problems is refused as a whole, and the
//! last good version stays in force.

#![allow(
    deprecated,
    reason = "older control planes write deprecated fields; they are read, noted or refused by name"
)]

#[macro_use]
mod context;

mod access_log;
mod action;
mod bootstrap;
mod cluster;
mod compression;
mod cors;
mod destination;
mod digest;
mod endpoint;
mod error_matcher;
mod ext_authz;
mod fault;
mod filter_chain;
mod forward_proxy;
mod global_rate_limit;
mod grpc_service;
mod header_mutation;
mod headers;
mod health;
mod http_filter;
mod http_manager;
mod http_options;
mod jwt;
mod lb;
mod listener;
mod local_rate_limit;
mod log_service;
mod matcher;
mod net;
mod outlier;
mod overrides;
mod proxy_protocol;
mod rate_limit;
mod rbac;
mod redirect;
mod retry;
mod route;
mod route_table;
mod runtime;
mod session;
mod small_filters;
mod tcp_proxy;
mod template;
mod tls;
mod tracing;
mod upstream;
mod value;

use std::sync::Arc;

use tulle_base::{Diagnostics, FieldPath};
use tulle_proto::envoy;

use self::context::{At, Context};
use crate::runtime::{Bootstrap, Cluster, EndpointSet, Listener, RouteTable, tls::Secret};

/// Why a resource is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// The resource's name.
    pub resource: String,
    /// Every problem: the field's path (Envoy's names) and a sentence.
    pub problems: Vec<(FieldPath, String)>,
}

impl std::fmt::Display for CompileError {
    /// All problems in one line, as an xDS NACK carries them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.resource)?;
        for (index, (path, message)) in self.problems.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            if path.as_str().is_empty() {
                write!(f, "{separator}{message}")?;
            } else {
                write!(f, "{separator}{path}: {message}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}

/// A compiled resource and what was noted on the way (fields without effect), or why it is refused.
pub type Compiled<T> = Result<(Arc<T>, Diagnostics), CompileError>;

/// Reads files that a configuration names (`DataSource.filename`), certificates excepted: those stay paths.
pub trait Files {
    /// The bytes of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>>;
}

/// No file may be read: every file name is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> std::io::Result<Vec<u8>> {
        Err(std::io::Error::other("files cannot be read here"))
    }
}

fn run<T>(
    resource: &str,
    files: &dyn Files,
    build: impl FnOnce(&mut Context<'_>, &At<'_>) -> Option<T>,
) -> Compiled<T> {
    let mut cx = Context::new(files);
    let built = build(&mut cx, &At::ROOT);
    let (problems, notes) = cx.finish();
    match built {
        Some(built) if problems.is_empty() => Ok((Arc::new(built), notes)),
        _ => Err(CompileError { resource: resource.to_owned(), problems }),
    }
}

/// Compiles a listener, with its filter chains and everything inline in them.
///
/// # Errors
/// [`CompileError`] with every problem.
pub fn listener(message: &envoy::listener::Listener, files: &dyn Files) -> Compiled<Listener> {
    run(&message.name, files, |cx, at| listener::listener(cx, at, message))
}

/// Compiles a cluster.
///
/// # Errors
/// [`CompileError`] with every problem.
pub fn cluster(message: &envoy::cluster::Cluster, files: &dyn Files) -> Compiled<Cluster> {
    run(&message.name, files, |cx, at| cluster::cluster(cx, at, message))
}

/// Compiles the endpoints of a cluster.
///
/// # Errors
/// [`CompileError`] with every problem.
pub fn endpoints(message: &envoy::endpoint::ClusterLoadAssignment) -> Compiled<EndpointSet> {
    run(&message.cluster_name, &NoFiles, |cx, at| {
        endpoint::endpoint_set(cx, at, message, endpoint::Names::Refused)
    })
}

/// Compiles a route table.
///
/// # Errors
/// [`CompileError`] with every problem.
pub fn routes(message: &envoy::route::RouteConfiguration, files: &dyn Files) -> Compiled<RouteTable> {
    run(&message.name, files, |cx, at| route_table::route_table(cx, at, message))
}

/// Compiles a secret.
///
/// # Errors
/// [`CompileError`] with every problem; none of them shows what is secret.
pub fn secret(message: &envoy::tls::Secret) -> Compiled<Secret> {
    run(&message.name, &NoFiles, |cx, at| tls::secret(cx, at, message).map(|(_, secret)| secret))
}

/// Compiles a bootstrap, with its static resources.
///
/// # Errors
/// [`CompileError`] with every problem of it and of each static resource.
pub fn bootstrap(message: &envoy::bootstrap::Bootstrap, files: &dyn Files) -> Compiled<Bootstrap> {
    run("bootstrap", files, |cx, at| bootstrap::bootstrap(cx, at, message))
}
