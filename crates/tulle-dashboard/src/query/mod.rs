//! PromQL over the store.
//!
//! Parsing is the crate `promql-parser`'s; what it makes is evaluated here, node by node, for all steps at once: a vector is a list
//! of series, each with a value (or none) per step. The semantics are Prometheus 2's: ranges are closed at both ends, an instant
//! selector looks back five minutes, stale marks end a series. Where the store has only coarse samples, looking back and `rate` go
//! as far as they must (docs/queries.md).

mod aggregate;
mod binary;
mod eval;
mod functions;
mod guard;
mod histogram;
mod labels;
mod over_time;
mod selector;
mod strings;
mod window;

use std::time::{Duration, Instant};

use promql_parser::parser::Expr;
use promql_parser::parser::token::{T_BOTTOMK, T_TOPK};

use crate::store::{Selection, Store, is_stale};
use eval::{Answer, Evaluator, Row, Steps};

pub use histogram::quantile as histogram_quantile;
pub use selector::{SelectorError, selectors};

/// How much a query may cost.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// Bytes of its text; default 32 KiB.
    pub text: usize,
    /// How deep it may nest; default 128.
    pub depth: usize,
    /// Steps of a range; default 11,000, as Prometheus'.
    pub steps: usize,
    /// Series that one selector may read; default 200,000 (a bucket of a histogram is one).
    pub series: usize,
    /// Samples that it may read in all; default 20 million.
    pub samples: usize,
    /// Values that it may compute in all; default 50 million.
    pub values: usize,
    /// How long it may take; default 10 s.
    pub time: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            text: 32 << 10,
            depth: 128,
            steps: 11_000,
            series: 200_000,
            samples: 20_000_000,
            values: 50_000_000,
            time: Duration::from_secs(10),
        }
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The text is no query.
    #[error("invalid parameter \"query\": {0}")]
    Parse(String),
    /// The times make no range.
    #[error("{0}")]
    Range(String),
    /// It cannot be evaluated on this data.
    #[error("{0}")]
    Evaluate(String),
    /// It costs more than it may.
    #[error("query processing would {0}")]
    Limit(String),
    /// It took too long.
    #[error("query timed out in expression evaluation after {} s", .0.as_secs())]
    Timeout(Duration),
}

impl From<Selection> for QueryError {
    fn from(error: Selection) -> Self {
        Self::Limit(format!("read too much: {error}"))
    }
}

/// Labels by name.
pub type Spelled = Vec<(String, String)>;

/// What a query gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One number at one moment.
    Scalar(i64, f64),
    /// A text.
    Text(i64, String),
    /// Series at one moment: labels, value.
    Vector(i64, Vec<(Spelled, f64)>),
    /// Series over time: labels; time and value.
    Matrix(Vec<(Spelled, Vec<(i64, f64)>)>),
}

/// Evaluates a query at one moment, in milliseconds since 1970.
///
/// # Errors
/// [`QueryError`].
pub fn instant(store: &Store, text: &str, time: i64, limits: &QueryLimits) -> Result<Outcome, QueryError> {
    big_stack(|| {
        let expr = parse(text, limits)?;
        let steps = Steps { start: time, step: 1, count: 1 };
        let mut evaluator = Evaluator::new(store, limits, (time, time));
        if let Expr::MatrixSelector(_) | Expr::Subquery(_) = &expr {
            return evaluator.raw(&expr, steps);
        }
        let answer = evaluator.eval(&expr, steps)?;
        Ok(match answer {
            Answer::Scalar(values) => Outcome::Scalar(time, values[0]),
            Answer::Text(text) => Outcome::Text(time, text),
            Answer::Vector(rows) => {
                let rows = rows.into_iter().filter(|r| !is_stale(r.values[0]));
                let mut all: Vec<_> = rows.map(|r| (evaluator.table.spell(&r.labels), r.values[0])).collect();
                if !is_ordered(&expr) {
                    all.sort_by(|a, b| a.0.cmp(&b.0));
                }
                Outcome::Vector(time, all)
            }
        })
    })
}

/// Evaluates a query at `start`, and every `step` milliseconds until `end`.
///
/// # Errors
/// [`QueryError`].
pub fn range(
    store: &Store,
    text: &str,
    (start, end, step): (i64, i64, i64),
    limits: &QueryLimits,
) -> Result<Outcome, QueryError> {
    if step <= 0 {
        let what = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(QueryError::Range(what.to_owned()));
    }
    if end < start {
        return Err(QueryError::Range("end timestamp must not be before start time".to_owned()));
    }
    let count = usize::try_from((end - start) / step + 1).unwrap_or(usize::MAX);
    if count > limits.steps {
        let what = format!(
            "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)",
            limits.steps
        );
        return Err(QueryError::Range(what));
    }
    big_stack(|| {
        let expr = parse(text, limits)?;
        if matches!(expr, Expr::MatrixSelector(_) | Expr::Subquery(_) | Expr::StringLiteral(_)) {
            let what = format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                if matches!(expr, Expr::StringLiteral(_)) { "string" } else { "range vector" }
            );
            return Err(QueryError::Parse(what));
        }
        let steps = Steps { start, step, count };
        let mut evaluator = Evaluator::new(store, limits, (start, end));
        let rows = match evaluator.eval(&expr, steps)? {
            Answer::Scalar(values) => vec![Row { labels: [].into(), values }],
            Answer::Vector(rows) => rows,
            Answer::Text(_) => Vec::new(),
        };
        let mut all: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let values = row.values.into_iter().zip(steps.times()).filter(|(v, _)| !is_stale(*v));
                (evaluator.table.spell(&row.labels), values.map(|(v, t)| (t, v)).collect::<Vec<_>>())
            })
            .filter(|(_, values)| !values.is_empty())
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Outcome::Matrix(all))
    })
}

fn parse(text: &str, limits: &QueryLimits) -> Result<Expr, QueryError> {
    guard::check(text, limits).map_err(QueryError::Parse)?;
    let expr = promql_parser::parser::parse(text).map_err(QueryError::Parse)?;
    guard::check_depth(&expr, limits.depth).map_err(QueryError::Parse)?;
    Ok(expr)
}

/// Whether the order of the result means something.
fn is_ordered(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(inner) => is_ordered(&inner.expr),
        Expr::Call(call) => matches!(call.func.name, "sort" | "sort_desc"),
        Expr::Aggregate(aggregate) => matches!(aggregate.op.id(), T_TOPK | T_BOTTOMK),
        _ => false,
    }
}

/// The parser's trees are dropped and checked by recursion, as deep as the text is long: on a stack that is deep enough for the
/// longest text.
fn big_stack<T: Send>(work: impl FnOnce() -> Result<T, QueryError> + Send) -> Result<T, QueryError> {
    const STACK: usize = 64 << 20;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("query".to_owned()).stack_size(STACK);
        match thread.spawn_scoped(scope, work) {
            Ok(handle) => handle
                .join()
                .unwrap_or_else(|_| Err(QueryError::Evaluate("the query could not be evaluated".to_owned()))),
            Err(error) => Err(QueryError::Limit(format!("need a thread: {error}"))),
        }
    })
}

/// A number as Prometheus writes it.
pub fn number_text(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

/// When a query has to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    time: Duration,
}

impl Deadline {
    fn after(time: Duration) -> Self {
        Self { at: Instant::now() + time, time }
    }

    pub(crate) fn check(self) -> Result<(), QueryError> {
        if Instant::now() > self.at { Err(QueryError::Timeout(self.time)) } else { Ok(()) }
    }
}
