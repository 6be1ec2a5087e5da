//! Operators between two expressions.

use hashbrown::HashMap;
use promql_parser::parser::token::{
    T_ADD, T_ATAN2, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LSS, T_LTE, T_LUNLESS, T_MOD, T_MUL, T_NEQ,
    T_POW, T_SUB, TokenId,
};
use promql_parser::parser::{BinModifier, BinaryExpr, LabelModifier, VectorMatchCardinality};

use super::QueryError;
use super::eval::{Answer, Evaluator, Row, Steps};
use super::labels::{Labels, NAME_SYMBOL, Symbol, Which, get, nameless, with};
use crate::store::{STALE, is_stale};

pub(super) fn eval(
    evaluator: &mut Evaluator<'_>,
    expr: &BinaryExpr,
    steps: Steps,
) -> Result<Answer, QueryError> {
    let op = Op { id: expr.op.id(), to_bool: expr.return_bool() };
    if expr.modifier.as_ref().is_some_and(|m| m.fill_values.lhs.is_some() || m.fill_values.rhs.is_some()) {
        return Err(QueryError::Evaluate("fill values are not supported".to_owned()));
    }
    let left = evaluator.eval(&expr.lhs, steps)?;
    let right = evaluator.eval(&expr.rhs, steps)?;
    match (left, right) {
        (Answer::Scalar(left), Answer::Scalar(right)) => {
            evaluator.charge(steps.count)?;
            let values = left.iter().zip(&right).map(|(a, b)| op.scalar(*a, *b)).collect();
            Ok(Answer::Scalar(values))
        }
        (Answer::Vector(rows), Answer::Scalar(numbers)) => op.with_number(evaluator, rows, &numbers, false),
        (Answer::Scalar(numbers), Answer::Vector(rows)) => op.with_number(evaluator, rows, &numbers, true),
        (Answer::Vector(left), Answer::Vector(right)) => {
            evaluator.charge((left.len() + right.len()) * steps.count)?;
            let modifier = expr.modifier.clone().unwrap_or_default();
            let which = which(evaluator, &modifier);
            let rows = match op.id {
                T_LAND | T_LUNLESS | T_LOR => set(op.id, left, right, &which, steps),
                _ => matched(evaluator, op, left, right, &which, &modifier, steps)?,
            };
            Ok(Answer::Vector(rows))
        }
        _ => Err(QueryError::Evaluate(format!("operator {} between texts", expr.op))),
    }
}

fn which(evaluator: &mut Evaluator<'_>, modifier: &BinModifier) -> Which {
    match &modifier.matching {
        Some(LabelModifier::Include(labels)) => {
            Which::Only(labels.labels.iter().map(|l| evaluator.table.id(l)).collect())
        }
        Some(LabelModifier::Exclude(labels)) => {
            Which::Without(labels.labels.iter().map(|l| evaluator.table.id(l)).collect())
        }
        None => Which::Without(Vec::new()),
    }
}

#[derive(Clone, Copy)]
struct Op {
    id: TokenId,
    to_bool: bool,
}

impl Op {
    fn compares(self) -> bool {
        matches!(self.id, T_EQLC | T_NEQ | T_GTR | T_LSS | T_GTE | T_LTE)
    }

    fn drops_name(self) -> bool {
        self.to_bool || !self.compares()
    }

    /// The result of an arithmetic operator; of a comparison 1 or 0.
    fn scalar(self, a: f64, b: f64) -> f64 {
        match self.id {
            T_ADD => a + b,
            T_SUB => a - b,
            T_MUL => a * b,
            T_DIV => a / b,
            T_POW => a.powf(b),
            T_MOD => a % b,
            T_ATAN2 => a.atan2(b),
            _ => f64::from(u8::from(self.holds(a, b))),
        }
    }

    fn holds(self, a: f64, b: f64) -> bool {
        match self.id {
            T_EQLC => a == b,
            T_NEQ => a != b,
            T_GTR => a > b,
            T_LSS => a < b,
            T_GTE => a >= b,
            T_LTE => a <= b,
            _ => false,
        }
    }

