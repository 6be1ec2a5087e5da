//! Extension providers: services that policies name (`extensionProviders` of the mesh's settings).

use std::time::Duration;

use tulle_base::Host;

/// A service that policies name. Providers of telemetry are kept by name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionProvider {
    /// Its name, unique in the mesh.
    pub name: String,
    /// What it does.
    pub kind: ProviderKind,
}

impl ExtensionProvider {
    /// The host of the service that decides on requests, if it is one that does.
    pub fn asked(&self) -> Option<&Host> {
        match &self.kind {
            ProviderKind::ExtAuthz(authz) => Some(&authz.host),
            ProviderKind::Prometheus | ProviderKind::Other(_) => None,
        }
    }
}

impl ProviderKind {
    /// The name of the field that says what it is.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ExtAuthz(authz) => match authz.protocol {
                ExtAuthzProtocol::Grpc => "envoyExtAuthzGrpc",
                ExtAuthzProtocol::Http { .. } => "envoyExtAuthzHttp",
            },
            Self::Prometheus => "prometheus",
            Self::Other(name) => name,
        }
    }
}

/// What a provider does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// It says whether requests may pass.
    ExtAuthz(Box<ExtAuthz>),
    /// Metrics are served to whoever scrapes.
    Prometheus,
    /// Something that is not built: the name of the field that says what.
    Other(&'static str),
}

/// A service that says whether requests may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtAuthz {
    /// Namespace that the service is looked for in; empty for any.
    pub namespace: String,
    /// Its host, fully qualified.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Time for an answer; 600 s by default.
    pub timeout: Duration,
    /// Whether requests pass when it does not answer.
    pub fail_open: bool,
    /// Status of requests that are denied because it does not answer; 403 by default.
    pub status_on_error: u16,
    /// Whether the route is chosen again after its answer.
    pub clear_route_cache: bool,
    /// How much of the body is sent along; nothing by default.
    pub body: Option<CheckedBody>,
    /// How it is asked.
    pub protocol: ExtAuthzProtocol,
}

/// How much of a body is sent along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedBody {
    /// Most bytes.
    pub max_bytes: u32,
    /// Whether a longer body is cut; else it is answered with 413.
    pub allow_partial: bool,
    /// Whether it is sent as bytes, for gRPC.
    pub as_bytes: bool,
}

/// How an authorization service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtAuthzProtocol {
    /// Envoy's `Authorization` service.
    Grpc,
    /// HTTP requests with the path and the method of the one that is asked about. Names of headers are exact, or have a `*` at
    /// one end.
    Http {
        /// Put before the path.
        path_prefix: String,
        /// Request headers that are sent along.
        request_headers: Vec<String>,
        /// Fixed headers that are sent along.
        additional_headers: Vec<(String, String)>,
        /// Headers of a yes that are added to the request.
        upstream_on_allow: Vec<String>,
        /// Headers of a no that the client gets; empty for all.
        downstream_on_deny: Vec<String>,
        /// Headers of a yes that the client gets.
        downstream_on_allow: Vec<String>,
    },
}
