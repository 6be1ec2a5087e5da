//! Filters of routes that HTTPRoute and GRPCRoute share.

use super::common::BackendObjectReference;
use crate::schema::record;

record! {
    /// Changes to headers.
    pub struct HttpHeaderFilter {
        /// Headers to overwrite.
        pub set: Vec<HeaderNameValue> = "set" => keyed(&["name"]),
        /// Headers to append to.
        pub add: Vec<HeaderNameValue> = "add" => keyed(&["name"]),
        /// Headers to remove.
        pub remove: Vec<String> = "remove" => set,
    }
}

record! {
    /// A header.
    pub struct HeaderNameValue {
        /// Name, without regard to case.
        pub name: String = "name" => required,
        /// Value.
        pub value: String = "value" => required,
    }
}

record! {
    /// Sends a copy of requests somewhere else.
    pub struct RequestMirrorFilter {
        /// Where.
        pub backend_ref: BackendObjectReference = "backendRef",
        /// Share in percent; all by default.
        pub percent: Option<i32> = "percent",
        /// Share as a fraction; excludes `percent`.
        pub fraction: Option<MirrorFraction> = "fraction",
    }
}

record! {
    /// A fraction.
    pub struct MirrorFraction {
        /// Above the line, 0 or more.
        pub numerator: i32 = "numerator",
        /// Below the line, 1 or more; 100 by default.
        pub denominator: Option<i32> = "denominator",
    }
}
