//! Where and when a request or connection is logged.

use std::sync::Arc;

use tulle_telemetry::cel::Expression;

use super::matcher::{Fraction, HeaderMatcher};

/// One access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where lines go.
    pub sink: LogSink,
    /// How a line looks.
    pub format: LogFormat,
    /// Which requests are logged.
    pub filter: LogFilter,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogSink {
    /// A file, appended to.
    File(Arc<str>),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a line looks, before `tulle-telemetry` compiles it.
#[derive(Clone, Debug, PartialEq)]
pub enum LogFormat {
    /// Envoy's default text format.
    Default,
    /// A text with `%OPERATORS%`.
    Text(Arc<str>),
    /// A JSON object whose strings hold `%OPERATORS%`.
    Json {
        /// The object.
        template: serde_json::Value,
        /// Whether values that are not there are left out instead of written as `null`.
        omit_empty: bool,
    },
}

/// Which requests are logged.
#[derive(Clone, Debug)]
pub enum LogFilter {
    /// All.
    Always,
    /// By status code.
    Status(Comparison),
    /// By duration in milliseconds.
    Duration(Comparison),
    /// All but health checks.
    NotHealthCheck,
    /// A part of them.
    Sampled(Fraction),
    /// By a request header.
    Header(HeaderMatcher),
    /// With one of these response flags (such as `UF`); with none named, with any flag.
    ResponseFlags(Vec<Arc<str>>),
    /// By gRPC status.
    GrpcStatus {
        /// The statuses.
        statuses: Vec<u32>,
        /// Whether these are the ones left out.
        exclude: bool,
    },
    /// Requests that are traced.
    Traceable,
    /// If an expression holds.
    Expression(Arc<Expression>),
    /// If all agree.
    And(Vec<LogFilter>),
    /// If one agrees.
    Or(Vec<LogFilter>),
}

/// A comparison with a fixed number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How.
    pub op: ComparisonOp,
    /// With what.
    pub value: u32,
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparisonOp {
    /// Equal.
    Equal,
    /// At least.
    AtLeast,
    /// At most.
    AtMost,
    /// Not equal.
    NotEqual,
}
