//! Walks through objects along their tables: the fields of a value, what differs between two, and the merge of two.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tulle_api::schema::{Merge, Shape, TypeInfo};

use super::set::{Element, Set, canonical};

/// How a value is walked, given its shape.
enum Kind<'a> {
    /// As a whole.
    Leaf,
    /// Field by field.
    Map(&'a Map<String, Value>),
    /// Element by element.
    List(&'a [Value]),
}

fn kind<'a>(value: &'a Value, shape: &Shape) -> Kind<'a> {
    match (value, shape.merge()) {
        (_, Merge::Atomic) => Kind::Leaf,
        (Value::Object(map), _) => Kind::Map(map),
        (Value::Array(list), Merge::Set | Merge::Keyed(_)) => Kind::List(list),
        _ => Kind::Leaf,
    }
}

/// The element that `item` of a list of this shape is; a sentence says why it is none.
fn element(item: &Value, list: &Shape) -> Result<Element, String> {
    match list.merge() {
        Merge::Set if item.is_object() || item.is_array() => {
            Err(format!("must be text, a number or a boolean, not {item}"))
        }
        Merge::Set => Ok(Element::Value(item.to_string())),
        Merge::Keyed(names) => {
            let fields = item.as_object().ok_or_else(|| format!("must be a mapping, not {item}"))?;
            let mut keys = Map::new();
            for name in names {
                let written = fields.get(*name).filter(|v| !v.is_null()).cloned();
                let default = list.element().field(name).default().map(Value::from);
                let key =
                    written.or(default).ok_or_else(|| format!("must have {name}, which tells it apart"))?;
                keys.insert((*name).to_owned(), key);
            }
            Ok(Element::Key(canonical(&keys)))
        }
        Merge::Granular | Merge::Atomic => Err("is part of a list that is one value".to_owned()),
    }
}

/// The elements of a list, or `None` if it has one that cannot be told apart; the list then counts as one value.
fn elements(list: &[Value], shape: &Shape) -> Option<Vec<Element>> {
    list.iter().map(|item| element(item, shape).ok()).collect()
}

/// The fields that `value` sets, as an applied configuration owns them: leaves, elements of lists, and empty mappings.
pub(super) fn fields(value: &Value, shape: &Shape) -> Set {
    match kind(value, shape) {
        Kind::Leaf => Set::leaf(),
        Kind::Map(map) => {
            let mut set = Set::default();
            for (name, value) in map {
                let below = shape.field(name);
                let mut inner = fields(value, &below);
                inner.here |= value.as_object().is_some_and(Map::is_empty) || !shape.declares(name);
                set.put(Element::field(name), inner);
            }
            set
        }
        Kind::List(list) => {
            let Some(elements) = elements(list, shape) else { return Set::leaf() };
            let mut set = Set::default();
            for (element, item) in elements.into_iter().zip(list) {
                let mut inner = fields(item, &shape.element());
                inner.here = true;
                set.put(element, inner);
            }
            set
        }
    }
}

/// What is wrong with a value that is to be applied, each with its path: values of the wrong type, and elements of lists
/// that cannot be told apart.
pub(super) fn problems(value: &Value, shape: &Shape) -> Vec<(String, String)> {
    let mut out = Vec::new();
    check(value, shape, &mut String::new(), &mut out);
    out
}

fn check(value: &Value, shape: &Shape, path: &mut String, out: &mut Vec<(String, String)>) {
    let wanted = match shape.ty() {
        Some(TypeInfo::List(_)) if !value.is_array() => "a list",
        Some(TypeInfo::Map(_) | TypeInfo::Record(_) | TypeInfo::Oneof(_)) if !value.is_object() => {
            "a mapping"
        }
        _ => "",
    };
    if !wanted.is_empty() && !value.is_null() {
        out.push((path.clone(), format!("must be {wanted}")));
        return;
    }
    let length = path.len();
    match kind(value, shape) {
        Kind::Leaf => {}
        Kind::Map(map) => {
            for (name, value) in map {
                path.push_str(&Element::field(name).to_string());
                check(value, &shape.field(name), path, out);
                path.truncate(length);
            }
        }
        Kind::List(list) => {
            let mut seen = BTreeSet::new();
            for (index, item) in list.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                match element(item, shape) {
                    Err(message) => out.push((path.clone(), message)),
                    Ok(element) if !seen.insert(element.clone()) => {
                        out.push((path.clone(), format!("is there twice: {element}")));
                    }
                    Ok(_) => check(item, &shape.element(), path, out),
                }
                path.truncate(length);
            }
        }
    }
}

/// What differs between two objects.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// What the first does not have.
    pub(super) added: Set,
    /// What the second does not have.
    pub(super) removed: Set,
    /// What both have with another value.
    pub(super) modified: Set,
}

impl Difference {
    fn put(&mut self, element: Element, below: Difference) {
        self.added.put(element.clone(), below.added);
        self.removed.put(element.clone(), below.removed);
        self.modified.put(element, below.modified);
    }

    /// What was added or modified.
    pub(super) fn changed(&self) -> Set {
        let mut set = self.added.clone();
        set.add(&self.modified);
        set
    }
}

