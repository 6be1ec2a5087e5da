//! `Ingress` and `IngressClass` (`networking.k8s.io/v1`): routing from outside in its old form.

use serde_json::Value;

use crate::schema::record;

record! {
    /// Routing from outside in its old form.
    pub struct Ingress {
        /// The class.
        pub ingress_class_name: String = "ingressClassName",
        /// Where requests go that match no rule.
        pub default_backend: Option<IngressBackend> = "defaultBackend",
        /// Certificates.
        pub tls: Vec<IngressTls> = "tls",
        /// Rules by host.
        pub rules: Vec<IngressRule> = "rules",
    }
}

record! {
    /// A destination.
    pub struct IngressBackend {
        /// A service.
        pub service: Option<IngressServiceBackend> = "service",
        /// Another object.
        pub resource: Option<Value> = "resource",
    }
}

record! {
    /// A service.
    pub struct IngressServiceBackend {
        /// Its name.
        pub name: String = "name" => required,
        /// Its port.
        pub port: Option<IngressServicePort> = "port",
    }
}

record! {
    /// A port of a service, by name or number.
    pub struct IngressServicePort {
        /// By name.
        pub name: String = "name",
        /// By number.
        pub number: Option<i32> = "number",
    }
}

record! {
    /// A certificate.
    pub struct IngressTls {
        /// Hosts that it is for.
        pub hosts: Vec<String> = "hosts",
        /// The secret that holds it.
        pub secret_name: String = "secretName",
    }
}

record! {
    /// Rules for a host.
    pub struct IngressRule {
        /// The host, with leading wildcard; all by default.
        pub host: String = "host",
        /// The rules.
        pub http: Option<IngressHttp> = "http",
    }
}

record! {
    /// Rules by path.
    pub struct IngressHttp {
        /// The paths.
        pub paths: Vec<IngressPath> = "paths" => required,
    }
}

record! {
    /// A path.
    pub struct IngressPath {
        /// The path.
        pub path: String = "path",
        /// Exact, Prefix or ImplementationSpecific.
        pub path_type: String = "pathType" => required,
        /// Where requests go.
        pub backend: IngressBackend = "backend",
    }
}

record! {
    /// Who serves ingresses of a class.
    pub struct IngressClass {
        /// The controller.
        pub controller: String = "controller",
        /// Its parameters.
        pub parameters: Option<Value> = "parameters" => no_effect("classes have no parameters here"),
    }
}
