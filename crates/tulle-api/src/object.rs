//! An object: kind, metadata, what is wanted and what is.

use serde_json::{Map, Value};
use tulle_base::{FieldPath, Provenance, ResourceRef, SourceSpan};

use crate::kind::{Body, Kind, Resource, Spec};
use crate::meta::ObjectMeta;
use crate::schema::Field as _;

/// One resource of any kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Group and version as written, such as `networking.istio.io/v1beta1`. All served versions of a kind have the same
    /// type, so this matters for output only.
    pub api_version: String,
    /// Name, namespace, labels and the like.
    pub meta: ObjectMeta,
    /// What is wanted.
    pub spec: Spec,
    /// What is, as the responsible component wrote it.
    pub status: Option<Value>,
    /// Where the object was written, if it came from a file.
    pub origin: Option<SourceSpan>,
}

impl Object {
    /// An object of `R`'s kind in its preferred version, without labels or status.
    pub fn new<R: Resource>(namespace: &str, name: &str, spec: R) -> Self {
        Self {
            api_version: R::KIND.info().api_version(),
            meta: ObjectMeta {
                name: name.to_owned(),
                namespace: namespace.to_owned(),
                ..ObjectMeta::default()
            },
            spec: spec.into_spec(),
            status: None,
            origin: None,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.spec.kind()
    }

    /// Its version, such as `v1beta1`.
    pub fn version(&self) -> &str {
        self.api_version.rsplit('/').next().unwrap_or_default()
    }

    /// Group, kind, namespace and name.
    pub fn resource(&self) -> ResourceRef {
        let info = self.kind().info();
        ResourceRef::new(info.group, info.kind, &*self.meta.namespace, &*self.meta.name)
    }

    /// The provenance of what `rule` of this object makes.
    pub fn provenance(&self, rule: impl Into<String>) -> Provenance {
        Provenance { resource: self.resource(), version: self.version().to_owned(), rule: rule.into() }
    }

    /// What is wanted, if this is of `R`'s kind.
    pub fn get<R: Resource>(&self) -> Option<&R> {
        R::from_spec(&self.spec)
    }

    /// The path at which `spec`'s fields begin: `spec`, or the top.
    pub fn spec_path(&self) -> FieldPath {
        match self.kind().info().body {
            Body::Spec => FieldPath::root().field("spec"),
            Body::Top => FieldPath::root(),
        }
    }

    /// The object as the Kubernetes API writes it.
    pub fn to_json(&self) -> Value {
        let info = self.kind().info();
        let mut map = Map::new();
        map.insert("apiVersion".into(), Value::from(&*self.api_version));
        map.insert("kind".into(), Value::from(info.kind));
        map.insert("metadata".into(), self.meta.encode());
        match (info.body, self.spec.encode()) {
            (Body::Top, Value::Object(fields)) => map.extend(fields),
            (_, Value::Object(fields)) if fields.is_empty() && self.kind() == Kind::Namespace => {}
            (_, spec) => drop(map.insert("spec".into(), spec)),
        }
        if let Some(status) = &self.status {
            map.insert("status".into(), status.clone());
        }
        Value::Object(map)
    }
}
