//! What one document becomes in the model.

use tulle_base::Labels;

use crate::destination::DestinationRule;
use crate::entry::Entry;
use crate::envoy_filter::EnvoyFilter;
use crate::gateway::Gateway;
use crate::ingress::{Ingress, IngressClass};
use crate::kube::{BackendTls, GatewayClass, Grant, KubeGateway, KubeRoute, ListenerSet};
use crate::meta::NsName;
use crate::node::Node;
use crate::policy::{AuthorizationPolicy, PeerAuthentication, RateLimit, RequestAuthentication};
use crate::routing::RouteSet;
use crate::service::Service;
use crate::settings::Settings;
use crate::sidecar::Sidecar;
use crate::slice::Slice;
use crate::telemetry::Telemetry;
use crate::workload::Workload;

/// The modelled form of one document.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A Service, or the hosts of a ServiceEntry.
    Services(Vec<Service>),
    /// An EndpointSlice.
    Slice(Slice),
    /// A Pod that runs.
    Workload(Workload),
    /// A Node.
    Node(Node),
    /// A WorkloadEntry.
    Entry(Box<Entry>),
    /// A VirtualService.
    Routes(RouteSet),
    /// A DestinationRule.
    Destination(Box<DestinationRule>),
    /// A Gateway.
    Gateway(Gateway),
    /// A Sidecar.
    Sidecar(Sidecar),
    /// A PeerAuthentication.
    Peer(PeerAuthentication),
    /// A RequestAuthentication.
    Tokens(RequestAuthentication),
    /// An AuthorizationPolicy.
    Authorization(AuthorizationPolicy),
    /// A GatewayClass.
    Class(GatewayClass),
    /// A Gateway of the Gateway API.
    KubeGateway(KubeGateway),
    /// A ListenerSet.
    ListenerSet(ListenerSet),
    /// A route of the Gateway API.
    KubeRoute(Box<KubeRoute>),
    /// A ReferenceGrant.
    Grant(Grant),
    /// A Namespace.
    Namespace(Namespace),
    /// A Secret with a certificate.
    Certificate(Certificate),
    /// A BackendTLSPolicy.
    BackendTls(BackendTls),
    /// A ConfigMap with certificates of authorities.
    Authorities(Authorities),
    /// An Ingress.
    Ingress(Ingress),
    /// An IngressClass.
    IngressClass(IngressClass),
    /// An EnvoyFilter.
    Patches(EnvoyFilter),
    /// A RateLimit.
    RateLimit(RateLimit),
    /// A Telemetry.
    Telemetry(Box<Telemetry>),
    /// Settings of the mesh: the ConfigMap `istio`, or an IstioOperator.
    Settings(Box<Settings>),
}

/// A namespace, as far as Gateways choose namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels, its name among them.
    pub labels: Labels,
}

/// That a Secret holds a certificate; what it holds is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The Secret.
    pub name: NsName,
    /// What is wrong with it, if anything is.
    pub problem: Option<String>,
}

/// Certificates of authorities, which everybody may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    /// The ConfigMap.
    pub name: NsName,
    /// In PEM.
    pub pem: String,
}
