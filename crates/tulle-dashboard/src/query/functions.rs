//! Functions of instant vectors and numbers.

use promql_parser::label::MatchOp;
use promql_parser::parser::{Call, Expr};

use super::eval::{Answer, Evaluator, Row, Steps};
use super::labels::nameless;
use super::{QueryError, histogram, over_time, strings};
use crate::store::{STALE, is_stale};

pub(super) fn eval(evaluator: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Answer, QueryError> {
    if let Some(function) = simple(call.func.name) {
        return map(evaluator, call, steps, function).map(Answer::Vector);
    }
    if let Some(rows) = over_time::eval(evaluator, call, steps)? {
        return Ok(Answer::Vector(rows));
    }
    let rows = match call.func.name {
        "time" => return Ok(Answer::Scalar(steps.times().map(seconds).collect())),
        "pi" => return Ok(Answer::Scalar(vec![std::f64::consts::PI; steps.count])),
        "scalar" => return scalar(evaluator, call, steps).map(Answer::Scalar),
        "vector" => {
            let values = evaluator.scalar(evaluator.argument(call, 0)?, steps)?;
            vec![Row { labels: [].into(), values }]
        }
        "timestamp" => timestamp(evaluator, call, steps)?,
        "absent" => absent(evaluator, call, steps)?,
        "absent_over_time" => {
            let values = over_time::absent(evaluator, call, steps)?;
            absent_row(evaluator, evaluator_argument(call), values)
        }
        "round" => {
            let to = match call.args.args.get(1) {
                Some(to) => evaluator.scalar(to, steps)?,
                None => vec![1.0; steps.count],
            };
            with_numbers(evaluator, call, steps, |v, i| {
                let inverse = 1.0 / to[i];
                (v * inverse + 0.5).floor() / inverse
            })?
        }
        "clamp" => {
            let low = evaluator.scalar(evaluator.argument(call, 1)?, steps)?;
            let high = evaluator.scalar(evaluator.argument(call, 2)?, steps)?;
            with_numbers(evaluator, call, steps, |v, i| {
                if high[i] < low[i] { STALE } else { low[i].max(high[i].min(v)) + nan_of(v) }
            })?
        }
        "clamp_min" => {
            let low = evaluator.scalar(evaluator.argument(call, 1)?, steps)?;
            with_numbers(evaluator, call, steps, |v, i| low[i].max(v) + nan_of(v))?
        }
        "clamp_max" => {
            let high = evaluator.scalar(evaluator.argument(call, 1)?, steps)?;
            with_numbers(evaluator, call, steps, |v, i| high[i].min(v) + nan_of(v))?
        }
        "sort" | "sort_desc" => sort(evaluator, call, steps)?,
        "histogram_quantile" => {
            let q = evaluator.scalar(evaluator.argument(call, 0)?, steps)?;
            let rows = evaluator.vector(evaluator.argument(call, 1)?, steps)?;
            evaluator.charge(rows.len() * steps.count)?;
            histogram::quantiles(&evaluator.table, &rows, &q, steps)
        }
        "label_replace" => strings::label_replace(evaluator, call, steps)?,
        "label_join" => strings::label_join(evaluator, call, steps)?,
        name => return Err(QueryError::Evaluate(format!("the function {name}() is not supported"))),
    };
    Ok(Answer::Vector(rows))
}

/// Functions of one number, which of a vector take each.
fn simple(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sgn" => |v| if v == 0.0 || v.is_nan() { v } else { v.signum() },
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "deg" => f64::to_degrees,
        "rad" => f64::to_radians,
        "minute" => |v| date(v, |d| d.minute().into()),
        "hour" => |v| date(v, |d| d.hour().into()),
        "day_of_week" => |v| date(v, |d| d.weekday().to_sunday_zero_offset().into()),
        "day_of_month" => |v| date(v, |d| d.day().into()),
        "day_of_year" => |v| date(v, |d| d.day_of_year().into()),
        "days_in_month" => |v| date(v, |d| d.days_in_month().into()),
        "month" => |v| date(v, |d| d.month().into()),
        "year" => |v| date(v, |d| d.year().into()),
        _ => return None,
    })
}

/// A part of a moment that is given in seconds since 1970, in UTC.
fn date(value: f64, part: fn(jiff::civil::DateTime) -> f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, reason = "casts saturate, and what is too far is no date")]
    let moment = jiff::Timestamp::from_second(value as i64);
    match moment {
        Ok(moment) if !value.is_nan() => part(moment.to_zoned(jiff::tz::TimeZone::UTC).datetime()),
        _ => f64::NAN,
    }
}