/// What differs from `before` to `after`.
pub(super) fn difference(before: &Value, after: &Value, shape: &Shape) -> Difference {
    let mut out = Difference::default();
    match (kind(before, shape), kind(after, shape)) {
        (Kind::Map(a), Kind::Map(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let below = one(a.get(name), b.get(name), &shape.field(name));
                out.put(Element::field(name), below);
            }
        }
        (Kind::List(a), Kind::List(b)) => match (elements(a, shape), elements(b, shape)) {
            (Some(x), Some(y)) => {
                let (x, y) = (index(x, a), index(y, b));
                let names: BTreeSet<&Element> = x.keys().chain(y.keys()).collect();
                for name in names {
                    let below = one(x.get(name).copied(), y.get(name).copied(), &shape.element());
                    out.put(name.clone(), below);
                }
            }
            _ => out.modified.here = !same(before, after),
        },
        _ => out.modified.here = !same(before, after),
    }
    out
}

/// The items of a list by element; the first counts where one is there twice.
fn index(elements: Vec<Element>, list: &[Value]) -> BTreeMap<Element, &Value> {
    let mut out = BTreeMap::new();
    for (element, item) in elements.into_iter().zip(list) {
        out.entry(element).or_insert(item);
    }
    out
}

fn one(before: Option<&Value>, after: Option<&Value>, shape: &Shape) -> Difference {
    let mut out = Difference::default();
    match (before.filter(|v| !v.is_null()), after.filter(|v| !v.is_null())) {
        (Some(before), Some(after)) => out = difference(before, after, shape),
        (Some(before), None) => out.removed = everything(before, shape),
        (None, Some(after)) => out.added = everything(after, shape),
        (None, None) => {}
    }
    out
}

/// The fields of a value with each mapping and list on the way.
fn everything(value: &Value, shape: &Shape) -> Set {
    let mut set = Set::leaf();
    match kind(value, shape) {
        Kind::Leaf => {}
        Kind::Map(map) => {
            for (name, value) in map {
                set.put(Element::field(name), everything(value, &shape.field(name)));
            }
        }
        Kind::List(list) => {
            for (element, item) in elements(list, shape).unwrap_or_default().into_iter().zip(list) {
                set.put(element, everything(item, &shape.element()));
            }
        }
    }
    set
}

/// Whether two values are equal, numbers by their value.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || (x.as_f64() == y.as_f64() && x.is_f64() != y.is_f64())
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, a)| y.get(k).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Puts the applied value over the live one.
pub(super) fn merge(live: &Value, applied: &Value, shape: &Shape) -> Value {
    match (kind(live, shape), kind(applied, shape)) {
        (Kind::Map(a), Kind::Map(b)) => {
            let mut out = a.clone();
            for (name, value) in b {
                let merged = match a.get(name) {
                    Some(live) => merge(live, value, &shape.field(name)),
                    None => value.clone(),
                };
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        (Kind::List(a), Kind::List(b)) => match (elements(a, shape), elements(b, shape)) {
            (Some(x), Some(y)) => Value::Array(merge_lists((a, x), (b, y), shape)),
            _ => applied.clone(),
        },
        _ => applied.clone(),
    }
}

/// Elements of the live list alone keep their places; those of the applied one come in its order.
fn merge_lists(
    live: (&[Value], Vec<Element>),
    applied: (&[Value], Vec<Element>),
    shape: &Shape,
) -> Vec<Value> {
    let wanted: BTreeSet<&Element> = applied.1.iter().collect();
    let mut places = BTreeMap::new();
    for (place, element) in live.1.iter().enumerate() {
        places.entry(element).or_insert(place);
    }
    let alone = |from: usize, to: usize| {
        let pairs = live.1[from..to].iter().zip(&live.0[from..to]);
        pairs.filter(|(e, _)| !wanted.contains(e)).map(|(_, v)| v.clone())
    };
    let mut out = Vec::with_capacity(live.0.len() + applied.0.len());
    let mut next = 0;
    for (element, item) in applied.1.iter().zip(applied.0) {
        let Some(&place) = places.get(element) else {
            out.push(item.clone());
            continue;
        };
        // What stands before it in the live list and is there alone comes first.
        if place >= next {
            out.extend(alone(next, place));
            next = place + 1;
        }
        out.push(merge(&live.0[place], item, &shape.element()));
    }
    out.extend(alone(next, live.0.len()));
    out
}

/// Removes the fields of `last` that `keep` does not have. What lies below a removed field goes with it; mappings and
/// lists that this leaves empty go too, unless `keep` has them.
pub(super) fn prune(value: &mut Value, last: &Set, keep: &Set, shape: &Shape) {
    let is_list = match kind(value, shape) {
        Kind::Leaf => return,
        Kind::Map(_) => false,
        Kind::List(_) => true,
    };
    match value {
        Value::Object(map) => {
            for (element, last) in &last.below {
                let Element::Field(name) = element else { continue };
                let Some(inner) = map.get_mut(name) else { continue };
                if prune_one(inner, last, keep.below.get(element), &shape.field(name)) {
                    map.remove(name);
                }
            }
        }
        Value::Array(list) if is_list => {
            let Some(elements) = elements(list, shape) else { return };
            let mut elements = elements.into_iter();
            list.retain_mut(|item| {
                let Some(element) = elements.next() else { return true };
                let Some(last) = last.below.get(&element) else { return true };
                !prune_one(item, last, keep.below.get(&element), &shape.element())
            });
        }
        _ => {}
    }
}

/// Prunes one value; says whether it goes as a whole.
fn prune_one(value: &mut Value, last: &Set, keep: Option<&Set>, shape: &Shape) -> bool {
    let nothing = Set::default();
    if last.here && keep.is_none_or(Set::is_empty) {
        return true;
    }
    let before = size(value);
    prune(value, last, keep.unwrap_or(&nothing), shape);
    before > 0 && size(value) == 0 && !keep.is_some_and(|k| k.here)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    }
}
