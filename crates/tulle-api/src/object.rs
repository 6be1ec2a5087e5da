//! An object: kind, metadata, what is wanted and what is.

use serde_json::{Map, Value};
use tulle_base::{FieldPath, Labels, Provenance, ResourceRef, SourceSpan};

use crate::kind::{Body, Kind, Resource, Spec};
use crate::schema::{Field as _, record};
use crate::value::Timestamp;

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

record! {
    /// What every object has (`metav1.ObjectMeta`).
    pub struct ObjectMeta or default {
        /// Name, unique in namespace and kind.
        pub name: String = "name",
        /// Beginning of a name that is to be made up.
        pub generate_name: String = "generateName",
        /// Namespace; empty for kinds that belong to the whole cluster.
        pub namespace: String = "namespace",
        /// Labels, for selectors.
        pub labels: Labels = "labels",
        /// Annotations, for programs.
        pub annotations: Labels = "annotations",
        /// Unique id, made by the store.
        pub uid: String = "uid",
        /// Version in the store, made by the store.
        pub resource_version: String = "resourceVersion",
        /// Counts changes of `spec`, by the store.
        pub generation: Option<i64> = "generation",
        /// When it was made, by the store.
        pub creation_timestamp: Option<Timestamp> = "creationTimestamp",
        /// When it was asked to go away.
        pub deletion_timestamp: Option<Timestamp> = "deletionTimestamp",
        /// Seconds that it has to go away.
        pub deletion_grace_period_seconds: Option<i64> = "deletionGracePeriodSeconds",
        /// Objects that it goes away with.
        pub owner_references: Vec<OwnerReference> = "ownerReferences",
        /// Who must agree before it goes away.
        pub finalizers: Vec<String> = "finalizers",
        /// Which program set which field.
        pub managed_fields: Vec<Value> = "managedFields",
        /// Link to itself, of old API versions.
        pub self_link: String = "selfLink",
    }
}

record! {
    /// An object that another one goes away with (`metav1.OwnerReference`).
    pub struct OwnerReference {
        /// Group and version.
        pub api_version: String = "apiVersion" => required,
        /// Kind.
        pub kind: String = "kind" => required,
        /// Name.
        pub name: String = "name" => required,
        /// Unique id.
        pub uid: String = "uid" => required,
        /// Whether it is the controller.
        pub controller: Option<bool> = "controller",
        /// Whether it waits for this one.
        pub block_owner_deletion: Option<bool> = "blockOwnerDeletion",
    }
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
