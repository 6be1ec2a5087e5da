//! Ingress objects of Kubernetes, as written; what becomes of them in a mesh is in [`crate::snapshot`].
//!
//! All that are this mesh's become one [`crate::gateway::Gateway`], and a [`RouteSet`] for each of
//! their hosts: everything after that is the same as for Istio's kinds and the Gateway API's.

use std::sync::Arc;

use tulle_base::Host;

use crate::meta::Meta;
use crate::routing::{RouteSet, StringMatch};

/// Controllers whose classes are served: Istio's and ours.
const CONTROLLERS: [&str; 2] = ["istio.io/ingress-controller", "tulle.dev/ingress-controller"];

/// Which Ingresses are read (MeshConfig `ingressControllerMode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IngressMode {
    /// None.
    Off,
    /// Those of our classes, and those without class.
    Default,
    /// Those of our classes.
    #[default]
    Strict,
}

/// An IngressClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressClass {
    /// The document behind it.
    pub meta: Meta,
    /// Who serves its Ingresses.
    pub controller: String,
    /// Whether Ingresses without class are of it (annotation `ingressclass.kubernetes.io/is-default-class`).
    pub is_default: bool,
}

impl IngressClass {
    /// Whether this mesh serves its Ingresses.
    pub fn is_ours(&self) -> bool {
        CONTROLLERS.contains(&self.controller.as_str())
    }
}

/// An Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The document behind it.
    pub meta: Meta,
    /// Its class in the old form, the annotation `kubernetes.io/ingress.class`, which comes before the new one as in Istio.
    pub annotated_class: Option<String>,
    /// Its class.
    pub class: Option<String>,
    /// Certificates.
    pub tls: Vec<IngressTls>,
    /// Rules by host, in the order written.
    pub rules: Vec<IngressRule>,
    /// Where requests for its hosts go that none of its paths takes, and requests for hosts that no Ingress has.
    pub default_backend: Option<IngressBackend>,
}

/// A certificate of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressTls {
    /// Hosts that it is for; at least one, `*` for all.
    pub hosts: Vec<Host>,
    /// The Secret: of the Ingress's namespace, else of the gateway's.
    pub secret: String,
}

/// The paths of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressRule {
    /// The host, `*` for all.
    pub host: Host,
    /// The paths.
    pub paths: Vec<IngressPath>,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressPath {
    /// The path; `None` is every one.
    pub uri: Option<StringMatch>,
    /// Where requests go.
    pub backend: IngressBackend,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressBackend {
    /// The field that names it.
    pub field: String,
    /// The Service's host; `None` for an object that is no Service.
    pub host: Option<Host>,
    /// Its port.
    pub port: IngressPort,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressPort {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// What became of an Ingress that is this mesh's.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressState {
    /// Host of the Service in front of the pods that serve it, if there is one.
    pub service: Option<String>,
    /// Addresses at which that is reached from outside of the mesh.
    pub addresses: Vec<String>,
    /// What is wrong with it.
    pub problems: Vec<IngressProblem>,
    /// Its certificates that can be used: the index, the hosts and the credential.
    pub(crate) certificates: Vec<(usize, Vec<Host>, String)>,
    /// The routes in force: one set for each host.
    pub sets: Vec<Arc<RouteSet>>,
}

/// Something in an Ingress that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressProblem {
    /// The field.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// Whether it names what is not there; otherwise it may come by other means than manifests.
    pub missing: bool,
}
