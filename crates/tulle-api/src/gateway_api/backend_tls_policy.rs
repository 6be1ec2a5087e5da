//! `BackendTLSPolicy`: TLS of gateways towards a backend.

use std::collections::BTreeMap;

use super::common::LocalObjectReference;
use crate::schema::{enumeration, record};

record! {
    /// TLS of gateways towards backends.
    pub struct BackendTlsPolicySpec {
        /// The backends.
        pub target_refs: Vec<BackendPolicyTarget> = "targetRefs" => required,
        /// How a backend's certificate is checked.
        pub validation: BackendTlsValidation = "validation",
        /// Options of the implementation.
        pub options: BTreeMap<String, String> = "options" => no_effect("there are no options here"),
    }
}

record! {
    /// An object in the same namespace, or a part of it, that a policy is for.
    pub struct BackendPolicyTarget {
        /// API group, empty for the core group.
        pub group: Option<String> = "group" => required,
        /// Kind.
        pub kind: String = "kind" => required,
        /// Name.
        pub name: String = "name" => required,
        /// Port of a Service by name; all by default.
        pub section_name: String = "sectionName",
    }
}

record! {
    /// How a backend's certificate is checked.
    pub struct BackendTlsValidation {
        /// ConfigMaps, or other objects, with the CA's certificates; excludes `wellKnownCACertificates`.
        pub ca_certificate_refs: Vec<LocalObjectReference> = "caCertificateRefs",
        /// `System` for the system's CA certificates.
        pub well_known_ca_certificates: String = "wellKnownCACertificates",
        /// Server name to send, which the certificate must carry unless `subjectAltNames` are given.
        pub hostname: String = "hostname" => required,
        /// Names, one of which the certificate must carry.
        pub subject_alt_names: Vec<BackendSubjectAltName> = "subjectAltNames",
    }
}

record! {
    /// A name of a certificate: the field that `type` names, and no other.
    pub struct BackendSubjectAltName {
        /// Which one.
        pub name_type: Option<SubjectAltNameType> = "type" => required,
        /// A host.
        pub hostname: String = "hostname",
        /// A URI.
        pub uri: String = "uri",
    }
}

enumeration! {
    /// Names of certificates.
    pub enum SubjectAltNameType {
        /// A host.
        Hostname = "Hostname",
        /// A URI.
        Uri = "URI",
    }
}
