//! Tables that clients print: which columns a kind has, and what an object shows in them.
//!
//! The Kubernetes kinds show what they show on a cluster; the mesh's kinds have the columns of their definitions.

mod age;
mod cluster;
mod custom;
mod pods;
mod read;
mod services;
mod workloads;

use serde_json::{Value, json};
use tulle_api::crd;
use tulle_api::kind::KindInfo;

pub use age::{age, span};

/// A column of a table (`metav1.TableColumnDefinition`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its title.
    pub name: &'static str,
    /// Type of its cells: `string`, `integer`, `boolean` or `date`.
    pub column_type: &'static str,
    /// Format of its cells: `name` for the name of the object.
    pub format: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// 0 to show it always, 1 to show it in wide tables only.
    pub priority: u8,
}

impl Column {
    /// As a table has it.
    pub fn to_json(&self) -> Value {
        json!({"name": self.name, "type": self.column_type, "format": self.format,
            "description": self.description, "priority": self.priority})
    }
}

const NAME: Column = Column {
    name: "Name",
    column_type: "string",
    format: "name",
    description: "Name of the object.",
    priority: 0,
};
const AGE: Column = text("Age", "Time since the object was made.");

const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, column_type: "string", format: "", description, priority: 0 }
}

const fn number(name: &'static str, description: &'static str) -> Column {
    Column { name, column_type: "integer", format: "", description, priority: 0 }
}

const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { name, column_type: "string", format: "", description, priority: 1 }
}

/// How objects of one kind are shown; the name, which comes first, is not among the columns.
struct View {
    columns: &'static [Column],
    /// The cells of an object, one for each column. The moment is seconds after 1970-01-01T00:00:00Z.
    cells: fn(&Value, i64) -> Vec<Value>,
}

fn view(info: &KindInfo) -> Option<View> {
    Some(match (info.group, info.kind) {
        ("", "Pod") => pods::POD,
        ("", "Service") => services::SERVICE,
        ("", "Endpoints") => services::ENDPOINTS,
        ("discovery.k8s.io", "EndpointSlice") => services::ENDPOINT_SLICE,
        ("networking.k8s.io", "Ingress") => services::INGRESS,
        ("networking.k8s.io", "IngressClass") => services::INGRESS_CLASS,
        ("apps", "Deployment") => workloads::DEPLOYMENT,
        ("apps", "ReplicaSet") => workloads::REPLICA_SET,
        ("apps", "StatefulSet") => workloads::STATEFUL_SET,
        ("apps", "DaemonSet") => workloads::DAEMON_SET,
        ("batch", "Job") => workloads::JOB,
        ("", "Namespace") => cluster::NAMESPACE,
        ("", "ConfigMap") => cluster::CONFIG_MAP,
        ("", "Secret") => cluster::SECRET,
        ("", "ServiceAccount") => cluster::SERVICE_ACCOUNT,
        ("", "Node") => cluster::NODE,
        ("", "Event") => cluster::EVENT,
        _ => return None,
    })
}

/// The columns of a kind, the name first.
pub fn columns(info: &KindInfo) -> Vec<Column> {
    let mut columns = vec![NAME];
    match view(info) {
        Some(view) => columns.extend_from_slice(view.columns),
        None => columns.extend(crd::columns(info).iter().map(custom::column)),
    }
    columns
}

/// What `object` (as the API writes it) shows in the columns of its kind at `now`, in seconds after
/// 1970-01-01T00:00:00Z.
pub fn cells(info: &KindInfo, object: &Value, now: i64) -> Vec<Value> {
    let mut cells = vec![json!(read::text(object, "/metadata/name"))];
    match view(info) {
        Some(view) => cells.extend((view.cells)(object, now)),
        None => cells.extend(crd::columns(info).iter().map(|c| custom::cell(c, object, now))),
    }
    cells
}

#[cfg(test)]
mod tests;
