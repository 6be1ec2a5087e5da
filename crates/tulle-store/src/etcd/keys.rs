//! Keys and values, laid out as in the registry of Kubernetes.
//!
//! `PREFIX/GROUP/PLURAL/NAMESPACE/NAME`, without the group where it is the core group and without the namespace where the kind has
//! none. A value is the object as the Kubernetes API writes it, in JSON, without its `resourceVersion`, which is the revision of the
//! key's last change.

use serde_json::Value;
use tulle_api::{Kind, Object, decode_object};

use super::messages::KeyValue;
use crate::decide::Key;
use crate::store::Filter;

/// Where keys begin, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    root: String,
    kinds: Vec<(Kind, String)>,
}

impl Prefix {
    /// From a path such as `/tulle`.
    pub(super) fn new(path: &str) -> Self {
        let root = format!("/{}", path.trim_matches('/')).trim_end_matches('/').to_owned();
        let of_kind = |kind: Kind| {
            let info = kind.info();
            let group = if info.group.is_empty() { String::new() } else { format!("{}/", info.group) };
            format!("{root}/{group}{}/", info.plural)
        };
        let kinds = Kind::ALL.iter().map(|kind| (*kind, of_kind(*kind))).collect();
        Self { root, kinds }
    }

    /// Where an object is.
    pub(super) fn key(&self, (kind, namespace, name): &Key) -> String {
        if kind.info().namespaced {
            format!("{}{namespace}/{name}", self.of_kind(*kind))
        } else {
            format!("{}{name}", self.of_kind(*kind))
        }
    }

    fn of_kind(&self, kind: Kind) -> &str {
        self.kinds.iter().find(|(k, _)| *k == kind).map_or("", |(_, beginning)| beginning)
    }

    /// The beginnings of all keys that may pass `filter`; everything that passes has one of them.
    pub(super) fn beginnings(&self, filter: &Filter) -> Vec<String> {
        if filter.kinds.is_empty() {
            return vec![format!("{}/", self.root)];
        }
        let mut kinds = filter.kinds.clone();
        kinds.sort_unstable();
        kinds.dedup();
        let beginning = |kind: &Kind| match &filter.namespace {
            Some(namespace) if kind.info().namespaced => format!("{}{namespace}/", self.of_kind(*kind)),
            _ => self.of_kind(*kind).to_owned(),
        };
        kinds.iter().map(beginning).collect()
    }

    /// What a key is about; `None` if it is not one of ours.
    pub(super) fn parse(&self, key: &str) -> Option<Key> {
        let (kind, rest) = self
            .kinds
            .iter()
            .find_map(|(kind, beginning)| Some((*kind, key.strip_prefix(beginning.as_str())?)))?;
        let (namespace, name) = if kind.info().namespaced { rest.split_once('/')? } else { ("", rest) };
        let fits = !name.is_empty() && !name.contains('/');
        fits.then(|| (kind, namespace.to_owned(), name.to_owned()))
    }

    /// The object in a key and its value.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub(super) fn decode(&self, kv: &KeyValue) -> Result<Object, String> {
        let key = std::str::from_utf8(&kv.key).map_err(|_| "its key is not text".to_owned())?;
        let place =
            self.parse(key).ok_or("its key is not the place of an object of a kind that is known here")?;
        if kv.value.starts_with(b"k8s\0") {
            return Err("it is in the binary format of Kubernetes' own API server".to_owned());
        }
        let json: Value = serde_json::from_slice(&kv.value).map_err(|e| format!("it is not JSON: {e}"))?;
        let mut object = decode_object(&json).map_err(|problems| {
            problems.first().map_or_else(|| "it is not an object".to_owned(), ToString::to_string)
        })?;
        let (kind, namespace, name) = &place;
        if (object.kind(), &object.meta.namespace, &object.meta.name) != (*kind, namespace, name) {
            return Err(format!("it is the object {}, which belongs somewhere else", object.resource()));
        }
        object.meta.resource_version = kv.mod_revision.to_string();
        Ok(object)
    }
}

/// The value of an object.
pub(super) fn encode(object: &Object) -> Vec<u8> {
    let mut json = object.to_json();
    if let Some(meta) = json.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("resourceVersion");
    }
    json.to_string().into_bytes()
}

/// The end of the range of keys that begin with `beginning` (etcd's `range_end` of a prefix).
pub(super) fn end_of(beginning: &[u8]) -> Vec<u8> {
    let mut end = beginning.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    // Every key.
    vec![0]
}

/// The longest common beginning, for one watch over several.
pub(super) fn common(beginnings: &[String]) -> String {
    let Some((first, rest)) = beginnings.split_first() else { return String::new() };
    let shared = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let length = rest.iter().map(|other| shared(first, other)).min().unwrap_or(first.len());
    first.get(..length).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_in_kubernetes() {
        let prefix = Prefix::new("/registry/");
        let check = |kind: Kind, namespace: &str, name: &str, wanted: &str| {
            let key = (kind, namespace.to_owned(), name.to_owned());
            assert_eq!(prefix.key(&key), wanted);
            assert_eq!(prefix.parse(wanted), Some(key));
        };
        check(Kind::ConfigMap, "default", "a", "/registry/configmaps/default/a");
        check(Kind::Namespace, "", "shop", "/registry/namespaces/shop");
        let of_istio = "/registry/networking.istio.io/virtualservices/shop/cart";
        check(Kind::VirtualService, "shop", "cart", of_istio);
        for other in [
            "/registry/leases/x",
            "/other/configmaps/a/b",
            "/registry/configmaps/a",
            "/registry/configmaps/a/b/c",
        ] {
            assert_eq!(prefix.parse(other), None, "{other}");
        }
        assert_eq!(Prefix::new(""), Prefix::new("/"));
        assert_eq!(Prefix::new("").key(&(Kind::ConfigMap, "a".into(), "b".into())), "/configmaps/a/b");
    }

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        let prefix = Prefix::new("t");
        for kind in Kind::ALL {
            let namespace = if kind.info().namespaced { "n" } else { "" };
            let key = (*kind, namespace.to_owned(), "x".to_owned());
            assert_eq!(prefix.parse(&prefix.key(&key)), Some(key));
        }
    }

    #[test]
    fn ranges_end_after_the_last_key() {
        assert_eq!(end_of(b"/a/"), b"/a0");
        assert_eq!(end_of(&[b'a', 0xff]), b"b");
        assert_eq!(end_of(&[0xff]), [0]);
        let all = ["/t/apps/deployments/".to_owned(), "/t/apps/replicasets/".to_owned()];
        assert_eq!(common(&all), "/t/apps/");
        assert_eq!(common(&all[..1]), all[0]);
    }
}
