//! Sets of fields: what a manager owns, and what a change touched.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// Nesting at which reading a set stops; deeper than any object that can be read.
const MAX_DEPTH: usize = 256;

/// One step of a path into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A field of a record or key of a mapping.
    Field(String),
    /// The element of a list whose key fields have these values, as JSON with sorted names.
    Key(String),
    /// The element of a set with this value, as JSON.
    Value(String),
    /// The element at this index.
    Index(usize),
}

impl Element {
    /// The field `name`.
    pub fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    fn read(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is not a path element of fieldsV1");
        let (kind, rest) = text.split_once(':').ok_or_else(malformed)?;
        Ok(match kind {
            "f" => Self::Field(rest.to_owned()),
            "k" => match serde_json::from_str::<Value>(rest) {
                Ok(Value::Object(keys)) if !keys.is_empty() => Self::Key(canonical(&keys)),
                _ => return Err(malformed()),
            },
            "v" => {
                let value: Value = serde_json::from_str(rest).map_err(|_| malformed())?;
                Self::Value(value.to_string())
            }
            "i" => Self::Index(rest.parse().map_err(|_| malformed())?),
            _ => return Err(malformed()),
        })
    }

    fn write(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

/// JSON of a mapping with its names in order, whatever order the mapping keeps.
pub(super) fn canonical(keys: &Map<String, Value>) -> String {
    let sorted: BTreeMap<&String, &Value> = keys.iter().collect();
    serde_json::to_string(&sorted).unwrap_or_default()
}

/// Written as Kubernetes writes it in conflicts: `.spec.containers[name="web"].image`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(text) => {
                let keys: BTreeMap<String, Value> = serde_json::from_str(text).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A set of paths into an object, as a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Whether the path that leads here is in the set.
    pub here: bool,
    /// What is in the set below.
    pub below: BTreeMap<Element, Set>,
}

impl Set {
    /// A set of the path that leads here alone.
    pub fn leaf() -> Self {
        Self { here: true, below: BTreeMap::new() }
    }

    /// Whether no path is in it.
    pub fn is_empty(&self) -> bool {
        !self.here && self.below.is_empty()
    }

    /// Adds `set` below `element`.
    pub fn put(&mut self, element: Element, set: Set) {
        if !set.is_empty() {
            self.below.entry(element).or_default().add(&set);
        }
    }

    /// Adds all paths of `other`.
    pub fn add(&mut self, other: &Set) {
        self.here |= other.here;
        for (element, set) in &other.below {
            self.below.entry(element.clone()).or_default().add(set);
        }
    }

    /// Removes the paths of `other`; paths below them stay.
    pub fn subtract(&mut self, other: &Set) {
        self.here &= !other.here;
        for (element, set) in &other.below {
            if let Some(own) = self.below.get_mut(element) {
                own.subtract(set);
                if own.is_empty() {
                    self.below.remove(element);
                }
            }
        }
    }

    /// The paths that are in both.
    pub fn intersection(&self, other: &Set) -> Set {
        let mut both = Set { here: self.here && other.here, below: BTreeMap::new() };
        for (element, set) in &self.below {
            if let Some(other) = other.below.get(element) {
                both.put(element.clone(), set.intersection(other));
            }
        }
        both
    }

    /// The part below the fields `names`, if any.
    pub fn at(&self, names: &[&str]) -> Option<&Set> {
        names.iter().try_fold(self, |set, name| set.below.get(&Element::field(name)))
    }

    /// Removes the path of fields `names` and everything below it.
    pub fn cut(&mut self, names: &[&str]) {
        let [first, rest @ ..] = names else {
            *self = Self::default();
            return;
        };
        let first = Element::field(first);
        if let Some(below) = self.below.get_mut(&first) {
            below.cut(rest);
            if below.is_empty() {
                self.below.remove(&first);
            }
        }
    }

    /// Every path, as Kubernetes writes paths in conflicts.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect(&mut String::new(), &mut out);
        out
    }

    fn collect(&self, above: &mut String, out: &mut Vec<String>) {
        if self.here {
            out.push(above.clone());
        }
        for (element, set) in &self.below {
            let length = above.len();
            above.push_str(&element.to_string());
            set.collect(above, out);
            above.truncate(length);
        }
    }

    /// As `fieldsV1` of a managed fields entry.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.here && !self.below.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        for (element, set) in &self.below {
            map.insert(element.write(), set.to_json());
        }
        Value::Object(map)
    }

    /// Reads `fieldsV1` of a managed fields entry.
    ///
    /// # Errors
    /// A sentence that names what is not of its form.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let mut set = Self::read(value, 0)?;
        // The root itself cannot be owned.
        set.here = false;
        Ok(set)
    }

    fn read(value: &Value, depth: usize) -> Result<Self, String> {
        let map = value.as_object().ok_or_else(|| format!("{value} is not a mapping of fieldsV1"))?;
        if depth > MAX_DEPTH {
            return Err(format!("fieldsV1 is nested more than {MAX_DEPTH} levels deep"));
        }
        let mut set = Self { here: map.is_empty(), below: BTreeMap::new() };
        for (name, below) in map {
            if name == "." {
                set.here = true;
            } else {
                set.below.insert(Element::read(name)?, Self::read(below, depth + 1)?);
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_writes_fields_v1() {
        let written = json!({
            "f:metadata": {"f:labels": {".": {}, "f:a/b": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}},
        });
        let set = Set::from_json(&written).unwrap();
        assert_eq!(set.to_json(), written);
        assert_eq!(
            set.paths(),
            [
                ".metadata.finalizers[=\"x\"]",
                ".metadata.labels",
                ".metadata.labels.a/b",
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=80,protocol=\"TCP\"].port",
            ]
        );
    }

    #[test]
    fn names_what_is_malformed() {
        for bad in [json!([]), json!({"x": {}}), json!({"k:{}": {}}), json!({"i:-1": {}}), json!({"f:a": 1})]
        {
            assert!(Set::from_json(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn is_a_set() {
        let a = Set::from_json(&json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}})).unwrap();
        let b = Set::from_json(&json!({"f:a": {"f:b": {}}, "f:d": {}})).unwrap();
        assert_eq!(a.intersection(&b).paths(), [".a.b"]);
        let mut rest = a.clone();
        rest.subtract(&b);
        assert_eq!(rest.paths(), [".a", ".a.c"]);
        rest.add(&b);
        assert_eq!(rest.paths(), [".a", ".a.b", ".a.c", ".d"]);
        rest.cut(&["a"]);
        assert_eq!(rest.paths(), [".d"]);
    }
}
