//! What the listings of the resource types become: tables of fields, and the two traits that read and write them.

mod at;
mod context;
mod fields;
mod macros;
mod openapi;
mod primitives;
mod shape;

pub use at::At;
pub use context::Context;
pub use fields::Fields;
pub(crate) use fields::decode_oneof;
pub(crate) use macros::{enumeration, oneof, record};
pub use openapi::{Referred, Schemas, description};
pub(crate) use primitives::{put, unknown_word};
pub use shape::Shape;

use serde_json::{Map, Value};

use crate::node::Node;

/// A type that can be read from a document and written back as JSON.
///
/// Reading reports every problem into the [`Context`] and goes on; `None` means that something was reported.
pub trait Field: Sized {
    /// The type as schemas and the field ledger name it.
    const TYPE: TypeInfo;

    /// Whether a field of this type must be written: whether [`Field::absent`] is `None`.
    const REQUIRED: bool = true;

    /// Reads a value that is there and not null.
    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self>;

    /// The value of a field that is not written; `None` if the field must be there.
    fn absent() -> Option<Self> {
        None
    }

    /// The value as JSON.
    fn encode(&self) -> Value;

    /// Whether an enclosing record leaves this out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// A mapping with a fixed set of fields; made by `record!`.
pub trait Record: Field {
    /// Its table of fields.
    const INFO: &'static RecordInfo;
}

/// A set of fields of which at most one may be set (protobuf's `oneof`); made by `oneof!`.
pub trait Oneof: Sized {
    /// Its table of members.
    const INFO: &'static OneofInfo;

    /// Reads member `index` of the table.
    fn decode_member(index: usize, node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self>;

    /// Writes the member that is set into the record around it.
    fn encode_into(&self, map: &mut Map<String, Value>);
}

/// A type of the resource model, for schemas and the field ledger.
#[derive(Clone, Copy, Debug)]
pub enum TypeInfo {
    /// Text.
    String,
    /// Base64 text for bytes.
    Bytes,
    /// `true` or `false`.
    Bool,
    /// A whole number between two bounds, both included.
    Int {
        /// Smallest value.
        min: i128,
        /// Largest value.
        max: i128,
    },
    /// A number.
    Double,
    /// A duration such as `500ms`.
    Duration,
    /// A moment in RFC 3339 form.
    Timestamp,
    /// A number, or the name of a port, or a percentage.
    IntOrString,
    /// Any JSON value, kept as written.
    Json,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A list.
    List(&'static TypeInfo),
    /// A mapping from text.
    Map(&'static TypeInfo),
    /// A record.
    Record(&'static RecordInfo),
    /// A record of which exactly one field may be set.
    Oneof(&'static OneofInfo),
}

/// The table of a record.
#[derive(Clone, Copy, Debug)]
pub struct RecordInfo {
    /// Name of the Rust type.
    pub name: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// Its own fields, in the order of the listing.
    pub fields: &'static [FieldInfo],
    /// Its groups of exclusive fields.
    pub oneofs: &'static [&'static OneofInfo],
}

/// The table of a group of exclusive fields.
#[derive(Clone, Copy, Debug)]
pub struct OneofInfo {
    /// Name of the Rust type.
    pub name: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// The members, in the order of the listing.
    pub members: &'static [FieldInfo],
}

/// What is known about one field.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// Name in documents.
    pub name: &'static str,
    /// Another spelling that is read too.
    pub alias: Option<&'static str>,
    /// Its type.
    pub ty: TypeInfo,
    /// Its documentation.
    pub doc: &'static str,
    /// Whether it must be written.
    pub required: bool,
    /// Whether it must have an entry when it is written: an empty list or mapping is an error.
    pub not_empty: bool,
    /// What to say when it is written.
    pub notice: Notice,
    /// How two writers' values become one.
    pub merge: Merge,
    /// The text that stands for a field that is not written, where a key of a list needs one.
    pub default: Option<&'static str>,
    /// Whether clients that make strategic merge patches name the fields to keep, because the fields exclude one
    /// another (`retainKeys`).
    pub retain_keys: bool,
}

/// How the value of a field that two wrote becomes one, in server-side apply and in strategic merge patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Merge {
    /// Records and mappings field by field; a list is replaced as a whole.
    #[default]
    Granular,
    /// The value is replaced as a whole.
    Atomic,
    /// A list of scalars of which each value is there once; the values of both are kept.
    Set,
    /// A list of records that are told apart by these fields. Strategic merge patches use the first alone.
    Keyed(&'static [&'static str]),
}

/// What to say when a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Nothing.
    None,
    /// It works, but should be replaced: what to write instead.
    Deprecated(&'static str),
    /// It works here but not with other meshes: what it means here.
    NotPortable(&'static str),
    /// It is kept but does nothing: the reason.
    NoEffect(&'static str),
    /// It is kept and will have its effect once it is built: what is missing.
    Planned(&'static str),
}

impl FieldInfo {
    /// A field that may be left out and of which nothing needs to be said.
    pub const fn new(name: &'static str, ty: TypeInfo, doc: &'static str) -> Self {
        Self {
            name,
            alias: None,
            ty,
            doc,
            required: false,
            not_empty: false,
            notice: Notice::None,
            merge: Merge::Granular,
            default: None,
            retain_keys: false,
        }
    }

    /// It must be written.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// It must have an entry when it is written.
    #[must_use]
    pub const fn not_empty(mut self) -> Self {
        self.not_empty = true;
        self
    }

    /// It is also read under this name.
    #[must_use]
    pub const fn alias(mut self, name: &'static str) -> Self {
        self.alias = Some(name);
        self
    }

    /// It should be replaced.
    #[must_use]
    pub const fn deprecated(mut self, instead: &'static str) -> Self {
        self.notice = Notice::Deprecated(instead);
        self
    }

    /// It works here only.
    #[must_use]
    pub const fn not_portable(mut self, meaning: &'static str) -> Self {
        self.notice = Notice::NotPortable(meaning);
        self
    }

    /// It does nothing.
    #[must_use]
    pub const fn no_effect(mut self, reason: &'static str) -> Self {
        self.notice = Notice::NoEffect(reason);
        self
    }

    /// It is replaced as a whole (`x-kubernetes-map-type: atomic`).
    #[must_use]
    pub const fn atomic(mut self) -> Self {
        self.merge = Merge::Atomic;
        self
    }

    /// It is a list of scalars, each there once (`x-kubernetes-list-type: set`).
    #[must_use]
    pub const fn set(mut self) -> Self {
        self.merge = Merge::Set;
        self
    }

    /// It is a list of records that `keys` tell apart (`x-kubernetes-list-type: map`).
    #[must_use]
    pub const fn keyed(mut self, keys: &'static [&'static str]) -> Self {
        self.merge = Merge::Keyed(keys);
        self
    }

    /// As a key of a list it is `text` where it is not written.
    #[must_use]
    pub const fn or_text(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }

    /// Its fields exclude one another.
    #[must_use]
    pub const fn retain_keys(mut self) -> Self {
        self.retain_keys = true;
        self
    }

    /// It must be written if `needed`.
    #[must_use]
    pub(crate) const fn needed(mut self, needed: bool) -> Self {
        self.required = needed;
        self
    }

    /// It does nothing yet.
    #[must_use]
    pub const fn planned(mut self, missing: &'static str) -> Self {
        self.notice = Notice::Planned(missing);
        self
    }
}
