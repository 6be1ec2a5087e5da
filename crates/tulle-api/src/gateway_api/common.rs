//! Parts that several kinds of the Gateway API share.
//!
//! A group is an `Option`, because the empty group is a group of its own (the core one) and not "not written".

use crate::schema::{enumeration, record};
use crate::value::WrittenDuration;

record! {
    /// What a route is attached to: a Gateway, ListenerSet or, in a mesh, a Service.
    pub struct ParentReference {
        /// API group; `gateway.networking.k8s.io` by default, empty for the core group.
        pub group: Option<String> = "group",
        /// Kind; Gateway by default.
        pub kind: String = "kind",
        /// Namespace; the route's by default.
        pub namespace: String = "namespace",
        /// Name.
        pub name: String = "name" => required,
        /// Listener of a Gateway or port of a Service, by name; all by default.
        pub section_name: String = "sectionName",
        /// Port, 1 to 65535; all by default.
        pub port: Option<i32> = "port",
    }
}

record! {
    /// A port of something that takes requests, a Service by default.
    pub struct BackendObjectReference {
        /// API group; the core group by default.
        pub group: Option<String> = "group",
        /// Kind; Service by default.
        pub kind: String = "kind",
        /// Name.
        pub name: String = "name" => required,
        /// Namespace; the route's by default. Another one needs a ReferenceGrant there.
        pub namespace: String = "namespace",
        /// Port, 1 to 65535; required for a Service.
        pub port: Option<i32> = "port",
    }
}

record! {
    /// A weighted destination.
    pub struct BackendRef {
        /// API group; the core group by default.
        pub group: Option<String> = "group",
        /// Kind; Service by default.
        pub kind: String = "kind",
        /// Name.
        pub name: String = "name" => required,
        /// Namespace; the route's by default. Another one needs a ReferenceGrant there.
        pub namespace: String = "namespace",
        /// Port, 1 to 65535; required for a Service.
        pub port: Option<i32> = "port",
        /// Its share of the sum of all weights, 0 to 1000000; 1 by default.
        pub weight: Option<i32> = "weight",
    }
}

record! {
    /// An object in the same namespace.
    pub struct LocalObjectReference {
        /// API group, empty for the core group.
        pub group: Option<String> = "group" => required,
        /// Kind.
        pub kind: String = "kind" => required,
        /// Name.
        pub name: String = "name" => required,
    }
}

record! {
    /// A Secret, or another object that holds a certificate.
    pub struct SecretObjectReference {
        /// API group; the core group by default.
        pub group: Option<String> = "group",
        /// Kind; Secret by default.
        pub kind: String = "kind",
        /// Name.
        pub name: String = "name" => required,
        /// Namespace; the referring object's by default. Another one needs a ReferenceGrant there.
        pub namespace: String = "namespace",
    }
}

record! {
    /// Parameters of an implementation.
    pub struct ParametersReference {
        /// API group, empty for the core group.
        pub group: Option<String> = "group" => required,
        /// Kind.
        pub kind: String = "kind" => required,
        /// Name.
        pub name: String = "name" => required,
        /// Namespace; for objects that have one.
        pub namespace: String = "namespace",
    }
}

record! {
    /// Sends the requests of a session to the same place.
    pub struct SessionPersistence {
        /// Longest life of a session, whatever it does.
        pub absolute_timeout: Option<WrittenDuration> = "absoluteTimeout",
        /// How requests name their session; Cookie by default.
        pub persistence_type: Option<SessionPersistenceType> = "type",
        /// Details of the cookie.
        pub cookie: Option<SessionCookie> = "cookie",
        /// Details of the header.
        pub header: Option<SessionHeader> = "header",
    }
}

enumeration! {
    /// How requests name their session.
    pub enum SessionPersistenceType {
        /// By a cookie.
        Cookie = "Cookie",
        /// By a header.
        Header = "Header",
    }
}

record! {
    /// The cookie of a session.
    pub struct SessionCookie {
        /// Name.
        pub name: String = "name",
        /// Path; `/` by default.
        pub path: String = "path",
        /// Whether it outlives the browser; Session by default.
        pub lifetime_type: Option<CookieLifetime> = "lifetimeType",
    }
}

enumeration! {
    /// How long a cookie lives.
    pub enum CookieLifetime {
        /// As long as `absoluteTimeout` says.
        Permanent = "Permanent",
        /// As long as the browser.
        Session = "Session",
    }
}

record! {
    /// The header of a session.
    pub struct SessionHeader {
        /// Name.
        pub name: String = "name" => required,
    }
}

enumeration! {
    /// Whether routes that name no parent belong to the default gateways.
    pub enum GatewayDefaultScope {
        /// They do.
        All = "All",
        /// They do not.
        None = "None",
    }
}
