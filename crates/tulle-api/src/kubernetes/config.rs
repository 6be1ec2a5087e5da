//! `Namespace`, `ServiceAccount`, `ConfigMap` and `Secret` (core v1).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::schema::record;
use crate::value::Bytes;

record! {
    /// A namespace.
    pub struct Namespace {
        /// Who must agree before it goes away.
        pub finalizers: Vec<String> = "finalizers",
    }
}

record! {
    /// An identity for pods.
    pub struct ServiceAccount {
        /// Secrets of tokens.
        pub secrets: Vec<Value> = "secrets" => keyed(&["name"])
            => no_effect("tokens are projected into pods, not kept in secrets"),
        /// Credentials for image registries.
        pub image_pull_secrets: Vec<Value> = "imagePullSecrets" => no_effect("no images are pulled on one machine"),
        /// Whether pods get a token; true by default.
        pub automount_service_account_token: Option<bool> = "automountServiceAccountToken",
    }
}

record! {
    /// Configuration for pods.
    pub struct ConfigMap {
        /// Values by key.
        pub data: BTreeMap<String, String> = "data",
        /// Values that are not text, by key.
        pub binary_data: BTreeMap<String, Bytes> = "binaryData",
        /// Whether it may not be changed.
        pub immutable: Option<bool> = "immutable",
    }
}

record! {
    /// Confidential configuration for pods.
    pub struct Secret {
        /// Values by key, in base64.
        pub data: BTreeMap<String, Bytes> = "data",
        /// Values as plain text, which win over `data`.
        pub string_data: BTreeMap<String, String> = "stringData",
        /// What it holds, such as `Opaque` or `kubernetes.io/tls`.
        pub secret_type: String = "type",
        /// Whether it may not be changed.
        pub immutable: Option<bool> = "immutable",
    }
}
