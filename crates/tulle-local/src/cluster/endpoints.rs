//! EndpointSlices of services with a selector.

use std::collections::{BTreeMap, BTreeSet};

use tulle_api::kubernetes::{
    AddressType, Endpoint, EndpointConditions, EndpointPort, EndpointSlice, ObjectReference, PodSpec,
    Service, ServicePort, ServiceType, TransportProtocol,
};
use tulle_api::value::IntOrString;
use tulle_api::{Object, OwnerReference};
use tulle_base::Selector;

use super::Action;
use super::families::families;
use super::names::revision;
use super::pods::pod_facts;
use super::view::View;
use crate::net::Family;

/// Label that names a slice's service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that says who writes a slice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// The name of the one node.
pub const NODE_NAME: &str = "tulle";

pub(super) fn reconcile(view: &View, actions: &mut Vec<Action>) {
    let mut wanted: BTreeMap<(String, String), Object> = BTreeMap::new();
    for (object, service) in view.all::<Service>() {
        if service.selector.is_empty() || service.kind_of_service() == ServiceType::ExternalName {
            continue;
        }
        for slice in slices(view, object, service) {
            wanted.insert((slice.meta.namespace.clone(), slice.meta.name.clone()), slice);
        }
    }
    for (object, slice) in view.all::<EndpointSlice>() {
        if object.meta.labels.get(MANAGED_BY).is_none_or(|m| m != MANAGER) {
            continue;
        }
        match wanted.remove(&(object.meta.namespace.clone(), object.meta.name.clone())) {
            None => actions.push(Action::Delete(object.resource())),
            Some(want) if want.get::<EndpointSlice>() != Some(slice) => {
                actions.push(Action::Put(Box::new(want)))
            }
            Some(_) => {}
        }
    }
    actions.extend(wanted.into_values().map(|o| Action::Put(Box::new(o))));
}

/// The slices of each of the service's families.
fn slices(view: &View, object: &Object, service: &Service) -> Vec<Object> {
    families(service).into_iter().flat_map(|family| slices_of(view, object, service, family)).collect()
}

/// One slice per set of port numbers: pods may give a named port different numbers.
fn slices_of(view: &View, object: &Object, service: &Service, family: Family) -> Vec<Object> {
    let address_type = match family {
        Family::V4 => Some(AddressType::Ipv4),
        Family::V6 => Some(AddressType::Ipv6),
    };
    let selector = Selector(service.selector.clone());
    let mut by_ports: BTreeMap<Vec<(String, i32)>, EndpointSlice> = BTreeMap::new();
    for (pod, spec) in view.all::<PodSpec>() {
        let facts = pod_facts(pod);
        let ip = facts.ip_of(family).filter(|_| !facts.succeeded && !facts.failed);
        let Some(ip) = ip else { continue };
        if pod.meta.namespace != object.meta.namespace || !selector.matches(&pod.meta.labels) {
            continue;
        }
        let ports: Vec<EndpointPort> = service.ports.iter().filter_map(|p| port_of(p, spec)).collect();
        let key = ports.iter().map(|p| (p.name.clone(), p.port.unwrap_or_default())).collect();
        let slice = by_ports.entry(key).or_insert_with(|| EndpointSlice {
            address_type,
            endpoints: Vec::new(),
            ports,
        });
        let in_domain = !spec.hostname.is_empty() && spec.subdomain == object.meta.name;
        let ready = facts.ready || service.publish_not_ready_addresses == Some(true);
        slice.endpoints.push(Endpoint {
            addresses: vec![ip.to_string()],
            conditions: Some(EndpointConditions {
                ready: Some(ready && !facts.terminating),
                serving: Some(facts.ready),
                terminating: Some(facts.terminating),
            }),
            hostname: if in_domain { spec.hostname.clone() } else { String::new() },
            target_ref: Some(ObjectReference {
                kind: "Pod".into(),
                namespace: pod.meta.namespace.clone(),
                name: pod.meta.name.clone(),
                uid: pod.meta.uid.clone(),
                ..ObjectReference::default()
            }),
            node_name: NODE_NAME.into(),
            ..Endpoint::default()
        });
    }
    if by_ports.is_empty() {
        let ports = service.ports.iter().filter_map(|p| port_of(p, &PodSpec::default())).collect();
        let empty = EndpointSlice { address_type, endpoints: Vec::new(), ports };
        by_ports.insert(Vec::new(), empty);
    }
    by_ports.into_iter().map(|(key, slice)| slice_object(object, &key, slice)).collect()
}

fn port_of(port: &ServicePort, pod: &PodSpec) -> Option<EndpointPort> {
    let number = match port.target() {
        IntOrString::Int(n) => u16::try_from(n).ok()?,
        name @ IntOrString::String(_) => pod.resolve_port(&name)?,
    };
    Some(EndpointPort {
        name: port.name.clone(),
        port: Some(i32::from(number)),
        protocol: Some(port.protocol.unwrap_or(TransportProtocol::Tcp)),
        app_protocol: port.app_protocol.clone(),
    })
}

fn slice_object(service: &Object, ports: &[(String, i32)], slice: EndpointSlice) -> Object {
    let six = if slice.address_type == Some(AddressType::Ipv6) { "six" } else { "" };
    let name = format!("{}-{}", service.meta.name, revision(&format!("{ports:?}{six}"), 5));
    let mut object = Object::new(&service.meta.namespace, &name, slice);
    // Labels of the service are copied, as Kubernetes does.
    object.meta.labels.clone_from(&service.meta.labels);
    object.meta.labels.insert(SERVICE_NAME.into(), service.meta.name.clone());
    object.meta.labels.insert(MANAGED_BY.into(), MANAGER.into());
    object.meta.owner_references = vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Service".into(),
        name: service.meta.name.clone(),
        uid: service.meta.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }];
    object
}

/// The services that slices of a namespace belong to, by slice.
pub(super) fn by_service(view: &View) -> BTreeMap<(&str, &str), Vec<&EndpointSlice>> {
    let mut out: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for (object, slice) in view.all::<EndpointSlice>() {
        if let Some(service) = object.meta.labels.get(SERVICE_NAME) {
            out.entry((&object.meta.namespace, service)).or_default().push(slice);
        }
    }
    out
}

/// The addresses of ready endpoints in a slice.
pub(super) fn ready(slice: &EndpointSlice) -> impl Iterator<Item = (&Endpoint, std::net::IpAddr)> {
    slice
        .endpoints
        .iter()
        .filter(|e| e.conditions.as_ref().is_none_or(|c| c.ready != Some(false)))
        .filter_map(|e| Some((e, e.addresses.first()?.parse().ok()?)))
}

/// Distinct values in order.
pub(super) fn distinct<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.collect::<BTreeSet<T>>().into_iter().collect()
}
