//! One encoded resource.

use std::sync::Arc;

use bytes::Bytes;
use tulle_base::ResourceRef;
use tulle_proto::Message;

use crate::canonical::canonical;
use crate::sources::Sources;

/// A patch of an EnvoyFilter: the filter, and the patch's place in it.
pub type PatchRef = (ResourceRef, usize);

/// One resource, encoded. Clones share the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name, unique among resources of its type.
    pub name: Arc<str>,
    /// Type URL of the message.
    pub type_url: &'static str,
    /// The message's bytes, in canonical order: equal content gives equal bytes.
    pub body: Bytes,
    /// Hash of the bytes, in hexadecimal: the version that travels.
    pub version: Arc<str>,
    /// The resources of the mesh (`*.istio.io`, `gateway.networking.k8s.io`) that it was made of, sorted.
    pub made_by: Arc<[ResourceRef]>,
    /// The patches of EnvoyFilters that did something to it, each with its place in the filter; sorted.
    pub patched_by: Arc<[PatchRef]>,
}

impl Resource {
    /// Encodes `message`, which was made of `sources`.
    pub(crate) fn new<M: Message>(
        name: impl Into<Arc<str>>,
        type_url: &'static str,
        message: &M,
        sources: Sources,
    ) -> Self {
        let body = Bytes::from(canonical(type_url, &message.to_wire()));
        let version = format!("{:016x}", fnv1a(&body)).into();
        let (made_by, patched_by) = sources.shared();
        Self { name: name.into(), type_url, body, version, made_by, patched_by }
    }

    /// Notes that something else was made of `sources` too.
    fn also_of(&mut self, mut sources: Sources) {
        sources.0.extend(self.made_by.iter().cloned());
        sources.1.extend(self.patched_by.iter().cloned());
        (self.made_by, self.patched_by) = sources.shared();
    }
}

/// FNV-1a over 64 bits: stable between builds and machines, which a version must be, and fast on short input.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Resources being made. What patches remove is not among them, but leaves its mark on one of those that stay, so that it is
/// known that the patch did something.
#[derive(Default)]
pub(crate) struct Resources {
    all: Vec<Resource>,
    removed: Sources,
}

impl Resources {
    /// Adds a resource, or what is left of one that was removed.
    pub(crate) fn add(&mut self, made: Result<Resource, Sources>) {
        match made {
            Ok(resource) => self.all.push(resource),
            Err(sources) => self.removed.extend(sources),
        }
    }

    /// Whether there is one of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.iter().any(|r| &*r.name == name)
    }

    /// The resources, sorted by name.
    pub(crate) fn sorted(self) -> Vec<Resource> {
        let mut all = sorted(self.all);
        if let Some(first) = all.first_mut().filter(|_| !self.removed.1.is_empty()) {
            first.also_of(self.removed);
        }
        all
    }
}

/// Sorts by name.
pub(crate) fn sorted(mut all: Vec<Resource>) -> Vec<Resource> {
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}
