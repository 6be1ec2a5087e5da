//! What every namespace has: itself, and the service account `default`.

use std::collections::BTreeSet;

use tulle_api::kubernetes::{Namespace, ServiceAccount};
use tulle_api::{Kind, Object};

use super::Action;
use super::view::View;

/// Namespaces that are always there.
const ALWAYS: [&str; 3] = ["default", "istio-system", "kube-system"];

pub(super) fn reconcile(view: &View, actions: &mut Vec<Action>) {
    let used = view.iter().filter(|o| o.kind().info().namespaced).map(|o| o.meta.namespace.as_str());
    let named = view.of_kind(Kind::Namespace).map(|o| o.meta.name.as_str());
    let namespaces: BTreeSet<&str> = used.chain(named).chain(ALWAYS).filter(|n| !n.is_empty()).collect();
    for namespace in namespaces {
        // One that is being emptied gets nothing new.
        if view.get::<Namespace>("", namespace).is_some_and(|(o, _)| o.meta.deletion_timestamp.is_some()) {
            continue;
        }
        if view.get::<Namespace>("", namespace).is_none() {
            let mut object = Object::new("", namespace, Namespace::default());
            object.meta.labels.insert("kubernetes.io/metadata.name".into(), namespace.into());
            actions.push(Action::Put(Box::new(object)));
        }
        if view.get::<ServiceAccount>(namespace, "default").is_none() {
            let object = Object::new(namespace, "default", ServiceAccount::default());
            actions.push(Action::Put(Box::new(object)));
        }
    }
}
