//! `ReferenceGrant`: who may refer to objects of this namespace.

use crate::schema::record;

record! {
    /// Who may refer to objects of this namespace: each of `from` to each of `to`.
    pub struct ReferenceGrantSpec {
        /// Who.
        pub from: Vec<ReferenceGrantFrom> = "from" => required,
        /// To what.
        pub to: Vec<ReferenceGrantTo> = "to" => required,
    }
}

record! {
    /// Objects that may refer.
    pub struct ReferenceGrantFrom {
        /// API group, empty for the core group.
        pub group: Option<String> = "group" => required,
        /// Kind.
        pub kind: String = "kind" => required,
        /// Namespace.
        pub namespace: String = "namespace" => required,
    }
}

record! {
    /// Objects that may be referred to.
    pub struct ReferenceGrantTo {
        /// API group, empty for the core group.
        pub group: Option<String> = "group" => required,
        /// Kind.
        pub kind: String = "kind" => required,
        /// Name; all by default.
        pub name: String = "name",
    }
}
