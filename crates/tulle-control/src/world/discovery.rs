//! Which namespaces are read (`discoverySelectors`). What is in the others does not exist for the mesh, but for who their pods
//! are: identities do not depend on it.

use std::collections::{BTreeMap, HashMap};

use tulle_api::kubernetes::PodSelector;
use tulle_api::{Kind, Object};
use tulle_base::Labels;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    root: String,
    selectors: Vec<PodSelector>,
    labels: HashMap<String, Labels>,
}

/// Namespaces that are read from now on (`true`), or no more.
pub(crate) type Turned = BTreeMap<String, bool>;

impl Discovery {
    /// Reads all namespaces until selectors are known; `root` is read whatever they say.
    pub(crate) fn new(root: &str) -> Self {
        Self { root: root.to_owned(), ..Self::default() }
    }

    /// Whether an object is in a namespace that is read, or in none.
    pub(crate) fn sees(&self, object: &Object) -> bool {
        let namespace = object.meta.namespace.as_str();
        namespace.is_empty() || object.kind() == Kind::Namespace || self.reads(namespace)
    }

    /// A namespace has these labels now; none, if it is gone.
    pub(crate) fn label(&mut self, object: &Object, there: bool) -> Turned {
        let name = &object.meta.name;
        let before = self.reads(name);
        if there {
            let mut labels = object.meta.labels.clone();
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
            self.labels.insert(name.clone(), labels);
        } else {
            self.labels.remove(name);
        }
        let now = self.reads(name);
        if before == now { Turned::new() } else { [(name.clone(), now)].into() }
    }

    /// Other selectors are in force. `used` are the namespaces of all objects.
    pub(crate) fn select<'a>(
        &mut self,
        selectors: &[PodSelector],
        used: impl Iterator<Item = &'a str>,
    ) -> Turned {
        if self.selectors == selectors {
            return Turned::new();
        }
        let before: BTreeMap<&str, bool> = used.map(|ns| (ns, self.reads(ns))).collect();
        self.selectors = selectors.to_vec();
        let turned = before.into_iter().filter(|(ns, before)| self.reads(ns) != *before);
        turned.map(|(ns, before)| (ns.to_owned(), !before)).collect()
    }

    fn reads(&self, namespace: &str) -> bool {
        let selects = |labels: &Labels| self.selectors.iter().any(|s| s.matches(labels));
        self.selectors.is_empty() || namespace == self.root || self.labels.get(namespace).is_some_and(selects)
    }
}

#[cfg(test)]
mod tests {
    use tulle_api::kubernetes::{Namespace, Service};

    use super::*;

    fn namespace(name: &str, labels: &[(&str, &str)]) -> Object {
        let mut object = Object::new("", name, Namespace::default());
        object.meta.labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        object
    }

    #[test]
    fn namespaces_come_and_go_with_labels_and_selectors() {
        let mut d = Discovery::new("istio-system");
        let service = |ns: &str| Object::new(ns, "cart", Service::default());
        assert!(d.sees(&service("shop")) && d.label(&namespace("shop", &[]), true).is_empty());
        let selector = PodSelector {
            match_labels: [("mesh".to_owned(), "yes".to_owned())].into(),
            ..PodSelector::default()
        };
        let used = ["shop", "istio-system"];
        let turned = d.select(std::slice::from_ref(&selector), used.into_iter());
        assert_eq!(turned, [("shop".to_owned(), false)].into());
        assert!(!d.sees(&service("shop")) && d.sees(&service("istio-system")) && !d.sees(&service("other")));
        assert!(d.sees(&namespace("shop", &[])), "namespaces themselves are known");
        let turned = d.label(&namespace("shop", &[("mesh", "yes")]), true);
        assert_eq!(turned, [("shop".to_owned(), true)].into());
        assert!(d.select(std::slice::from_ref(&selector), used.into_iter()).is_empty());
        assert_eq!(d.label(&namespace("shop", &[]), false), [("shop".to_owned(), false)].into());
        assert_eq!(d.select(&[], used.into_iter()), [("shop".to_owned(), true)].into());
    }
}
