//! A document as a tree in which every value knows its line and column.

use serde_json::{Map, Number, Value};

/// One value of a document, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub data: Data,
    /// Line, from 1; 0 when the value did not come from a file.
    pub line: u32,
    /// Column in characters, from 1; 0 when the value did not come from a file.
    pub column: u32,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Nothing: `null`, `~` or an empty value.
    Null,
    /// A boolean, with the text that was read as one (`yes` and `on` are, as in Kubernetes' YAML).
    Bool(bool, Box<str>),
    /// A whole number, with the text that was read as one.
    Int(i128, Box<str>),
    /// A number with a fraction or exponent, with its text.
    Float(f64, Box<str>),
    /// Text.
    String(Box<str>),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the document; keys are unique.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key; a scalar key that is not text is kept as its text.
    pub key: Box<str>,
    /// Line of the key.
    pub line: u32,
    /// Column of the key.
    pub column: u32,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A node without a place.
    pub fn new(data: Data) -> Self {
        Self { data, line: 0, column: 0 }
    }

    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|e| &*e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this is `null` or an empty value.
    pub fn is_null(&self) -> bool {
        self.data == Data::Null
    }

    /// What this is, in words that continue "is ": `a list`, `the number 5`, ...
    pub fn describe(&self) -> String {
        match &self.data {
            Data::Null => "empty".into(),
            Data::Bool(_, text) => format!("the boolean {text}"),
            Data::Int(_, text) | Data::Float(_, text) => format!("the number {text}"),
            Data::String(text) if text.chars().count() <= 40 => format!("the text {text:?}"),
            Data::String(_) => "text".into(),
            Data::List(_) => "a list".into(),
            Data::Map(_) => "a mapping".into(),
        }
    }

    /// The place of the value at `path` (written as [`tulle_base::FieldPath`] writes it), or of the nearest
    /// value above it that exists.
    pub fn locate(&self, path: &str) -> (u32, u32) {
        let (mut node, mut place) = (self, (self.line, self.column));
        for step in steps(path) {
            let next = match (&node.data, step) {
                (Data::Map(entries), Step::Field(name)) => entries.iter().find(|e| *e.key == *name),
                (Data::List(items), Step::Index(i)) => {
                    let Some(item) = items.get(i) else { break };
                    (node, place) = (item, (item.line, item.column));
                    continue;
                }
                _ => None,
            };
            let Some(entry) = next else { break };
            (node, place) = (&entry.value, (entry.line, entry.column));
        }
        place
    }

    /// Whether the document has a value at `path`.
    pub fn has(&self, path: &str) -> bool {
        let mut node = self;
        for step in steps(path) {
            let next = match (&node.data, step) {
                (Data::Map(entries), Step::Field(name)) => {
                    entries.iter().find(|e| *e.key == *name).map(|e| &e.value)
                }
                (Data::List(items), Step::Index(i)) => items.get(i),
                _ => None,
            };
            let Some(next) = next else { return false };
            node = next;
        }
        true
    }

    /// The tree as JSON, without places.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(b, _) => Value::Bool(*b),
            Data::Int(i, _) => i64::try_from(*i)
                .map(Number::from)
                .or_else(|_| u64::try_from(*i).map(Number::from))
                .ok()
                .or_else(|| Number::from_i128(*i))
                .map_or(Value::Null, Value::Number),
            Data::Float(f, _) => Number::from_f64(*f).map_or(Value::Null, Value::Number),
            Data::String(s) => Value::String(s.to_string()),
            Data::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.to_string(), e.value.to_json())).collect())
            }
        }
    }

    /// JSON as a tree without places (line 0).
    pub fn from_json(value: &Value) -> Self {
        Self::new(match value {
            Value::Null => Data::Null,
            Value::Bool(b) => Data::Bool(*b, b.to_string().into()),
            Value::Number(n) => match n.as_i128() {
                Some(i) => Data::Int(i, n.to_string().into()),
                None => Data::Float(n.as_f64().unwrap_or(f64::NAN), n.to_string().into()),
            },
            Value::String(s) => Data::String(s.as_str().into()),
            Value::Array(items) => Data::List(items.iter().map(Self::from_json).collect()),
            Value::Object(map) => Data::Map(entries_of(map)),
        })
    }
}

fn entries_of(map: &Map<String, Value>) -> Vec<Entry> {
    map.iter()
        .map(|(k, v)| Entry { key: k.as_str().into(), line: 0, column: 0, value: Node::from_json(v) })
        .collect()
}

enum Step {
    Field(String),
    Index(usize),
}

/// Splits `spec.http[2].headers["a.b"]` into its steps; what cannot be read ends the walk.
fn steps(path: &str) -> Vec<Step> {
    let (mut out, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let Some(end) = quoted.find("\"]") else { break };
            out.push(Step::Field(quoted[..end].replace("\\\"", "\"").replace("\\\\", "\\")));
            rest = &quoted[end + 2..];
        } else if let Some(index) = rest.strip_prefix('[') {
            let Some(end) = index.find(']') else { break };
            let Ok(i) = index[..end].parse() else { break };
            out.push(Step::Index(i));
            rest = &index[end + 1..];
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            out.push(Step::Field(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locates_the_nearest_value() {
        let entry = |key: &str, line, value| Entry { key: key.into(), line, column: 1, value };
        let leaf = Node { data: Data::Null, line: 9, column: 4 };
        let list = Node { data: Data::List(vec![leaf]), line: 8, column: 3 };
        let root = Node { data: Data::Map(vec![entry("a.b", 7, list)]), line: 1, column: 1 };
        assert_eq!(root.locate("[\"a.b\"][0]"), (9, 4));
        assert_eq!(root.locate("[\"a.b\"][3].x"), (7, 1));
        assert_eq!(root.locate("nothing.here"), (1, 1));
        let has = ["", "[\"a.b\"]", "[\"a.b\"][0]", "[\"a.b\"][3]", "nothing"].map(|p| root.has(p));
        assert_eq!(has, [true, true, true, false, false]);
    }

    #[test]
    fn json_round_trip() {
        let json =
            serde_json::json!({"a": [1, 2.5, "x", null, true], "b": {"c": 18_446_744_073_709_551_615u64}});
        assert_eq!(Node::from_json(&json).to_json(), json);
    }
}
