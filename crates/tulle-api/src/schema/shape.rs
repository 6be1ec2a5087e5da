//! What the tables know about the value at one place of an object.

use super::{FieldInfo, Merge, OneofInfo, Record as _, RecordInfo, TypeInfo};
use crate::kind::{Body, KindInfo};
use crate::meta::ObjectMeta;
use crate::status;

/// What the tables know about a value: its type, and how two writers' values become one.
///
/// A walk through an object begins with [`Shape::object`] and goes on with [`Shape::field`] and [`Shape::element`]. A
/// value of which nothing is known merges by field if it is a mapping and as a whole if it is a list.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    of: Of,
    merge: Merge,
    default: Option<&'static str>,
    retain_keys: bool,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    /// A whole object, of this kind if it is one of the table.
    Object(Option<&'static KindInfo>),
    /// A value of this type.
    Type(TypeInfo),
    /// Nothing is known.
    Unknown,
}

impl Shape {
    /// A value of which nothing is known.
    pub const UNKNOWN: Shape = Shape::new(Of::Unknown);

    /// An object of a kind that is not in the table: only its metadata is known.
    pub const ANY_OBJECT: Shape = Shape::new(Of::Object(None));

    const fn new(of: Of) -> Self {
        Self { of, merge: Merge::Granular, default: None, retain_keys: false }
    }

    /// A whole object of a kind.
    pub const fn object(info: &'static KindInfo) -> Self {
        Self::new(Of::Object(Some(info)))
    }

    /// A record by its table.
    pub const fn record(info: &'static RecordInfo) -> Self {
        Self::new(Of::Type(TypeInfo::Record(info)))
    }

    /// How two writers' values become one.
    pub fn merge(&self) -> Merge {
        self.merge
    }

    /// The text that stands for this field where it is not written and a list needs it as a key.
    pub fn default(&self) -> Option<&'static str> {
        self.default
    }

    /// Whether the fields exclude one another, so that a strategic merge patch names those to keep.
    pub fn retain_keys(&self) -> bool {
        self.retain_keys
    }

    /// The type, if it is known and not that of a whole object.
    pub fn ty(&self) -> Option<&TypeInfo> {
        match &self.of {
            Of::Type(ty) => Some(ty),
            Of::Object(_) | Of::Unknown => None,
        }
    }

    /// Whether `name` is a field of the table; no for the keys of mappings and for unknown values.
    pub fn declares(&self, name: &str) -> bool {
        match self.of {
            Of::Object(Some(info)) => matches!(name, "apiVersion" | "kind") || part(info, name).is_some(),
            Of::Object(None) => matches!(name, "apiVersion" | "kind" | "metadata"),
            Of::Type(TypeInfo::Record(info)) => field_of(info, name).is_some(),
            Of::Type(TypeInfo::Oneof(info)) => member_of(info, name).is_some(),
            Of::Type(_) | Of::Unknown => false,
        }
    }

    /// The field or key `name` of this value.
    pub fn field(&self, name: &str) -> Shape {
        let known = match self.of {
            Of::Object(Some(info)) => part(info, name),
            Of::Object(None) if name == "metadata" => Some(Shape::record(ObjectMeta::INFO)),
            Of::Type(TypeInfo::Record(info)) => field_of(info, name).map(of_field),
            Of::Type(TypeInfo::Oneof(info)) => member_of(info, name).map(of_field),
            Of::Type(TypeInfo::Map(of)) => Some(Self::new(Of::Type(*of))),
            Of::Object(None) | Of::Type(_) | Of::Unknown => None,
        };
        known.unwrap_or(Self::UNKNOWN)
    }

    /// An element of this value, if it is a list.
    pub fn element(&self) -> Shape {
        match self.of {
            Of::Type(TypeInfo::List(of)) => Self::new(Of::Type(*of)),
            _ => Self::UNKNOWN,
        }
    }
}

/// A part of a whole object.
fn part(info: &'static KindInfo, name: &str) -> Option<Shape> {
    match name {
        "metadata" => Some(Shape::record(ObjectMeta::INFO)),
        "status" => status::record(info).map(Shape::record),
        "spec" if info.body == Body::Spec => Some(Shape::record(info.record)),
        _ if info.body == Body::Top => field_of(info.record, name).map(of_field),
        _ => None,
    }
}

fn of_field(field: &'static FieldInfo) -> Shape {
    let FieldInfo { ty, merge, default, retain_keys, .. } = *field;
    Shape { of: Of::Type(ty), merge, default, retain_keys }
}

fn field_of(info: &'static RecordInfo, name: &str) -> Option<&'static FieldInfo> {
    info.fields.iter().chain(info.oneofs.iter().flat_map(|g| g.members)).find(|f| is(f, name))
}

fn member_of(info: &'static OneofInfo, name: &str) -> Option<&'static FieldInfo> {
    info.members.iter().find(|f| is(f, name))
}

fn is(field: &FieldInfo, name: &str) -> bool {
    field.name == name || field.alias == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn walks_by_the_tables() {
        let pod = Shape::object(Kind::Deployment.info()).field("spec").field("template").field("spec");
        let containers = pod.field("containers");
        assert_eq!(containers.merge(), Merge::Keyed(&["name"]));
        let ports = containers.element().field("ports");
        assert_eq!(ports.merge(), Merge::Keyed(&["containerPort", "protocol"]));
        assert_eq!(ports.element().field("protocol").default(), Some("TCP"));
        assert!(pod.field("volumes").element().declares("configMap"));
        let meta = Shape::ANY_OBJECT.field("metadata");
        assert_eq!(meta.field("finalizers").merge(), Merge::Set);
        assert!(meta.declares("labels") && !meta.field("labels").declares("app"));
        let status = Shape::object(Kind::VirtualService.info()).field("status");
        assert_eq!(status.field("conditions").merge(), Merge::Keyed(&["type"]));
        assert!(Shape::object(Kind::ConfigMap.info()).declares("data"));
        assert!(!Shape::UNKNOWN.field("a").element().declares("b"));
    }
}
