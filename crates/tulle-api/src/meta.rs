//! What every object has besides its content.

use serde_json::Value;
use tulle_base::Labels;

use crate::schema::record;
use crate::value::Timestamp;

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
        pub owner_references: Vec<OwnerReference> = "ownerReferences" => keyed(&["uid"]),
        /// Who must agree before it goes away.
        pub finalizers: Vec<String> = "finalizers" => set,
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

/// Reads a boolean as annotations write it (Go's `strconv.ParseBool`): `true`, `True`, `TRUE`, `t`, `T`, `1` and the
/// same for false.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}
