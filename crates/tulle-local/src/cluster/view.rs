//! All objects at one moment, by kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use tulle_api::kubernetes::Namespace;
use tulle_api::{Kind, Object, Resource};
use tulle_base::Labels;

/// All objects at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    objects: BTreeMap<Kind, BTreeMap<(String, String), Arc<Object>>>,
}

impl View {
    /// A view of these objects.
    pub fn new(objects: impl IntoIterator<Item = Arc<Object>>) -> Self {
        let mut view = Self::default();
        for object in objects {
            let key = (object.meta.namespace.clone(), object.meta.name.clone());
            view.objects.entry(object.kind()).or_default().insert(key, object);
        }
        view
    }

    /// The objects of `R`'s kind, by namespace and name.
    pub fn all<'v, R: Resource + 'v>(&'v self) -> impl Iterator<Item = (&'v Arc<Object>, &'v R)> {
        self.of_kind(R::KIND).filter_map(|o| Some((o, o.get::<R>()?)))
    }

    /// The objects of a kind, by namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    /// One object.
    pub fn get<R: Resource>(&self, namespace: &str, name: &str) -> Option<(&Arc<Object>, &R)> {
        let object = self.find(R::KIND, namespace, name)?;
        Some((object, object.get::<R>()?))
    }

    /// One object by its kind.
    pub fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.objects.get(&kind)?.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Every object.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values().flat_map(BTreeMap::values)
    }

    /// The labels of a namespace; none if there is no such namespace.
    pub fn namespace_labels(&self, namespace: &str) -> Labels {
        self.get::<Namespace>("", namespace).map(|(o, _)| o.meta.labels.clone()).unwrap_or_default()
    }
}
