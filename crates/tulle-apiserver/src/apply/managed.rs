//! `metadata.managedFields`: who owns which fields.

use serde_json::{Map, Value, json};

use super::set::Set;

/// Entries of updates that are kept; older ones become one.
const MAX_UPDATERS: usize = 10;
/// The manager that stands for the oldest updates.
const ANCIENT: &str = "ancient-changes";

/// How a manager came to own its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One entry: a manager with its fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The manager, such as `kubectl-client-side-apply`.
    pub manager: String,
    /// How it wrote.
    pub operation: Operation,
    /// The version that it wrote.
    pub api_version: String,
    /// The subresource that it wrote; empty for the object itself.
    pub subresource: String,
    /// When its set of fields last changed.
    pub time: Option<String>,
    /// The fields.
    pub fields: Set,
}

impl Entry {
    /// Whether both are of the same manager. An applier is the same in every version.
    pub(super) fn same_manager(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn read(value: &Value) -> Result<Self, String> {
        let text = |name: &str| match value.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(format!("{name} must be text, not {other}")),
        };
        let operation = match text("operation")?.as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            other => return Err(format!("operation must be Apply or Update, not {other:?}")),
        };
        match text("fieldsType")?.as_str() {
            "FieldsV1" => {}
            other => return Err(format!("fieldsType must be FieldsV1, not {other:?}")),
        }
        let api_version = text("apiVersion")?;
        if api_version.is_empty() {
            return Err("apiVersion is required".to_owned());
        }
        let fields = value.get("fieldsV1").map_or_else(|| Ok(Set::default()), Set::from_json)?;
        let (manager, subresource) = (text("manager")?, text("subresource")?);
        let time = Some(text("time")?).filter(|t| !t.is_empty());
        Ok(Self { manager, operation, api_version, subresource, time, fields })
    }

    fn write(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager,
            "operation": self.operation.as_str(),
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_json(),
        });
        if let Some(time) = &self.time {
            entry["time"] = json!(time);
        }
        if !self.subresource.is_empty() {
            entry["subresource"] = json!(self.subresource);
        }
        entry
    }
}

/// All entries of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Managed(pub Vec<Entry>);

impl Managed {
    /// Reads the entries of `object`; none if it has none.
    ///
    /// # Errors
    /// A sentence about the first entry that is malformed.
    pub fn of(object: &Value) -> Result<Self, String> {
        match object.get("metadata").and_then(|m| m.get("managedFields")) {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Array(entries)) => {
                let read =
                    |(i, entry)| Entry::read(entry).map_err(|e| format!("metadata.managedFields[{i}]: {e}"));
                entries.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
            }
            Some(other) => Err(format!("metadata.managedFields must be a list, not {other}")),
        }
    }

    /// Writes the entries into `object`: appliers first, then by time.
    pub(super) fn write_into(mut self, object: &mut Value) {
        self.cap();
        self.0.retain(|e| !e.fields.is_empty());
        self.0.sort_by(|a, b| {
            let key = |e: &Entry| (e.operation, e.time.clone(), e.manager.clone(), e.subresource.clone());
            key(a).cmp(&key(b))
        });
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        let Some(metadata) = metadata.as_object_mut() else { return };
        if self.0.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), self.0.iter().map(Entry::write).collect());
        }
    }

    /// The fields of all entries but `entry`.
    pub(super) fn others(&self, entry: &Entry) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(move |e| !e.same_manager(entry))
    }

    /// Joins the oldest updates until no more than the limit are left, so that writers under ever new names cannot make
    /// the object grow.
    fn cap(&mut self) {
        let updates = |m: &Self| m.0.iter().filter(|e| e.operation == Operation::Update).count();
        if updates(self) <= MAX_UPDATERS {
            return;
        }
        self.0.sort_by(|a, b| (a.operation, &a.time).cmp(&(b.operation, &b.time)));
        let first = self.0.iter().position(|e| e.operation == Operation::Update).unwrap_or(self.0.len());
        let surplus = updates(self) - MAX_UPDATERS + 1;
        let mut ancient: Vec<Entry> = Vec::new();
        for entry in self.0.drain(first..first + surplus) {
            let same =
                |a: &&mut Entry| a.api_version == entry.api_version && a.subresource == entry.subresource;
            match ancient.iter_mut().find(same) {
                Some(old) => {
                    old.fields.add(&entry.fields);
                    old.time = entry.time.max(old.time.take());
                }
                None => ancient.push(Entry { manager: ANCIENT.to_owned(), ..entry }),
            }
        }
        self.0.extend(ancient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, time: usize) -> Entry {
        Entry {
            manager: manager.into(),
            operation: Operation::Update,
            api_version: "v1".into(),
            subresource: String::new(),
            time: Some(format!("2026-08-01T10:00:{time:02}Z")),
            fields: Set::from_json(&json!({format!("f:{manager}"): {}})).unwrap(),
        }
    }

    #[test]
    fn many_updaters_become_one() {
        let managed = Managed((0..30).map(|i| entry(&format!("m{i}"), i)).collect());
        let mut object = json!({});
        managed.write_into(&mut object);
        let read = Managed::of(&object).unwrap().0;
        assert_eq!(read.len(), 10);
        assert_eq!(read[0].manager, "ancient-changes");
        assert_eq!(read[0].fields.paths().len(), 21);
        assert_eq!(read[9].manager, "m29");
    }

    #[test]
    fn malformed_entries_are_named() {
        let object = json!({"metadata": {"managedFields": [{"manager": "m", "operation": "Write"}]}});
        let problem = Managed::of(&object).unwrap_err();
        assert_eq!(problem, "metadata.managedFields[0]: operation must be Apply or Update, not \"Write\"");
    }
}