/// NaN for NaN, so that a comparison does not lose it; else 0.
fn nan_of(value: f64) -> f64 {
    if value.is_nan() { value } else { 0.0 }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of some thousand years")]
fn seconds(time: i64) -> f64 {
    time as f64 / 1000.0
}

fn map(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    steps: Steps,
    function: fn(f64) -> f64,
) -> Result<Vec<Row>, QueryError> {
    if call.args.is_empty() {
        // Of time: `hour()`.
        let values = steps.times().map(|t| function(seconds(t))).collect();
        return Ok(vec![Row { labels: [].into(), values }]);
    }
    with_numbers(evaluator, call, steps, |v, _| function(v))
}

/// Applies a function to every value of the vector that is the first argument.
fn with_numbers(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    steps: Steps,
    function: impl Fn(f64, usize) -> f64,
) -> Result<Vec<Row>, QueryError> {
    let rows = evaluator.vector(evaluator.argument(call, 0)?, steps)?;
    evaluator.charge(rows.len() * steps.count)?;
    let rows = rows.into_iter().map(|row| {
        let values = row.values.iter().enumerate();
        let values = values.map(|(i, v)| if is_stale(*v) { STALE } else { function(*v, i) }).collect();
        Row { labels: nameless(&row.labels), values }
    });
    let rows = rows.collect();
    evaluator.unique(rows)
}

/// The only value of a vector; NaN if it has not just one.
fn scalar(evaluator: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vec<f64>, QueryError> {
    let rows = evaluator.vector(evaluator.argument(call, 0)?, steps)?;
    evaluator.charge(rows.len() * steps.count)?;
    let at = |step: usize| {
        let mut present = rows.iter().map(|r| r.values[step]).filter(|v| !is_stale(*v));
        match (present.next(), present.next()) {
            (Some(only), None) => only,
            _ => f64::NAN,
        }
    };
    Ok((0..steps.count).map(at).collect())
}

/// The time of each sample; of what is computed, that of the step.
fn timestamp(evaluator: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vec<Row>, QueryError> {
    fn selector(expr: &Expr) -> Option<&promql_parser::parser::VectorSelector> {
        match expr {
            Expr::VectorSelector(selector) => Some(selector),
            Expr::Paren(inner) => selector(&inner.expr),
            _ => None,
        }
    }
    if let Some(selector) = selector(evaluator.argument(call, 0)?) {
        let rows = evaluator.sampled(selector, steps, |time, _| seconds(time))?;
        let rows = rows.into_iter().map(|r| Row { labels: nameless(&r.labels), ..r }).collect();
        return evaluator.unique(rows);
    }
    let times: Vec<f64> = steps.times().map(seconds).collect();
    with_numbers(evaluator, call, steps, |_, i| times[i])
}

fn absent(evaluator: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vec<Row>, QueryError> {
    let argument = evaluator.argument(call, 0)?;
    let rows = evaluator.vector(argument, steps)?;
    evaluator.charge(rows.len() * steps.count)?;
    let at = |step: usize| if rows.iter().all(|r| is_stale(r.values[step])) { 1.0 } else { STALE };
    let values = (0..steps.count).map(at).collect();
    Ok(absent_row(evaluator, Some(argument), values))
}

fn evaluator_argument(call: &Call) -> Option<&Expr> {
    call.args.args.first().map(|e| &**e)
}

/// A row whose labels are those that the selector says, as far as it says just one value.
fn absent_row(evaluator: &mut Evaluator<'_>, of: Option<&Expr>, values: Vec<f64>) -> Vec<Row> {
    fn matchers(expr: &Expr) -> &[promql_parser::label::Matcher] {
        match expr {
            Expr::VectorSelector(selector) => &selector.matchers.matchers,
            Expr::MatrixSelector(selector) => &selector.vs.matchers.matchers,
            Expr::Paren(inner) => matchers(&inner.expr),
            _ => &[],
        }
    }
    let all = of.map_or(&[][..], matchers);
    let several = |name: &str| all.iter().filter(|m| m.name == name).count() > 1;
    let labels: Vec<(String, String)> = all
        .iter()
        .filter(|m| matches!(m.op, MatchOp::Equal) && m.name != crate::store::NAME && !several(&m.name))
        .map(|m| (m.name.clone(), m.value.clone()))
        .collect();
    if values.iter().all(|v| is_stale(*v)) {
        return Vec::new();
    }
    vec![Row { labels: evaluator.table.make(&labels), values }]
}

/// Rows by value at the first step; NaN last.
fn sort(evaluator: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vec<Row>, QueryError> {
    let mut rows = evaluator.vector(evaluator.argument(call, 0)?, steps)?;
    let descending = call.func.name == "sort_desc";
    rows.sort_by(|a, b| {
        let (a, b) = (a.values[0], b.values[0]);
        let by_value = if descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
        by_value.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    });
    Ok(rows)
}
