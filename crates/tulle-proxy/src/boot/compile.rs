//! From the bytes of a resource to its compiled form.

use std::fmt;
use std::sync::Arc;

use tulle_engine::compile;
use tulle_engine::runtime::{Cluster, EndpointSet, Listener, RouteTable};
use tulle_proto::{Message, envoy};

/// All that is wrong with a resource: field and problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) Vec<(String, String)>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (field, problem)) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            if field.is_empty() { f.write_str(problem)? } else { write!(f, "{field}: {problem}")? }
        }
        Ok(())
    }
}

/// Compiles one resource of each type.
pub(crate) trait Compile {
    /// CDS.
    fn cluster(&self, bytes: &[u8]) -> Result<Arc<Cluster>, Problem>;
    /// EDS.
    fn endpoints(&self, bytes: &[u8]) -> Result<Arc<EndpointSet>, Problem>;
    /// LDS.
    fn listener(&self, bytes: &[u8]) -> Result<Arc<Listener>, Problem>;
    /// RDS.
    fn routes(&self, bytes: &[u8]) -> Result<Arc<RouteTable>, Problem>;
}

/// The engine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Engine;

impl Compile for Engine {
    fn cluster(&self, bytes: &[u8]) -> Result<Arc<Cluster>, Problem> {
        run(bytes, |m: envoy::cluster::Cluster| compile::cluster(&m, &compile::NoFiles))
    }

    fn endpoints(&self, bytes: &[u8]) -> Result<Arc<EndpointSet>, Problem> {
        run(bytes, |m: envoy::endpoint::ClusterLoadAssignment| compile::endpoints(&m))
    }

    fn listener(&self, bytes: &[u8]) -> Result<Arc<Listener>, Problem> {
        run(bytes, |m: envoy::listener::Listener| compile::listener(&m, &compile::NoFiles))
    }

    fn routes(&self, bytes: &[u8]) -> Result<Arc<RouteTable>, Problem> {
        run(bytes, |m: envoy::route::RouteConfiguration| compile::routes(&m, &compile::NoFiles))
    }
}

fn run<M: Message, T>(
    bytes: &[u8],
    compile: impl FnOnce(M) -> Result<(Arc<T>, tulle_base::Diagnostics), compile::CompileError>,
) -> Result<Arc<T>, Problem> {
    let message = M::from_wire(bytes)
        .map_err(|e| Problem(vec![(String::new(), format!("the message does not decode: {e}"))]))?;
    let (compiled, notes) = compile(message).map_err(|e| Problem::from(&e))?;
    for note in &notes {
        tracing::debug!(field = %note.field, "{}", note.message);
    }
    Ok(compiled)
}

impl From<&compile::CompileError> for Problem {
    fn from(error: &compile::CompileError) -> Self {
        Self(error.problems.iter().map(|(field, problem)| (field.to_string(), problem.clone())).collect())
    }
}
