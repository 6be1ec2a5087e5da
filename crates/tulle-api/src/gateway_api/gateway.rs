//! `Gateway` of the Gateway API: ports that a gateway proxy listens on.

use std::collections::BTreeMap;

use tulle_base::Labels;

use super::common::{GatewayDefaultScope, LocalObjectReference, SecretObjectReference};
use crate::kubernetes::PodSelector;
use crate::schema::{enumeration, record};

record! {
    /// Ports that a gateway listens on.
    pub struct GatewaySpec {
        /// The class.
        pub gateway_class_name: String = "gatewayClassName" => required,
        /// The ports, with unique names.
        pub listeners: Vec<GatewayListener> = "listeners" => keyed(&["name"]) => required,
        /// Addresses that are asked for.
        pub addresses: Vec<GatewaySpecAddress> = "addresses",
        /// What is made for the gateway.
        pub infrastructure: Option<GatewayInfrastructure> = "infrastructure"
            => no_effect("no pods are made for gateways: those that are there serve them"),
        /// Who may add listeners; nobody by default.
        pub allowed_listeners: Option<AllowedListeners> = "allowedListeners",
        /// TLS towards clients and backends.
        pub tls: Option<GatewayTlsConfig> = "tls",
        /// Whether routes that name no parent belong here.
        pub default_scope: Option<GatewayDefaultScope> = "defaultScope"
            => no_effect("there are no default gateways: name Gateways in parentRefs"),
    }
}

record! {
    /// A port with a host.
    pub struct GatewayListener {
        /// Name, unique in the gateway.
        pub name: String = "name" => required,
        /// Host, with leading wildcard; all by default.
        pub hostname: String = "hostname",
        /// Port, 1 to 65535.
        pub port: i32 = "port",
        /// HTTP, HTTPS, TLS, TCP, UDP, or one with a domain of its own.
        pub protocol: String = "protocol" => required,
        /// TLS of the port.
        pub tls: Option<ListenerTlsConfig> = "tls",
        /// Routes that may attach.
        pub allowed_routes: Option<AllowedRoutes> = "allowedRoutes",
    }
}

record! {
    /// TLS of a listener.
    pub struct ListenerTlsConfig {
        /// Whether TLS is terminated; Terminate by default.
        pub mode: Option<TlsModeType> = "mode",
        /// Certificates; required when TLS is terminated.
        pub certificate_refs: Vec<SecretObjectReference> = "certificateRefs",
        /// Options of the implementation.
        pub options: BTreeMap<String, String> = "options",
    }
}

enumeration! {
    /// What a listener does with TLS.
    pub enum TlsModeType {
        /// It is terminated.
        Terminate = "Terminate",
        /// It passes.
        Passthrough = "Passthrough",
    }
}

record! {
    /// Routes that may attach to a listener.
    pub struct AllowedRoutes {
        /// From where; the gateway's namespace by default.
        pub namespaces: Option<RouteNamespaces> = "namespaces",
        /// Which kinds; those of the listener's protocol by default.
        pub kinds: Vec<RouteGroupKind> = "kinds",
    }
}

record! {
    /// Namespaces from which routes may attach.
    pub struct RouteNamespaces {
        /// Which; Same by default.
        pub from: Option<FromNamespaces> = "from",
        /// By their labels; for Selector.
        pub selector: Option<PodSelector> = "selector",
    }
}

enumeration! {
    /// From which namespaces something may come.
    pub enum FromNamespaces {
        /// From all.
        All = "All",
        /// From those that the selector chooses.
        Selector = "Selector",
        /// From the gateway's own.
        Same = "Same",
        /// From none.
        None = "None",
    }
}

record! {
    /// A kind of routes.
    pub struct RouteGroupKind {
        /// API group; `gateway.networking.k8s.io` by default.
        pub group: Option<String> = "group",
        /// Kind.
        pub kind: String = "kind" => required,
    }
}

record! {
    /// An address that a gateway asks for.
    pub struct GatewaySpecAddress {
        /// IPAddress (default), Hostname, or one with a domain of its own.
        pub address_type: String = "type",
        /// The address; any by default.
        pub value: String = "value",
    }
}

record! {
    /// What is made for a gateway.
    pub struct GatewayInfrastructure {
        /// Labels of what is made.
        pub labels: Labels = "labels",
        /// Annotations of what is made.
        pub annotations: Labels = "annotations",
        /// Parameters of the implementation.
        pub parameters_ref: Option<LocalObjectReference> = "parametersRef",
    }
}

record! {
    /// Who may add listeners to a gateway.
    pub struct AllowedListeners {
        /// From where; nowhere by default.
        pub namespaces: Option<ListenerNamespaces> = "namespaces",
    }
}

record! {
    /// Namespaces from which listeners may come.
    pub struct ListenerNamespaces {
        /// Which; None by default.
        pub from: Option<FromNamespaces> = "from",
        /// By their labels; for Selector.
        pub selector: Option<PodSelector> = "selector",
    }
}

record! {
    /// TLS of a gateway towards both sides.
    pub struct GatewayTlsConfig {
        /// Towards backends.
        pub backend: Option<GatewayBackendTls> = "backend",
        /// Towards clients.
        pub frontend: Option<FrontendTlsConfig> = "frontend",
    }
}

record! {
    /// TLS of a gateway towards backends.
    pub struct GatewayBackendTls {
        /// The gateway's own certificate.
        pub client_certificate_ref: Option<SecretObjectReference> = "clientCertificateRef",
    }
}

record! {
    /// TLS of a gateway towards clients.
    pub struct FrontendTlsConfig {
        /// For ports without an entry of their own.
        pub default: FrontendTls = "default",
        /// For single ports.
        pub per_port: Vec<FrontendTlsPort> = "perPort" => keyed(&["port"]),
    }
}

record! {
    /// TLS towards the clients of one port.
    pub struct FrontendTlsPort {
        /// The port, 1 to 65535.
        pub port: i32 = "port",
        /// Its TLS.
        pub tls: FrontendTls = "tls",
    }
}

record! {
    /// TLS towards clients.
    pub struct FrontendTls {
        /// How clients' certificates are checked.
        pub validation: Option<FrontendTlsValidation> = "validation",
    }
}

record! {
    /// How clients' certificates are checked.
    pub struct FrontendTlsValidation {
        /// ConfigMaps, or other objects, with the CA's certificates.
        pub ca_certificate_refs: Vec<CaObjectReference> = "caCertificateRefs" => required,
        /// What becomes of clients whose certificate is not good; AllowValidOnly by default.
        pub mode: Option<FrontendValidationMode> = "mode",
    }
}

record! {
    /// An object with certificates of a CA.
    pub struct CaObjectReference {
        /// API group, empty for the core group.
        pub group: Option<String> = "group" => required,
        /// Kind.
        pub kind: String = "kind" => required,
        /// Name.
        pub name: String = "name" => required,
        /// Namespace; the gateway's by default. Another one needs a ReferenceGrant there.
        pub namespace: String = "namespace",
    }
}

enumeration! {
    /// What becomes of clients whose certificate is not good.
    pub enum FrontendValidationMode {
        /// They are refused.
        AllowValidOnly = "AllowValidOnly",
        /// They are let in.
        AllowInsecureFallback = "AllowInsecureFallback",
    }
}
