//! The walk over a query's tree.

use promql_parser::parser::{AtModifier, Call, Expr, Offset, VectorSelector};

use super::labels::{Labels, Table, nameless};
use super::window::Windows;
use super::{Deadline, Outcome, QueryError, QueryLimits, aggregate, binary, functions, selector};
use crate::store::{STALE, Selected, Store, Wanted, is_stale};

/// How far an instant selector looks back, in milliseconds.
const LOOKBACK: i64 = 300_000;

/// Moments, evenly spaced; milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start: i64,
    pub(crate) step: i64,
    pub(crate) count: usize,
}

impl Steps {
    #[allow(clippy::cast_possible_wrap, reason = "at most some thousands")]
    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count as i64).map(move |i| self.start + i * self.step)
    }
}

/// One series with its value at each step; [`STALE`] where it has none.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<f64>,
}

/// What an expression gives.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Scalar(Vec<f64>),
    Vector(Vec<Row>),
    Text(String),
}

pub(crate) struct Evaluator<'a> {
    store: &'a Store,
    limits: &'a QueryLimits,
    deadline: Deadline,
    /// What `start()` and `end()` are.
    span: (i64, i64),
    samples: usize,
    values: usize,
    pub(crate) table: Table,
}

/// When a selector looks, for each step.
pub(super) struct Ends(pub(super) Vec<i64>);

impl<'a> Evaluator<'a> {
    pub(super) fn new(store: &'a Store, limits: &'a QueryLimits, span: (i64, i64)) -> Self {
        let deadline = Deadline::after(limits.time);
        Self { store, limits, deadline, span, samples: 0, values: 0, table: Table::new() }
    }

    /// Counts values that are about to be computed, and looks at the clock.
    pub(super) fn charge(&mut self, values: usize) -> Result<(), QueryError> {
        self.deadline.check()?;
        self.values = self.values.saturating_add(values);
        if self.values > self.limits.values {
            return Err(QueryError::Limit(format!("compute more than {} values", self.limits.values)));
        }
        Ok(())
    }

    pub(crate) fn eval(&mut self, expr: &Expr, steps: Steps) -> Result<Answer, QueryError> {
        match expr {
            Expr::NumberLiteral(number) => Ok(Answer::Scalar(vec![number.val; steps.count])),
            Expr::StringLiteral(text) => Ok(Answer::Text(text.val.clone())),
            Expr::Paren(inner) => self.eval(&inner.expr, steps),
            Expr::Unary(inner) => self.negate(&inner.expr, steps),
            Expr::VectorSelector(selector) => self.instant_vector(selector, steps).map(Answer::Vector),
            Expr::Aggregate(inner) => aggregate::eval(self, inner, steps).map(Answer::Vector),
            Expr::Binary(inner) => binary::eval(self, inner, steps),
            Expr::Call(call) => functions::eval(self, call, steps),
            Expr::MatrixSelector(_) | Expr::Subquery(_) => {
                Err(QueryError::Evaluate("a range vector where an instant vector is expected".to_owned()))
            }
            Expr::Extension(_) => Err(QueryError::Evaluate("an extension".to_owned())),
        }
    }

    pub(super) fn vector(&mut self, expr: &Expr, steps: Steps) -> Result<Vec<Row>, QueryError> {
        match self.eval(expr, steps)? {
            Answer::Vector(rows) => Ok(rows),
            Answer::Scalar(_) | Answer::Text(_) => {
                Err(QueryError::Evaluate("expected type instant vector".to_owned()))
            }
        }
    }

    pub(super) fn scalar(&mut self, expr: &Expr, steps: Steps) -> Result<Vec<f64>, QueryError> {
        match self.eval(expr, steps)? {
            Answer::Scalar(values) => Ok(values),
            Answer::Vector(_) | Answer::Text(_) => {
                Err(QueryError::Evaluate("expected type scalar".to_owned()))
            }
        }
    }

    pub(super) fn text(&self, expr: Option<&Expr>) -> Result<String, QueryError> {
        match expr {
            Some(Expr::StringLiteral(text)) => Ok(text.val.clone()),
            Some(Expr::Paren(inner)) => self.text(Some(&inner.expr)),
            _ => Err(QueryError::Evaluate("expected type string".to_owned())),
        }
    }

    fn negate(&mut self, inner: &Expr, steps: Steps) -> Result<Answer, QueryError> {
        let negated =
            |values: Vec<f64>| values.into_iter().map(|v| if is_stale(v) { v } else { -v }).collect();
        match self.eval(inner, steps)? {
            Answer::Scalar(values) => Ok(Answer::Scalar(negated(values))),
            Answer::Vector(rows) => {
                let rows = rows.into_iter();
                let rows =
                    rows.map(|r| Row { labels: nameless(&r.labels), values: negated(r.values) }).collect();
                self.unique(rows).map(Answer::Vector)
            }
            Answer::Text(_) => Err(QueryError::Evaluate("a text cannot be negated".to_owned())),
        }
    }

