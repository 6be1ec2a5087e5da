//! From documents to model items, each by itself.
//!
//! Every field is applied, or reported as without effect: conversions take records apart without `..`. (Pods are the
//! exception: of what runs in them only addresses, identity and port names matter here.)

mod cx;
mod destination_rule;
mod gateway;
mod kubernetes;
mod policy;
mod service_entry;
mod sidecar;
mod virtual_service;

use tulle_api::{Object, Spec};
use tulle_base::Diagnostics;

use crate::config::MeshConfig;
use crate::item::Item;
use crate::meta::Meta;
use cx::Cx;

/// The model item of `object`, and what was found wrong with it. `None` when it is nothing that the model holds (any
/// more), such as a pod that has ended.
pub(crate) fn model(object: &Object, mesh: &MeshConfig) -> (Option<Item>, Diagnostics) {
    let meta = Meta {
        resource: object.resource(),
        version: object.version().to_owned(),
        created: object.meta.creation_timestamp.as_ref().map(|t| t.as_str().to_owned()).unwrap_or_default(),
    };
    let mut cx = Cx { meta: &meta, domain: &mesh.domain, notes: Diagnostics::new() };
    let item = item(&mut cx, object, mesh);
    let mut notes = cx.notes;
    for note in &mut notes {
        note.span.clone_from(&object.origin);
    }
    (item, notes)
}

fn item(cx: &mut Cx<'_>, object: &Object, mesh: &MeshConfig) -> Option<Item> {
    Some(match &object.spec {
        Spec::Service(spec) => Item::Services(vec![kubernetes::service(cx, object, spec)?]),
        Spec::EndpointSlice(spec) => Item::Slice(kubernetes::slice(object, spec)?),
        Spec::Pod(spec) => Item::Workload(kubernetes::workload(object, spec)?),
        Spec::ServiceEntry(spec) => Item::Services(service_entry::services(cx, spec, &object.meta.labels)),
        Spec::VirtualService(spec) => Item::Routes(virtual_service::routes(cx, spec)),
        Spec::DestinationRule(spec) => Item::Destination(Box::new(destination_rule::rule(cx, spec))),
        Spec::Gateway(spec) => Item::Gateway(gateway::gateway(cx, spec)),
        Spec::Sidecar(spec) => Item::Sidecar(sidecar::sidecar(cx, spec)),
        Spec::PeerAuthentication(spec) => Item::Peer(policy::peer(cx, spec, &mesh.root_namespace)),
        Spec::AuthorizationPolicy(spec) => {
            let dry_run = object
                .meta
                .annotations
                .get("istio.io/dry-run")
                .is_some_and(|v| tulle_api::parse_bool(v) == Some(true));
            Item::Authorization(policy::authorization(cx, spec, dry_run))
        }
        Spec::WorkloadEntry(_) => {
            cx.not_applied(true, "", "workloads outside of the cluster are not built");
            return None;
        }
        Spec::RequestAuthentication(_) => {
            cx.not_applied(true, "", "tokens are not checked: requests that need one are denied");
            return None;
        }
        Spec::Telemetry(_) => {
            cx.not_applied(true, "", "metrics, logs and traces are not configurable");
            return None;
        }
        Spec::Namespace(_)
        | Spec::ServiceAccount(_)
        | Spec::ConfigMap(_)
        | Spec::Secret(_)
        | Spec::Deployment(_)
        | Spec::ReplicaSet(_)
        | Spec::StatefulSet(_)
        | Spec::DaemonSet(_)
        | Spec::Job(_) => return None,
    })
}
