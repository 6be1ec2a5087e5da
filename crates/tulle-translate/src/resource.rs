//! One encoded resource.

use std::sync::Arc;

use bytes::Bytes;
use prost::{Message, Name};
use tulle_base::ResourceRef;

use crate::canonical::canonical;
use crate::sources::Sources;

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
}

impl Resource {
    /// Encodes `message`, which was made of `sources`.
    pub(crate) fn new<M: Message + Name>(
        name: impl Into<Arc<str>>,
        type_url: &'static str,
        message: &M,
        sources: Sources,
    ) -> Self {
        let body = Bytes::from(canonical(type_url, &message.encode_to_vec()));
        let version = format!("{:016x}", fnv1a(&body)).into();
        Self { name: name.into(), type_url, body, version, made_by: sources.shared() }
    }
}

/// FNV-1a over 64 bits: stable between builds and machines, which a version must be, and fast on short input.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Sorts by name.
pub(crate) fn sorted(mut all: Vec<Resource>) -> Vec<Resource> {
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}
