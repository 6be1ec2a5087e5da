//! What an expression is for a request.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::attribute::Attributes;
use super::parse::{Comparison, Node, TextTest};

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing is there, or the parts do not fit together.
    Missing,
    /// `null`
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A text.
    Text(Cow<'a, str>),
}

/// As a label shows it; nothing for [`Value::Missing`] and [`Value::Null`].
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing | Self::Null => Ok(()),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

pub(super) fn evaluate<'a>(node: &'a Node, of: &'a dyn Attributes) -> Value<'a> {
    match node {
        Node::Text(text) => Value::Text(Cow::Borrowed(text)),
        Node::Int(number) => Value::Int(*number),
        Node::Double(number) => Value::Double(*number),
        Node::Bool(value) => Value::Bool(*value),
        Node::Null => Value::Null,
        Node::Attribute(attribute) => of.get(attribute),
        Node::Has(attribute) => Value::Bool(!matches!(of.get(attribute), Value::Missing | Value::Null)),
        Node::Not(inner) => match evaluate(inner, of) {
            Value::Bool(value) => Value::Bool(!value),
            _ => Value::Missing,
        },
        Node::Negative(inner) => match evaluate(inner, of) {
            Value::Int(value) => value.checked_neg().map_or(Value::Missing, Value::Int),
            Value::Double(value) => Value::Double(-value),
            _ => Value::Missing,
        },
        // What decides alone decides, whatever became of the other side.
        Node::And(both) => logic(both, of, false),
        Node::Or(both) => logic(both, of, true),
        Node::Choose(all) => match evaluate(&all.0, of) {
            Value::Bool(true) => evaluate(&all.1, of),
            Value::Bool(false) => evaluate(&all.2, of),
            _ => Value::Missing,
        },
        Node::Compare(how, both) => compare(*how, &evaluate(&both.0, of), &evaluate(&both.1, of)),
        Node::Add(both) => add(evaluate(&both.0, of), evaluate(&both.1, of)),
        Node::Subtract(both) => match (evaluate(&both.0, of), evaluate(&both.1, of)) {
            (Value::Int(a), Value::Int(b)) => a.checked_sub(b).map_or(Value::Missing, Value::Int),
            (Value::Double(a), Value::Double(b)) => Value::Double(a - b),
            _ => Value::Missing,
        },
        Node::OneOf(inner, list) => match evaluate(inner, of) {
            Value::Missing => Value::Missing,
            value => Value::Bool(list.iter().any(|other| equal(&value, &evaluate(other, of)) == Some(true))),
        },
        Node::Size(inner) => match evaluate(inner, of) {
            Value::Text(text) => Value::number(text.chars().count()),
            _ => Value::Missing,
        },
        Node::AsText(inner) => match evaluate(inner, of) {
            Value::Missing | Value::Null => Value::Missing,
            text @ Value::Text(_) => text,
            other => Value::Text(Cow::Owned(other.to_string())),
        },
        Node::AsInt(inner) => match evaluate(inner, of) {
            number @ Value::Int(_) => number,
            Value::Text(text) => text.parse().map_or(Value::Missing, Value::Int),
            #[allow(clippy::cast_possible_truncation, reason = "what does not fit sticks at the ends")]
            Value::Double(number) if number.is_finite() => Value::Int(number as i64),
            _ => Value::Missing,
        },
        Node::Test(test, both) => match (evaluate(&both.0, of), evaluate(&both.1, of)) {
            (Value::Text(text), Value::Text(part)) => Value::Bool(match test {
                TextTest::Contains => text.contains(&*part),
                TextTest::StartsWith => text.starts_with(&*part),
                TextTest::EndsWith => text.ends_with(&*part),
            }),
            _ => Value::Missing,
        },
        Node::Matches(inner, regex) => match evaluate(inner, of) {
            Value::Text(text) => Value::Bool(regex.is_match(&text)),
            _ => Value::Missing,
        },
    }
}

fn logic<'a>(both: &'a (Node, Node), of: &'a dyn Attributes, decides: bool) -> Value<'a> {
    let left = evaluate(&both.0, of);
    if left == Value::Bool(decides) {
        return left;
    }
    match (left, evaluate(&both.1, of)) {
        (_, Value::Bool(value)) if value == decides => Value::Bool(decides),
        (Value::Bool(_), Value::Bool(_)) => Value::Bool(!decides),
        _ => Value::Missing,
    }
}

fn add<'a>(left: Value<'a>, right: Value<'a>) -> Value<'a> {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => Value::Text(a + b),
        (Value::Int(a), Value::Int(b)) => a.checked_add(b).map_or(Value::Missing, Value::Int),
        (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
        _ => Value::Missing,
    }
}

#[allow(clippy::cast_precision_loss, reason = "numbers of different kinds are compared as CEL does")]
fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Double(b)) => (*a as f64).partial_cmp(b),
        (Value::Double(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Whether two values are equal; `None` when one is not there. Values of different kinds are not equal.
fn equal(left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    match (left, right) {
        (Value::Missing, _) | (_, Value::Missing) => None,
        (Value::Null, Value::Null) => Some(true),
        _ => Some(order(left, right) == Some(Ordering::Equal)),
    }
}

fn compare<'a>(how: Comparison, left: &Value<'_>, right: &Value<'_>) -> Value<'a> {
    let decided = match how {
        Comparison::Equal => equal(left, right),
        Comparison::Unequal => equal(left, right).map(|equal| !equal),
        Comparison::Less => order(left, right).map(Ordering::is_lt),
        Comparison::AtMost => order(left, right).map(Ordering::is_le),
        Comparison::Greater => order(left, right).map(Ordering::is_gt),
        Comparison::AtLeast => order(left, right).map(Ordering::is_ge),
    };
    decided.map_or(Value::Missing, Value::Bool)
}
