//! One encoded resource.

use std::sync::Arc;

use bytes::Bytes;
use prost::{Message, Name};

use crate::canonical::canonical;

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
}

impl Resource {
    /// Encodes `message`.
    pub(crate) fn new<M: Message + Name>(
        name: impl Into<Arc<str>>,
        type_url: &'static str,
        message: &M,
    ) -> Self {
        let body = Bytes::from(canonical(type_url, &message.encode_to_vec()));
        let version = format!("{:016x}", fnv1a(&body)).into();
        Self { name: name.into(), type_url, body, version }
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