    /// Joins series of the same labels, which must not have values at the same step.
    pub(super) fn unique(&mut self, rows: Vec<Row>) -> Result<Vec<Row>, QueryError> {
        let mut at = hashbrown::HashMap::with_capacity(rows.len());
        let mut out: Vec<Row> = Vec::with_capacity(rows.len());
        for row in rows {
            match at.entry(row.labels.clone()) {
                hashbrown::hash_map::Entry::Vacant(entry) => {
                    entry.insert(out.len());
                    out.push(row);
                }
                hashbrown::hash_map::Entry::Occupied(entry) => {
                    for (mine, theirs) in out[*entry.get()].values.iter_mut().zip(row.values) {
                        if is_stale(*mine) {
                            *mine = theirs;
                        } else if !is_stale(theirs) {
                            let what = "vector cannot contain metrics with the same labelset";
                            return Err(QueryError::Evaluate(what.to_owned()));
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    /// When a selector with these modifiers looks.
    pub(super) fn ends(&self, at: Option<&AtModifier>, offset: Option<&Offset>, steps: Steps) -> Ends {
        let shift = match offset {
            Some(Offset::Pos(by)) => millis(*by),
            Some(Offset::Neg(by)) => -millis(*by),
            None => 0,
        };
        let fixed = at.map(|at| match at {
            AtModifier::Start => self.span.0,
            AtModifier::End => self.span.1,
            AtModifier::At(time) => match time.duration_since(std::time::UNIX_EPOCH) {
                Ok(after) => millis(after),
                Err(before) => -millis(before.duration()),
            },
        });
        Ends(steps.times().map(|t| fixed.unwrap_or(t).saturating_sub(shift)).collect())
    }

    /// The series of a selector with their samples from `from` to `to`.
    pub(super) fn select(
        &mut self,
        selector: &VectorSelector,
        from: i64,
        to: i64,
    ) -> Result<Vec<(Labels, Selected)>, QueryError> {
        self.deadline.check()?;
        let mut out: Vec<(Labels, Selected)> = Vec::new();
        let lists = selector::of(selector);
        let several = lists.len() > 1;
        for matchers in lists {
            let selected = self.store.select(&Wanted {
                matchers: &matchers,
                from,
                to,
                samples: true,
                max_series: self.limits.series,
                max_samples: self.limits.samples.saturating_sub(self.samples),
            })?;
            for series in selected {
                self.samples += series.samples.len();
                let labels = self.table.labels(&series);
                if !several || !out.iter().any(|(known, _)| *known == labels) {
                    out.push((labels, series));
                }
            }
        }
        Ok(out)
    }

    fn instant_vector(&mut self, selector: &VectorSelector, steps: Steps) -> Result<Vec<Row>, QueryError> {
        self.sampled(selector, steps, |_, value| value)
    }

    /// At each step the latest sample, if it is not too old; `pick` gets its time and value.
    pub(super) fn sampled(
        &mut self,
        selector: &VectorSelector,
        steps: Steps,
        pick: impl Fn(i64, f64) -> f64,
    ) -> Result<Vec<Row>, QueryError> {
        let Ends(ends) = self.ends(selector.at.as_ref(), selector.offset.as_ref(), steps);
        let (first, last) = (ends.iter().min().copied(), ends.iter().max().copied());
        let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
        // As far as the coarsest samples may be away.
        let selected = self.select(selector, first - LOOKBACK.max(2 * crate::store::TIERS[2].every), last)?;
        self.charge(selected.len() * steps.count)?;
        let mut rows = Vec::with_capacity(selected.len());
        for (labels, series) in selected {
            let samples = &series.samples;
            let values: Vec<f64> = ends
                .iter()
                .map(|end| {
                    let behind = samples.partition_point(|(t, _)| t <= end);
                    let Some((time, value)) = behind.checked_sub(1).map(|i| samples[i]) else { return STALE };
                    let back = LOOKBACK.max(series.every(time) * 11 / 10);
                    if time < end - back || is_stale(value) { STALE } else { pick(time, value) }
                })
                .collect();
            if values.iter().any(|v| !is_stale(*v)) {
                rows.push(Row { labels, values });
            }
        }
        Ok(rows)
    }

    /// A range vector as it is, for a query that asks for just that.
    pub(super) fn raw(&mut self, expr: &Expr, steps: Steps) -> Result<Outcome, QueryError> {
        let windows = Windows::eval(self, expr, steps)?;
        let mut all = Vec::new();
        for series in &windows.series {
            let samples = windows.of(series, 0, windows.range).to_vec();
            if !samples.is_empty() {
                all.push((self.table.spell(&series.labels), samples));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Outcome::Matrix(all))
    }

    /// An argument of a function.
    pub(super) fn argument<'e>(&self, call: &'e Call, index: usize) -> Result<&'e Expr, QueryError> {
        call.args
            .args
            .get(index)
            .map(|e| &**e)
            .ok_or_else(|| QueryError::Evaluate(format!("{}() lacks argument {}", call.func.name, index + 1)))
    }

    /// The most steps a subquery may have.
    pub(super) fn check_steps(&self, steps: i64) -> Result<usize, QueryError> {
        let most = self.limits.steps.saturating_mul(10);
        usize::try_from(steps)
            .ok()
            .filter(|n| *n <= most)
            .ok_or_else(|| QueryError::Limit(format!("take a subquery of {steps} steps; {most} are allowed")))
    }
}

/// A duration in milliseconds, as far as they go.
pub(super) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
