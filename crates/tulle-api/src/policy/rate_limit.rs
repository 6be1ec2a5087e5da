//! `RateLimit` (`policy.tulle.dev`): how many requests workloads take.

use crate::istio::WorkloadSelector;
use crate::schema::{enumeration, oneof, record};

record! {
    /// How many requests workloads take: sidecars count what comes in, gateways what they are asked for.
    pub struct RateLimit {
        /// Workloads; the whole namespace by default, the whole mesh in the root namespace.
        pub selector: Option<WorkloadSelector> = "selector",
        /// The limits, at least one; a request must be within every limit that it matches.
        pub limits: Vec<Limit> = "limits",
        /// What is answered to requests above a limit.
        pub response: Option<LimitResponse> = "response",
    }
}

record! {
    /// One limit.
    pub struct Limit {
        /// Its name, unique in the resource: lower case letters, digits and `-`.
        pub name: String = "name" => required,
        /// Which requests count; every one by default. All that is given must hold.
        pub matches: Option<LimitMatch> = "match",
        /// What requests are told apart by: each combination of values has a limit of its own. One for all by default.
        pub per: Vec<LimitKey> = "per",
        /// Requests in one unit of time, 1 or more.
        pub requests: u32 = "requests" => required,
        /// The unit of time; SECOND by default.
        pub unit: Option<LimitUnit> = "unit",
        /// Requests that may come at once after a quiet time, 1 or more; as `requests` by default.
        pub burst: Option<u32> = "burst",
        /// Where the limit holds; PROXY by default.
        pub scope: Option<LimitScope> = "scope",
        /// Other numbers for some values of `per`.
        pub overrides: Vec<LimitOverride> = "overrides",
        /// Requests that lack one of the values of `per`; SHARE by default.
        pub without_value: Option<LimitWithoutValue> = "withoutValue",
        /// How many combinations of values have a limit at once in one proxy, 1 to 1000000; 10000 by default. One more takes the
        /// place of the one that was seen least lately.
        pub max_values: Option<u32> = "maxValues",
        /// ENFORCE by default.
        pub mode: Option<LimitMode> = "mode",
    }
}

record! {
    /// Which requests a limit is for.
    pub struct LimitMatch {
        /// Paths without their query: any of these. `*` at the end stands for any rest.
        pub paths: Vec<String> = "paths",
        /// Methods: any of these.
        pub methods: Vec<String> = "methods",
        /// Hosts without their port: any of these. `*` at the beginning stands for any labels.
        pub hosts: Vec<String> = "hosts",
        /// Headers that must be there with these values; `*` is any value.
        pub headers: std::collections::BTreeMap<String, String> = "headers",
    }
}

record! {
    /// What requests are told apart by.
    pub struct LimitKey {}
    oneof {
        /// What.
        pub kind: LimitKeyKind,
    }
}

oneof! {
    /// What requests are told apart by.
    pub enum LimitKeyKind {
        /// The value of this header.
        Header(String) = "header",
        /// The value of this query parameter.
        QueryParameter(String) = "queryParameter",
        /// Something else of the request or the connection.
        Attribute(LimitAttribute) = "attribute",
    }
}

enumeration! {
    /// A property of a request or its connection.
    pub enum LimitAttribute {
        /// The client's identity (SPIFFE), from its certificate.
        Principal = "PRINCIPAL",
        /// The client's address.
        Address = "ADDRESS",
        /// The entry of `match.paths` that the path is in.
        Path = "PATH",
        /// The method.
        Method = "METHOD",
        /// The host that is asked for, with its port if it has one.
        Host = "HOST",
        /// The name of the route, where routes have names: at gateways.
        Route = "ROUTE",
    }
}

enumeration! {
    /// A unit of time.
    pub enum LimitUnit {
        /// A second.
        Second = "SECOND",
        /// 60 seconds.
        Minute = "MINUTE",
        /// 60 minutes.
        Hour = "HOUR",
        /// 24 hours.
        Day = "DAY",
    }
}

enumeration! {
    /// Where a limit holds.
    pub enum LimitScope {
        /// In each proxy.
        Proxy = "PROXY",
        /// In all proxies of the selected workloads together: each has an equal share.
        Mesh = "MESH",
    }
}

enumeration! {
    /// What becomes of requests that lack a value.
    pub enum LimitWithoutValue {
        /// They share one limit.
        Share = "SHARE",
        /// They do not count.
        Pass = "PASS",
    }
}

enumeration! {
    /// Whether a limit is enforced.
    pub enum LimitMode {
        /// Requests above it are refused.
        Enforce = "ENFORCE",
        /// Requests above it are counted, and pass.
        DryRun = "DRY_RUN",
    }
}

record! {
    /// Other numbers for a combination of values.
    pub struct LimitOverride {
        /// The values, in the order of `per`; `*` is any.
        pub values: Vec<String> = "values",
        /// Requests in one unit of time, 1 or more.
        pub requests: u32 = "requests" => required,
        /// Requests that may come at once; as `requests` by default.
        pub burst: Option<u32> = "burst",
    }
}

record! {
    /// What is answered to requests above a limit.
    pub struct LimitResponse {
        /// The status, 400 to 599; 429 by default.
        pub status: Option<u32> = "status",
        /// Whether every answer tells the limit, what is left of it and when it is full again (`x-ratelimit-limit`,
        /// `x-ratelimit-remaining`, `x-ratelimit-reset`); not by default.
        pub headers: Option<bool> = "headers",
        /// Whether refused requests are told when to come again (`retry-after`); so by default.
        pub retry_after: Option<bool> = "retryAfter",
    }
}
