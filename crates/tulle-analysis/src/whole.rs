//! A whole configuration, and what is looked up in it.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tulle_api::istio::Gateway;
use tulle_api::{Kind, Object, Resource};
use tulle_base::ResourceRef;
use tulle_mesh::{Change, MeshConfig, NsName, Snapshot};

use crate::reason::calls::Calls;
use crate::reason::fronts::Fronts;
use crate::reason::pods::PodIndex;
use crate::reason::policies::Policies;

/// A whole configuration. Indexes are made when they are first asked for, once per analysis.
#[derive(Debug)]
pub struct Whole<'a> {
    objects: &'a [Arc<Object>],
    by_kind: BTreeMap<Kind, Vec<&'a Object>>,
    snapshot: Snapshot,
    looked_at: Cell<u64>,
    by_name: OnceCell<HashMap<ResourceRef, &'a Object>>,
    pods: OnceCell<PodIndex<'a>>,
    fronts: OnceCell<Fronts>,
    calls: OnceCell<Calls>,
    policies: OnceCell<Policies<'a>>,
}

impl<'a> Whole<'a> {
    /// The configuration made of `objects` under the settings of `mesh`.
    pub fn new(objects: &'a [Arc<Object>], mesh: MeshConfig) -> Self {
        let changes: Vec<Change> = objects.iter().map(|o| Change::Put(Arc::clone(o))).collect();
        let (snapshot, _) = Snapshot::new(mesh).apply(&changes);
        let mut by_kind: BTreeMap<Kind, Vec<&Object>> = BTreeMap::new();
        for object in objects {
            by_kind.entry(object.kind()).or_default().push(object);
        }
        Self {
            objects,
            by_kind,
            snapshot,
            looked_at: Cell::new(0),
            by_name: OnceCell::new(),
            pods: OnceCell::new(),
            fronts: OnceCell::new(),
            calls: OnceCell::new(),
            policies: OnceCell::new(),
        }
    }

    /// Every object, in the order given.
    pub fn objects(&self) -> impl Iterator<Item = &'a Object> + Clone {
        let objects: &'a [Arc<Object>] = self.objects;
        objects.iter().map(|o| &**o)
    }

    /// Every object of `R`'s kind with its content, in the order given.
    pub fn all<R: Resource + 'static>(&self) -> impl Iterator<Item = (&'a Object, &'a R)> {
        let all = self.by_kind.get(&R::KIND).map_or(&[][..], Vec::as_slice);
        self.looked_at.set(self.looked_at.get() + all.len() as u64);
        all.iter().filter_map(|o| Some((*o, o.get::<R>()?)))
    }

    /// The object of this name.
    pub fn object(&self, reference: &ResourceRef) -> Option<&'a Object> {
        let index = self.by_name.get_or_init(|| self.objects().map(|o| (o.resource(), o)).collect());
        index.get(reference).copied()
    }

    /// The Gateway of this name.
    pub fn gateway(&self, name: &NsName) -> Option<&'a Gateway> {
        let info = Kind::Gateway.info();
        self.object(&ResourceRef::new(info.group, info.kind, &*name.namespace, &*name.name))?.get()
    }

    /// Every namespace that an object names or is in.
    pub fn namespaces(&self) -> BTreeSet<&'a str> {
        let of = |o: &'a Object| match o.kind() {
            Kind::Namespace => o.meta.name.as_str(),
            _ => o.meta.namespace.as_str(),
        };
        self.objects().map(of).filter(|n| !n.is_empty()).collect()
    }

    /// How many objects and pods were looked at so far: a measure of work that does not depend on the machine.
    pub fn looked_at(&self) -> u64 {
        self.looked_at.get() + self.pods.get().map_or(0, PodIndex::looked_at)
    }

    /// The model of the configuration, as the control plane has it.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The settings of the mesh.
    pub fn mesh(&self) -> &MeshConfig {
        self.snapshot.mesh()
    }

    /// The namespace whose policies hold for everyone.
    pub fn root_namespace(&self) -> &str {
        &self.snapshot.mesh().root_namespace
    }

    /// The pods that run or will run.
    pub fn pods(&self) -> &PodIndex<'a> {
        self.pods.get_or_init(|| PodIndex::new(self))
    }

    /// Which services stand in front of which pods.
    pub fn fronts(&self) -> &Fronts {
        self.fronts.get_or_init(|| Fronts::new(&self.snapshot, self.pods()))
    }

    /// Who calls whom, as far as configuration tells.
    pub fn calls(&self) -> &Calls {
        self.calls.get_or_init(|| Calls::new(self, self.pods(), self.fronts()))
    }

    /// The AuthorizationPolicies that sidecars enforce.
    pub fn policies(&self) -> &Policies<'a> {
        self.policies.get_or_init(|| Policies::new(self))
    }
}
