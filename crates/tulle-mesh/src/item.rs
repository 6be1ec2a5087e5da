//! What one document becomes in the model.

use crate::destination::DestinationRule;
use crate::gateway::Gateway;
use crate::policy::{AuthorizationPolicy, PeerAuthentication};
use crate::routing::RouteSet;
use crate::service::Service;
use crate::sidecar::Sidecar;
use crate::slice::Slice;
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
    /// An AuthorizationPolicy.
    Authorization(AuthorizationPolicy),
}