    /// The result between elements of vectors: a comparison keeps `kept` where it holds.
    fn element(self, a: f64, b: f64, kept: f64) -> f64 {
        if !self.compares() || self.to_bool {
            self.scalar(a, b)
        } else if self.holds(a, b) {
            kept
        } else {
            STALE
        }
    }

    fn with_number(
        self,
        evaluator: &mut Evaluator<'_>,
        rows: Vec<Row>,
        numbers: &[f64],
        number_first: bool,
    ) -> Result<Answer, QueryError> {
        evaluator.charge(rows.len() * numbers.len())?;
        let one = |value: f64, number: f64| match number_first {
            _ if is_stale(value) => STALE,
            true => self.element(number, value, value),
            false => self.element(value, number, value),
        };
        let rows = rows.into_iter().map(|row| {
            let values = row.values.iter().zip(numbers).map(|(v, n)| one(*v, *n)).collect();
            Row { labels: if self.drops_name() { nameless(&row.labels) } else { row.labels }, values }
        });
        let rows = rows.filter(|r| r.values.iter().any(|v| !is_stale(*v))).collect();
        evaluator.unique(rows).map(Answer::Vector)
    }
}

type Key = Vec<(Symbol, Symbol)>;

/// Rows by the labels that they are matched by.
fn by_key(rows: &[Row], which: &Which) -> HashMap<Key, Vec<usize>> {
    let mut all: HashMap<Key, Vec<usize>> = HashMap::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        all.entry(which.of(&row.labels)).or_default().push(index);
    }
    all
}

/// `and`, `unless`, `or`.
fn set(op: TokenId, left: Vec<Row>, right: Vec<Row>, which: &Which, steps: Steps) -> Vec<Row> {
    // Those whose partners decide, and the partners.
    let present = |rows: &[Row]| -> HashMap<Key, Vec<bool>> {
        let mut all: HashMap<Key, Vec<bool>> = HashMap::new();
        for row in rows {
            let seen = all.entry(which.of(&row.labels)).or_insert_with(|| vec![false; steps.count]);
            for (seen, value) in seen.iter_mut().zip(&row.values) {
                *seen |= !is_stale(*value);
            }
        }
        all
    };
    let keep = |rows: Vec<Row>, partners: &HashMap<Key, Vec<bool>>, with_partner: bool| {
        let kept = rows.into_iter().map(|mut row| {
            let partner = partners.get(&which.of(&row.labels));
            for (step, value) in row.values.iter_mut().enumerate() {
                if partner.is_some_and(|p| p[step]) != with_partner {
                    *value = STALE;
                }
            }
            row
        });
        kept.filter(|r| r.values.iter().any(|v| !is_stale(*v))).collect::<Vec<_>>()
    };
    match op {
        T_LAND => keep(left, &present(&right), true),
        T_LUNLESS => keep(left, &present(&right), false),
        _ => {
            let partners = present(&left);
            let mut all = left;
            for row in keep(right, &partners, false) {
                // The same labels at other steps are the same series.
                match all.iter_mut().find(|known| known.labels == row.labels) {
                    Some(known) => {
                        for (mine, theirs) in known.values.iter_mut().zip(row.values) {
                            if is_stale(*mine) {
                                *mine = theirs;
                            }
                        }
                    }
                    None => all.push(row),
                }
            }
            all
        }
    }
}

