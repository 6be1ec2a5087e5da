//! What documents of the Gateway API say of themselves beside the conditions of all resources: a Gateway of its listeners, a
//! route of its parents (GatewayStatus and RouteStatus).

use serde_json::{Map, Value, json};
use tulle_base::ResourceRef;
use tulle_mesh::NsName;
use tulle_mesh::Snapshot;
use tulle_mesh::ingress::IngressState;
use tulle_mesh::kube::{
    Finding, GROUP, GatewayState, ListenerSetState, ListenerState, ParentState, PolicyState, Reach,
    RouteState,
};

use super::conditions::cut;
use super::features;

/// What became of a document of the Gateway API, or of an Ingress.
pub(crate) enum Kube<'a> {
    /// A Gateway, and how many routes are attached to each listener.
    Gateway(&'a GatewayState, Vec<usize>),
    /// A class that is this mesh's.
    Class,
    /// A ListenerSet, and how many routes are attached to each listener.
    ListenerSet(&'a ListenerSetState, Vec<usize>),
    /// A route.
    Route(&'a RouteState),
    /// A policy.
    Policy(PolicyState),
    /// An Ingress.
    Ingress(&'a IngressState),
}

impl<'a> Kube<'a> {
    /// What `snapshot` has of `resource`; `None` for other kinds, and for what others serve.
    pub(crate) fn of(snapshot: &'a Snapshot, resource: &ResourceRef) -> Option<Self> {
        if resource.kind == "Ingress" {
            return snapshot.ingress_state(resource).map(|state| Self::Ingress(state));
        }
        if resource.group != GROUP {
            return None;
        }
        if resource.kind == "Gateway" {
            let name = NsName::new(&*resource.namespace, &*resource.name);
            let state = snapshot.gateway_state(&name)?;
            let attached = state.listeners.iter().map(|l| snapshot.attached_routes(l)).collect();
            return Some(Self::Gateway(state, attached));
        }
        if resource.kind == "GatewayClass" {
            return snapshot.is_modelled(resource).then_some(Self::Class);
        }
        if resource.kind == "ListenerSet" {
            let name = NsName::new(&*resource.namespace, &*resource.name);
            let state = snapshot.listener_set_state(&name)?;
            let attached = state.listeners.iter().map(|l| snapshot.attached_routes(l)).collect();
            return Some(Self::ListenerSet(state, attached));
        }
        if let Some(state) = snapshot.policy_state(resource) {
            return Some(Self::Policy(state));
        }
        snapshot.route_state(resource).map(|state| Self::Route(state))
    }

    /// The listeners of a Gateway that are not served; and whether others are.
    pub(crate) fn invalid_listeners(&self) -> (Vec<&str>, bool) {
        let listeners = match self {
            Self::Gateway(state, _) => &state.listeners,
            Self::ListenerSet(state, _) if state.accepted.holds => &state.listeners,
            _ => return (Vec::new(), false),
        };
        let invalid = listeners.iter().filter(|l| l.gateway.is_none());
        (invalid.map(|l| l.name.as_str()).collect(), listeners.iter().any(|l| l.gateway.is_some()))
    }

    /// Why it is not taken as a whole, in one word of the Gateway API, where there is one.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::ListenerSet(state, _) if !state.accepted.holds => Some(state.accepted.reason),
            _ => None,
        }
    }

    /// Adds to `status`; `programmed` is the condition of the whole, with its message.
    pub(crate) fn add_to(&self, status: &mut Value, generation: Option<i64>, programmed: (bool, &str)) {
        match self {
            Self::Class => {
                let names = features::SUPPORTED.iter().map(|name| json!({"name": name}));
                status["supportedFeatures"] = names.collect();
            }
            Self::ListenerSet(state, attached) => {
                let listeners = state.listeners.iter().zip(attached);
                let listeners = listeners.map(|(l, n)| listener(l, *n, generation, programmed));
                status["listeners"] = listeners.collect();
            }
            Self::Gateway(state, attached) => {
                let listeners = state.listeners.iter().zip(attached);
                let listeners = listeners.map(|(l, n)| listener(l, *n, generation, programmed));
                status["listeners"] = listeners.collect();
                if state.listener_sets > 0 {
                    status["attachedListenerSets"] = json!(state.listener_sets);
                }
                let of = |kind: &str, value: &String| json!({"type": kind, "value": value});
                let outside = state.addresses.iter().map(|ip| of("IPAddress", ip));
                let inside = state.services.iter().map(|host| of("Hostname", host));
                status["addresses"] = outside.chain(inside).collect();
            }
            Self::Policy(PolicyState { accepted, resolved, ancestors }) => {
                let one = |(name, controller): &(NsName, String)| {
                    let NsName { namespace, name } = name;
                    json!({
                        "ancestorRef": {"group": GROUP, "kind": "Gateway", "namespace": namespace, "name": name},
                        "controllerName": controller,
                        "conditions": [
                            condition("Accepted", accepted, generation),
                            condition("ResolvedRefs", resolved, generation),
                        ],
                    })
                };
                status["ancestors"] = ancestors.iter().map(one).collect();
            }
            Self::Ingress(IngressState { service, addresses, .. }) => {
                let outside = addresses.iter().map(|ip| json!({"ip": ip}));
                let inside = service.iter().filter(|_| addresses.is_empty());
                let all: Value = outside.chain(inside.map(|host| json!({"hostname": host}))).collect();
                status["loadBalancer"] = json!({"ingress": all});
            }
            Self::Route(state) => {
                status["parents"] = state.parents.iter().map(|p| parent(p, generation)).collect();
            }
        }
    }
}

fn listener(l: &ListenerState, attached: usize, generation: Option<i64>, programmed: (bool, &str)) -> Value {
    let note = match &l.reach {
        Reach::AsWritten => String::new(),
        Reach::At(note) | Reach::Limited(note) => note.clone(),
    };
    let in_force = match (&l.gateway, programmed) {
        (None, _) => Finding::no("Invalid", "it is not served: see the other conditions"),
        (Some(_), (false, message)) => Finding::no("Pending", message),
        (Some(_), (true, _)) => Finding { message: note, ..Finding::yes("Programmed") },
    };
    let kinds = l.kinds.iter().map(|k| json!({"group": GROUP, "kind": k.as_str()}));
    json!({
        "name": l.name,
        "supportedKinds": kinds.collect::<Value>(),
        "attachedRoutes": attached,
        "conditions": [
            condition("Accepted", &l.accepted, generation),
            condition("Conflicted", &l.conflicted, generation),
            condition("Programmed", &in_force, generation),
            condition("ResolvedRefs", &l.resolved, generation),
        ],
    })
}

fn parent(p: &ParentState, generation: Option<i64>) -> Value {
    let mut conditions = vec![
        condition("Accepted", &p.accepted, generation),
        condition("ResolvedRefs", &p.resolved, generation),
    ];
    if let Some(message) = &p.partially_invalid {
        let finding = Finding { message: message.clone(), ..Finding::yes("UnsupportedValue") };
        conditions.push(condition("PartiallyInvalid", &finding, generation));
    }
    json!({"parentRef": p.parent.written, "controllerName": p.controller, "conditions": conditions})
}

fn condition(kind: &str, finding: &Finding, generation: Option<i64>) -> Value {
    let Finding { holds, reason, message } = finding;
    let mut condition = Map::new();
    condition.insert("type".into(), kind.into());
    condition.insert("status".into(), if *holds { "True" } else { "False" }.into());
    condition.insert("reason".into(), (*reason).into());
    condition.insert("message".into(), cut(message.clone()).into());
    if let Some(generation) = generation {
        condition.insert("observedGeneration".into(), generation.into());
    }
    Value::Object(condition)
}
