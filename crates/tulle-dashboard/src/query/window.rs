//! Range vectors: samples, and for each step the stretch of them that counts.

use promql_parser::parser::{Expr, SubqueryExpr};

use super::QueryError;
use super::eval::{Ends, Evaluator, Row, Steps, millis};
use super::labels::Labels;
use crate::store::{STALE, TIERS, is_stale};

/// How far apart the steps of a subquery are that does not say; milliseconds, as Prometheus' default.
const SUBQUERY_STEP: i64 = 60_000;

/// One series of a range vector.
pub(super) struct Series {
    pub(super) labels: Labels,
    /// Without stale marks.
    samples: Vec<(i64, f64)>,
    /// From when on samples are minutes apart or less, and when on they are as they came.
    finer: [i64; 2],
}

/// A range vector at every step.
pub(super) struct Windows {
    pub(super) series: Vec<Series>,
    /// Length of each window in milliseconds.
    pub(super) range: i64,
    /// Last moment of each window.
    pub(super) ends: Vec<i64>,
}

impl Series {
    /// How far apart samples are around `time`; 0 where they are as they came.
    fn every(&self, time: i64) -> i64 {
        match time {
            t if t >= self.finer[1] => TIERS[0].every,
            t if t >= self.finer[0] => TIERS[1].every,
            _ => TIERS[2].every,
        }
    }
}

impl Windows {
    pub(super) fn eval(evaluator: &mut Evaluator<'_>, expr: &Expr, steps: Steps) -> Result<Self, QueryError> {
        match expr {
            Expr::Paren(inner) => Self::eval(evaluator, &inner.expr, steps),
            Expr::MatrixSelector(matrix) => {
                let selector = &matrix.vs;
                let Ends(ends) = evaluator.ends(selector.at.as_ref(), selector.offset.as_ref(), steps);
                let range = millis(matrix.range);
                let (first, last) = span(&ends);
                // Where samples are far apart, windows are made longer; see `stretch`.
                let from = first.saturating_sub(range.max(3 * TIERS[2].every));
                let series = evaluator
                    .select(selector, from, last)?
                    .into_iter()
                    .map(|(labels, found)| Series {
                        labels,
                        finer: found.finer,
                        samples: found.samples.into_iter().filter(|(_, v)| !is_stale(*v)).collect(),
                    })
                    .collect();
                Ok(Self { series, range, ends })
            }
            Expr::Subquery(inner) => Self::subquery(evaluator, inner, steps),
            _ => Err(QueryError::Evaluate("expected type range vector".to_owned())),
        }
    }

    fn subquery(
        evaluator: &mut Evaluator<'_>,
        inner: &SubqueryExpr,
        steps: Steps,
    ) -> Result<Self, QueryError> {
        let Ends(ends) = evaluator.ends(inner.at.as_ref(), inner.offset.as_ref(), steps);
        let range = millis(inner.range);
        let step = inner.step.map_or(SUBQUERY_STEP, millis);
        if step <= 0 {
            return Err(QueryError::Evaluate("a subquery whose step is 0".to_owned()));
        }
        let (first, last) = span(&ends);
        let from = first.saturating_sub(range);
        // Steps are multiples of their distance, whoever asks.
        let start = from.div_euclid(step) * step;
        let start = if start < from { start + step } else { start };
        let count = evaluator.check_steps(last.saturating_sub(start).max(-1).div_euclid(step) + 1)?;
        let within = Steps { start, step, count };
        let rows = match evaluator.eval(&inner.expr, within)? {
            super::eval::Answer::Vector(rows) => rows,
            super::eval::Answer::Scalar(values) => vec![Row { labels: [].into(), values }],
            super::eval::Answer::Text(_) => Vec::new(),
        };
        let series = rows.into_iter().map(|row| {
            let samples = within.times().zip(row.values).filter(|(_, v)| !is_stale(*v)).collect();
            Series { labels: row.labels, samples, finer: [i64::MIN; 2] }
        });
        Ok(Self { series: series.collect(), range, ends })
    }

    /// The samples of a series in the window of a step, with `range` as its length.
    pub(super) fn of<'a>(&self, series: &'a Series, step: usize, range: i64) -> &'a [(i64, f64)] {
        let end = self.ends[step];
        let from = series.samples.partition_point(|(t, _)| *t < end.saturating_sub(range));
        let to = series.samples.partition_point(|(t, _)| *t <= end);
        &series.samples[from.min(to)..to]
    }

    /// The length of a window in which there may be two samples.
    pub(super) fn stretched(&self, series: &Series, step: usize) -> i64 {
        let end = self.ends[step];
        let every = series.every(end.saturating_sub(self.range));
        self.range.max(if every > 0 { every * 5 / 2 } else { 0 })
    }

    /// Applies a function to every window that has samples.
    pub(super) fn map(
        &self,
        evaluator: &mut Evaluator<'_>,
        names: Names,
        mut function: impl FnMut(&Series, usize) -> Option<f64>,
    ) -> Result<Vec<Row>, QueryError> {
        let mut rows = Vec::with_capacity(self.series.len());
        for series in &self.series {
            evaluator.charge(self.ends.len())?;
            let values: Vec<f64> =
                (0..self.ends.len()).map(|step| function(series, step).unwrap_or(STALE)).collect();
            if values.iter().any(|v| !is_stale(*v)) {
                let labels = match names {
                    Names::Dropped => super::labels::nameless(&series.labels),
                    Names::Kept => series.labels.clone(),
                };
                rows.push(Row { labels, values });
            }
        }
        evaluator.unique(rows)
    }
}

/// What becomes of the metric's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// It is dropped.
    Dropped,
    /// It is kept.
    Kept,
}

fn span(ends: &[i64]) -> (i64, i64) {
    (ends.iter().min().copied().unwrap_or(0), ends.iter().max().copied().unwrap_or(-1))
}