/// Arithmetic and comparisons between vectors.
fn matched(
    evaluator: &mut Evaluator<'_>,
    op: Op,
    left: Vec<Row>,
    right: Vec<Row>,
    which: &Which,
    modifier: &BinModifier,
    steps: Steps,
) -> Result<Vec<Row>, QueryError> {
    let (many_is_left, grouped) = match &modifier.card {
        VectorMatchCardinality::OneToMany(_) => (false, true),
        VectorMatchCardinality::ManyToOne(_) => (true, true),
        VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => (true, false),
    };
    let include: Vec<Symbol> = modifier
        .card
        .labels()
        .map(|labels| labels.labels.iter().map(|l| evaluator.table.id(l)).collect())
        .unwrap_or_default();
    let (many, one) = if many_is_left { (left, right) } else { (right, left) };
    let any = |rows: &[Row], step: usize| rows.iter().any(|r| !is_stale(r.values[step]));
    let both: Vec<bool> = (0..steps.count).map(|step| any(&many, step) && any(&one, step)).collect();
    let ones = by_key(&one, which);
    for members in ones.values().filter(|m| m.len() > 1) {
        check_one(&one, members, &both, many_is_left)?;
    }
    let mut out = Out { at: HashMap::new(), rows: Vec::new(), grouped };
    for (key, members) in by_key(&many, which) {
        let Some(partners) = ones.get(&key) else { continue };
        let mut taken = vec![false; steps.count];
        for row in members.iter().map(|m| &many[*m]) {
            for partner in partners.iter().map(|p| &one[*p]) {
                evaluator.charge(steps.count)?;
                let labels = result_labels(op, row, partner, which, grouped, &include);
                out.add(&labels, &mut taken, steps, |step| {
                    let (a, b) = (row.values[step], partner.values[step]);
                    if is_stale(a) || is_stale(b) {
                        return STALE;
                    }
                    let (l, r) = if many_is_left { (a, b) } else { (b, a) };
                    op.element(l, r, l)
                })?;
            }
        }
    }
    Ok(out.rows)
}

/// That no two of the one side are there at the same step.
fn check_one(rows: &[Row], members: &[usize], both: &[bool], one_is_right: bool) -> Result<(), QueryError> {
    for (step, both) in both.iter().enumerate() {
        if *both && members.iter().filter(|m| !is_stale(rows[**m].values[step])).count() > 1 {
            let side = if one_is_right { "right" } else { "left" };
            return Err(QueryError::Evaluate(format!(
                "found duplicate series for the match group on the {side} hand-side of the operation; \
                 many-to-many matching not allowed: matching labels must be unique on one side"
            )));
        }
    }
    Ok(())
}

fn result_labels(
    op: Op,
    row: &Row,
    partner: &Row,
    which: &Which,
    grouped: bool,
    include: &[Symbol],
) -> Labels {
    let mut labels: Labels = if op.drops_name() { nameless(&row.labels) } else { row.labels.clone() };
    if !grouped {
        labels = match which {
            Which::Only(names) => labels.iter().filter(|(n, _)| names.contains(n)).copied().collect(),
            Which::Without(names) => labels.iter().filter(|(n, _)| !names.contains(n)).copied().collect(),
        };
    }
    for name in include {
        labels = with(&labels, *name, get(&partner.labels, *name));
    }
    debug_assert!(!op.drops_name() || include.contains(&NAME_SYMBOL) || get(&labels, NAME_SYMBOL).is_none());
    labels
}

struct Out {
    at: HashMap<Labels, usize>,
    rows: Vec<Row>,
    grouped: bool,
}

impl Out {
    fn add(
        &mut self,
        labels: &Labels,
        taken: &mut [bool],
        steps: Steps,
        value: impl Fn(usize) -> f64,
    ) -> Result<(), QueryError> {
        let mut index = self.at.get(labels).copied();
        for (step, taken) in taken.iter_mut().enumerate() {
            let value = value(step);
            if is_stale(value) {
                continue;
            }
            if !self.grouped && std::mem::replace(taken, true) {
                let what = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                return Err(QueryError::Evaluate(what.to_owned()));
            }
            let row = match index {
                Some(index) => &mut self.rows[index],
                None => {
                    self.rows.push(Row { labels: labels.clone(), values: vec![STALE; steps.count] });
                    self.at.insert(labels.clone(), self.rows.len() - 1);
                    index = Some(self.rows.len() - 1);
                    let last = self.rows.len() - 1;
                    &mut self.rows[last]
                }
            };
            if !is_stale(row.values[step]) {
                let what = "multiple matches for labels: grouping labels must ensure unique matches";
                return Err(QueryError::Evaluate(what.to_owned()));
            }
            row.values[step] = value;
        }
        Ok(())
    }
}
