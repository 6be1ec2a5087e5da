//! One resource, encoded once.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::wire::{Any, WireResource};

/// Hash of a resource's content. Equal content has an equal version in every process of one build, so that a control
/// plane that starts again finds its clients up to date.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The version of `payload`.
    pub fn of(payload: &[u8]) -> Self {
        let mut hasher = foldhash::quality::FixedState::with_seed(0x7475_6c6c_6531).build_hasher();
        hasher.write(payload);
        hasher.write_u64(payload.len() as u64);
        Self(hasher.finish())
    }

    /// Reads what `Display` wrote; `None` for a version that this crate did not make.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An immutable resource as every interested stream shares it.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    name: Arc<str>,
    version: Version,
    encoded: Bytes,
    any: Range<usize>,
    follows: Option<Follow>,
}

/// A resource that a receiver asks for once it has accepted another: a cluster's endpoints.
///
/// Types later in the order wait for it, so that a route never arrives before the endpoints of its new cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Follow {
    /// Type of the resource that will be asked for.
    pub type_url: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Resource {
    /// Encodes `envoy.service.discovery.v3.Resource` around `payload`, which is a message of type `type_url`.
    pub fn new(type_url: &str, name: impl Into<Arc<str>>, payload: Bytes) -> Self {
        let name = name.into();
        let version = Version::of(&payload);
        let any = Any { type_url: type_url.to_owned(), value: payload };
        let any_len = any.encoded_len();
        let wire = WireResource {
            version: version.to_string(),
            resource: Some(any),
            name: name.as_ref().to_owned(),
        };
        let encoded = Bytes::from(wire.encode_to_vec());
        // Fields are written in the order of their numbers: version (1), resource (2), name (3).
        let name_len =
            if name.is_empty() { 0 } else { 1 + prost::length_delimiter_len(name.len()) + name.len() };
        let end = encoded.len() - name_len;
        Self { name, version, encoded, any: end - any_len..end, follows: None }
    }

    /// Says which resource a receiver asks for once it has accepted this one.
    #[must_use]
    pub fn followed_by(mut self, follow: Follow) -> Self {
        self.follows = Some(follow);
        self
    }

    /// Name within its type.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Hash of the payload.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The encoded `Resource`, for delta responses. Cloning shares the bytes.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The encoded `Any` within, for state-of-the-world responses. Shares the same bytes.
    pub fn any(&self) -> Bytes {
        self.encoded.slice(self.any.clone())
    }

    /// What a receiver asks for once it has accepted this one.
    pub fn follows(&self) -> Option<&Follow> {
        self.follows.as_ref()
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ({} bytes)", self.name, self.version, self.encoded.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_any_is_a_slice_of_the_resource() {
        for (name, size) in [("a", 0), ("outbound|80||x", 10), ("", 300), ("n".repeat(200).as_str(), 70_000)]
        {
            let payload = Bytes::from(vec![7u8; size]);
            let r = Resource::new("type.googleapis.com/t", name, payload.clone());
            let any = Any::decode(r.any()).unwrap();
            assert_eq!((any.type_url.as_str(), any.value), ("type.googleapis.com/t", payload));
            let whole = WireResource::decode(r.encoded().clone()).unwrap();
            assert_eq!((whole.name.as_str(), whole.version), (name, r.version().to_string()));
        }
    }

    #[test]
    fn versions_are_stable_and_parse() {
        // Pinned: a change here makes every proxy fetch everything once after an upgrade.
        assert_eq!(Version::of(b"hello").to_string(), "c0b5b343c6aeda3c");
        let v = Version::of(b"x");
        assert_eq!(Version::parse(&v.to_string()), Some(v));
        assert_ne!(v, Version::of(b"y"));
        assert_eq!(Version::parse("v1"), None);
    }
}
