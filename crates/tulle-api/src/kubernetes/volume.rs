//! Volumes of a pod.

use serde_json::Value;

use super::container::{ObjectFieldSelector, ResourceFieldSelector};
use crate::schema::{oneof, record};

record! {
    /// A volume: files that containers share.
    pub struct Volume {
        /// Name, for mounts.
        pub name: String = "name" => required,
    }
    oneof {
        /// What is in it; an empty directory by default.
        pub source: VolumeSource,
    }
}

oneof! {
    /// What is in a volume.
    pub enum VolumeSource {
        /// The keys of a ConfigMap as files.
        ConfigMap(ConfigMapVolume) = "configMap",
        /// The keys of a Secret as files.
        Secret(SecretVolume) = "secret",
        /// Several sources in one directory.
        Projected(ProjectedVolume) = "projected",
        /// Fields of the pod as files.
        DownwardApi(DownwardApiVolume) = "downwardAPI",
        /// A directory that lives as long as the pod.
        EmptyDir(EmptyDirVolume) = "emptyDir",
        /// A path of the host.
        HostPath(HostPathVolume) = "hostPath",
        /// A claim of storage, which one machine does not have.
        PersistentVolumeClaim(Value) = "persistentVolumeClaim" => no_effect("it is an empty directory on one machine"),
        /// Storage by driver, which one machine does not have.
        Csi(Value) = "csi" => no_effect("it is an empty directory on one machine"),
        /// Storage made with the pod, which one machine does not have.
        Ephemeral(Value) = "ephemeral" => no_effect("it is an empty directory on one machine"),
        /// Network storage, which one machine does not have.
        Nfs(Value) = "nfs" => no_effect("it is an empty directory on one machine"),
    }
}

record! {
    /// A key as a file.
    pub struct KeyToPath {
        /// The key.
        pub key: String = "key" => required,
        /// The file, relative to the volume.
        pub path: String = "path" => required,
        /// Its mode, such as 0644.
        pub mode: Option<i32> = "mode",
    }
}

record! {
    /// The keys of a ConfigMap as files.
    pub struct ConfigMapVolume {
        /// Name of the ConfigMap.
        pub name: String = "name",
        /// Which keys; all by default.
        pub items: Vec<KeyToPath> = "items",
        /// Mode of the files; 0644 by default.
        pub default_mode: Option<i32> = "defaultMode",
        /// Whether it may be missing.
        pub optional: Option<bool> = "optional",
    }
}

record! {
    /// The keys of a Secret as files.
    pub struct SecretVolume {
        /// Name of the Secret.
        pub secret_name: String = "secretName",
        /// Which keys; all by default.
        pub items: Vec<KeyToPath> = "items",
        /// Mode of the files; 0644 by default.
        pub default_mode: Option<i32> = "defaultMode",
        /// Whether it may be missing.
        pub optional: Option<bool> = "optional",
    }
}

record! {
    /// Several sources in one directory.
    pub struct ProjectedVolume {
        /// The sources.
        pub sources: Vec<VolumeProjection> = "sources",
        /// Mode of the files; 0644 by default.
        pub default_mode: Option<i32> = "defaultMode",
    }
}

oneof! {
    /// A source of a projected volume.
    pub enum VolumeProjection {
        /// A token of the pod's service account.
        ServiceAccountToken(ServiceAccountTokenProjection) = "serviceAccountToken",
        /// Keys of a ConfigMap.
        ConfigMap(ProjectedKeys) = "configMap",
        /// Keys of a Secret.
        Secret(ProjectedKeys) = "secret",
        /// Fields of the pod.
        DownwardApi(DownwardApiProjection) = "downwardAPI",
        /// Trust anchors of the cluster.
        ClusterTrustBundle(Value) = "clusterTrustBundle" => no_effect("there are no cluster trust bundles on one machine"),
    }
    empty {
        /// Nothing.
        Unset
    }
}

record! {
    /// A token of the pod's service account.
    pub struct ServiceAccountTokenProjection {
        /// Who may accept it; the API server by default.
        pub audience: String = "audience",
        /// Its life in seconds, at least 600; 3600 by default.
        pub expiration_seconds: Option<i64> = "expirationSeconds",
        /// The file, relative to the volume.
        pub path: String = "path" => required,
    }
}

record! {
    /// Keys of a ConfigMap or Secret in a projected volume.
    pub struct ProjectedKeys {
        /// Its name.
        pub name: String = "name",
        /// Which keys; all by default.
        pub items: Vec<KeyToPath> = "items",
        /// Whether it may be missing.
        pub optional: Option<bool> = "optional",
    }
}

record! {
    /// Fields of the pod as files.
    pub struct DownwardApiVolume {
        /// The files.
        pub items: Vec<DownwardApiFile> = "items",
        /// Mode of the files; 0644 by default.
        pub default_mode: Option<i32> = "defaultMode",
    }
}

record! {
    /// Fields of the pod in a projected volume.
    pub struct DownwardApiProjection {
        /// The files.
        pub items: Vec<DownwardApiFile> = "items",
    }
}

record! {
    /// A field of the pod as a file.
    pub struct DownwardApiFile {
        /// The file, relative to the volume.
        pub path: String = "path" => required,
        /// A field of the pod, also `metadata.labels` and `metadata.annotations` as a whole.
        pub field_ref: Option<ObjectFieldSelector> = "fieldRef" => atomic,
        /// A resource of a container.
        pub resource_field_ref: Option<ResourceFieldSelector> = "resourceFieldRef" => atomic,
        /// Its mode.
        pub mode: Option<i32> = "mode",
    }
}

record! {
    /// A directory that lives as long as the pod.
    pub struct EmptyDirVolume {
        /// `Memory` or the disk.
        pub medium: String = "medium",
        /// Its size.
        pub size_limit: Option<Value> = "sizeLimit" => no_effect("sizes are not limited on one machine"),
    }
}

record! {
    /// A path of the host.
    pub struct HostPathVolume {
        /// The path.
        pub path: String = "path" => required,
        /// What must be there, or is made.
        pub path_type: String = "type",
    }
}

record! {
    /// Where a volume appears in a container.
    pub struct VolumeMount {
        /// Name of the volume.
        pub name: String = "name" => required,
        /// The path in the container.
        pub mount_path: String = "mountPath" => required,
        /// A path inside of the volume.
        pub sub_path: String = "subPath",
        /// A path inside of the volume, with variables.
        pub sub_path_expr: String = "subPathExpr",
        /// Whether it may not be written.
        pub read_only: Option<bool> = "readOnly",
        /// Whether that holds for mounts below as well.
        pub recursive_read_only: String = "recursiveReadOnly" => no_effect("nothing is mounted below volumes"),
        /// Whether mounts are passed on.
        pub mount_propagation: String = "mountPropagation" => no_effect("nothing is mounted below volumes"),
    }
}
