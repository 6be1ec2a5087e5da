//! Kubernetes' strategic merge patch: a merge patch in which lists merge by their keys, with directives.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tulle_api::schema::{Merge, Shape};

use super::{MAX_DEPTH, PatchError, brief, deeper_than, malformed, unapplicable};

/// Says what happens to the mapping or list that it stands in: `replace`, `merge` or `delete`.
const DIRECTIVE: &str = "$patch";
/// Names the fields to keep of a mapping.
const RETAIN: &str = "$retainKeys";
/// Begins the name of a field that says in which order the elements of a list stand.
const ORDER: &str = "$setElementOrder/";
/// Begins the name of a field that lists values to remove from a list of scalars.
const DELETE: &str = "$deleteFromPrimitiveList/";

/// The object `target` with `patch` done to it. How lists merge is read from `shape`; a list of which nothing is known
/// is replaced.
///
/// # Errors
/// If a directive is malformed, or an element of a list lacks its key; the message names the field.
pub fn strategic(target: &Value, patch: &Value, shape: Shape) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        return malformed(format!("a strategic merge patch must be a mapping but is {}", brief(patch)));
    };
    if patch.values().any(|v| deeper_than(v, MAX_DEPTH - 1)) {
        return malformed(format!("a patch must not be nested deeper than {MAX_DEPTH} levels"));
    }
    let nothing = Map::new();
    let target = target.as_object().unwrap_or(&nothing);
    map(target, patch, &shape, &Path::ROOT).map(Value::Object)
}

/// Where in the patch this is, for messages.
#[derive(Clone, Copy)]
struct Path<'a> {
    above: Option<&'a Path<'a>>,
    name: &'a str,
}

impl<'a> Path<'a> {
    const ROOT: Path<'static> = Path { above: None, name: "" };

    fn field<'b>(&'b self, name: &'b str) -> Path<'b> {
        Path { above: Some(self), name }
    }

    fn text(&self) -> String {
        match self.above.map(Path::text) {
            None => String::new(),
            Some(above) if above.is_empty() => self.name.to_owned(),
            Some(above) => format!("{above}.{}", self.name),
        }
    }
}

type Object = Map<String, Value>;

fn map(target: &Object, patch: &Object, shape: &Shape, at: &Path<'_>) -> Result<Object, PatchError> {
    match directive(patch, at)? {
        Some("replace") => return Ok(without_directive(patch)),
        Some("delete") => return Ok(Object::new()),
        _ => {}
    }
    let mut out = target.clone();
    retain(&mut out, patch, at)?;
    for (name, value) in patch {
        if name == DIRECTIVE || name == RETAIN || name.starts_with(ORDER) {
            continue;
        }
        if let Some(name) = name.strip_prefix(DELETE) {
            delete_values(&mut out, name, value, at)?;
            continue;
        }
        let (shape, at) = (shape.field(name), at.field(name));
        let merged = match (out.get(name), value) {
            (_, Value::Null) => {
                out.remove(name);
                continue;
            }
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(map(old, new, &shape, &at)?),
            (None, Value::Object(new)) => Value::Object(map(&Object::new(), new, &shape, &at)?),
            (Some(Value::Array(old)), Value::Array(new)) => Value::Array(list(old, new, &shape, &at)?),
            (None, Value::Array(new)) => Value::Array(list(&[], new, &shape, &at)?),
            (_, other) => without_directives(other),
        };
        out.insert(name.clone(), merged);
    }
    for (name, order) in patch {
        if let Some(name) = name.strip_prefix(ORDER) {
            let elements = |of: &Object| of.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
            let (old, at) = (elements(target), at.field(name));
            if let Some(Value::Array(new)) = out.get_mut(name) {
                *new = ordered(std::mem::take(new), &old, order, &shape.field(name), &at)?;
            }
        }
    }
    Ok(out)
}

fn directive<'p>(patch: &'p Object, at: &Path<'_>) -> Result<Option<&'p str>, PatchError> {
    match patch.get(DIRECTIVE) {
        None => Ok(None),
        Some(Value::String(word)) if ["replace", "merge", "delete"].contains(&word.as_str()) => {
            Ok(Some(word))
        }
        Some(other) => malformed(format!(
            "{}: must be replace, merge or delete but is {}",
            at.field(DIRECTIVE).text(),
            brief(other)
        )),
    }
}

fn without_directive(patch: &Object) -> Object {
    patch.iter().filter(|(k, _)| *k != DIRECTIVE).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// A value that has nothing to merge with: its directives and nulls mean nothing.
fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(k, v)| {
                let special = [DIRECTIVE, RETAIN].contains(&k.as_str())
                    || [ORDER, DELETE].iter().any(|prefix| k.starts_with(prefix));
                !special && !v.is_null()
            });
            Value::Object(kept.map(|(k, v)| (k.clone(), without_directives(v))).collect())
        }
        other => other.clone(),
    }
}

/// `$retainKeys`: fields that it does not name go.
fn retain(out: &mut Object, patch: &Object, at: &Path<'_>) -> Result<(), PatchError> {
    let Some(names) = patch.get(RETAIN) else { return Ok(()) };
    let at = at.field(RETAIN);
    let names: Option<BTreeSet<&str>> =
        names.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
    let Some(names) = names else { return malformed(format!("{}: must be a list of names", at.text())) };
    for (name, value) in patch {
        if !value.is_null() && !name.starts_with('$') && !names.contains(name.as_str()) {
            return malformed(format!("{}: {name} is set by the patch but is not in the list", at.text()));
        }
    }
    out.retain(|name, _| names.contains(name.as_str()));
    Ok(())
}

fn delete_values(out: &mut Object, name: &str, values: &Value, at: &Path<'_>) -> Result<(), PatchError> {
    let Value::Array(values) = values else {
        let text = at.field(name).text();
        return malformed(format!("{text}: what to delete must be a list but is {}", brief(values)));
    };
    if let Some(Value::Array(list)) = out.get_mut(name) {
        let values: BTreeSet<String> = values.iter().map(Value::to_string).collect();
        list.retain(|item| !values.contains(&item.to_string()));
    }
    Ok(())
}

/// The field by which elements of a list are told apart in patches, if they are.
fn merge_key(shape: &Shape) -> Option<&'static str> {
    match shape.merge() {
        Merge::Keyed(keys) => keys.first().copied(),
        Merge::Granular | Merge::Atomic | Merge::Set => None,
    }
}

fn list(old: &[Value], new: &[Value], shape: &Shape, at: &Path<'_>) -> Result<Vec<Value>, PatchError> {
    match shape.merge() {
        Merge::Granular | Merge::Atomic => {
            let is_directive =
                |v: &&Value| v.as_object().is_some_and(|m| m.len() == 1 && m.contains_key(DIRECTIVE));
            Ok(new.iter().filter(|v| !is_directive(v)).map(without_directives).collect())
        }
        Merge::Set => {
            let mut out = old.to_vec();
            let mut seen: BTreeSet<String> = out.iter().map(Value::to_string).collect();
            out.extend(new.iter().filter(|v| seen.insert(v.to_string())).cloned());
            Ok(out)
        }
        Merge::Keyed(keys) => match keys.first() {
            Some(key) => keyed(old, new, key, shape, at),
            None => Ok(new.to_vec()),
        },
    }
}

fn keyed(
    old: &[Value],
    new: &[Value],
    key: &str,
    shape: &Shape,
    at: &Path<'_>,
) -> Result<Vec<Value>, PatchError> {
    let mut deleted = BTreeSet::new();
    for item in new {
        let Value::Object(map) = item else {
            return unapplicable(format!(
                "{}: an element must be a mapping but is {}",
                at.text(),
                brief(item)
            ));
        };
        match directive(map, at)? {
            Some("replace") => {
                // The other elements of the patch are all that is left.
                let rest: Vec<Value> = new.iter().filter(|i| i.get(DIRECTIVE).is_none()).cloned().collect();
                return keyed(&[], &rest, key, shape, at);
            }
            Some("delete") => drop(deleted.insert(key_of(item, key, at)?.to_string())),
            _ => {}
        }
    }
    let named = |item: &Value| item.get(key).map(Value::to_string);
    let mut out: Vec<Value> =
        old.iter().filter(|o| named(o).is_none_or(|n| !deleted.contains(&n))).cloned().collect();
    let mut places = BTreeMap::new();
    for (place, item) in out.iter().enumerate() {
        places.entry(named(item)).or_insert(place);
    }
    for item in new.iter().filter(|i| i.get(DIRECTIVE).is_none_or(|d| d != "delete")) {
        let name = Some(key_of(item, key, at)?.to_string());
        let Value::Object(patch) = item else { continue };
        let place = *places.entry(name).or_insert(out.len());
        let nothing = Object::new();
        let before = out.get(place).and_then(Value::as_object).unwrap_or(&nothing);
        let merged = Value::Object(self::map(before, patch, &shape.element(), at)?);
        match out.get_mut(place) {
            Some(item) => *item = merged,
            None => out.push(merged),
        }
    }
    Ok(out)
}

fn key_of<'v>(item: &'v Value, key: &str, at: &Path<'_>) -> Result<&'v Value, PatchError> {
    match item.get(key) {
        Some(value) if !value.is_null() => Ok(value),
        _ => unapplicable(format!("{}: an element of the patch must have {key}, its merge key", at.text())),
    }
}

/// The elements in the order of `$setElementOrder`; those that it does not name keep their place before what came after
/// them in the old list.
fn ordered(
    elements: Vec<Value>,
    old: &[Value],
    order: &Value,
    shape: &Shape,
    at: &Path<'_>,
) -> Result<Vec<Value>, PatchError> {
    let Value::Array(order) = order else {
        return malformed(format!("{}: the order of elements must be a list", at.text()));
    };
    let name = |item: &Value| match merge_key(shape) {
        Some(key) => item.get(key).map(Value::to_string),
        None => Some(item.to_string()),
    };
    let places = |list: &[Value]| {
        let mut places = BTreeMap::new();
        for (i, item) in list.iter().enumerate() {
            places.entry(name(item)).or_insert(i);
        }
        places
    };
    let (wanted, before) = (places(order), places(old));
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        elements.into_iter().partition(|e| wanted.contains_key(&name(e)));
    named.sort_by_key(|e| wanted.get(&name(e)).copied());
    let mut out = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(n), Some(o)) = (named.peek(), others.peek()) {
        let other_first = match (before.get(&name(o)), before.get(&name(n))) {
            (Some(o), Some(n)) => o < n,
            _ => false,
        };
        out.extend(if other_first { others.next() } else { named.next() });
    }
    out.extend(named);
    out.extend(others);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tulle_api::Kind;

    use super::*;

    fn pod(target: Value, patch: Value) -> Result<Value, PatchError> {
        let shape = Shape::object(Kind::Pod.info());
        let merged = strategic(&json!({"spec": target}), &json!({"spec": patch}), shape)?;
        Ok(merged["spec"].clone())
    }

    fn check(target: Value, patch: Value, expected: Value) {
        assert_eq!(pod(target.clone(), patch.clone()), Ok(expected), "{target} with {patch}");
    }

    #[test]
    fn lists_merge_by_their_key() {
        check(
            json!({"containers": [{"name": "a", "image": "x", "env": [{"name": "E", "value": "1"}]}, {"name": "b"}]}),
            json!({"containers": [{"name": "a", "image": "y", "env": [{"name": "F", "value": "2"}]}, {"name": "c"}]}),
            json!({"containers": [
                {"name": "a", "image": "y", "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}]},
                {"name": "b"}, {"name": "c"}]}),
        );
        check(
            json!({"containers": [{"name": "a", "args": ["1"]}]}),
            json!({"containers": [{"name": "a", "args": ["2"]}]}),
            json!({"containers": [{"name": "a", "args": ["2"]}]}),
        );
        check(
            json!({"tolerations": [{"key": "a"}]}),
            json!({"tolerations": [{"key": "b"}]}),
            json!({"tolerations": [{"key": "b"}]}),
        );
    }

    #[test]
    fn directives() {
        let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        check(
            two.clone(),
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b"}]}),
        );
        check(
            two.clone(),
            json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
            json!({"containers": [{"name": "c"}]}),
        );
        check(
            two.clone(),
            json!({"containers": [{"name": "a", "$patch": "replace", "image": "x"}, {"name": "b"}]}),
            json!({"containers": [{"name": "b"}]}),
        );
        check(
            json!({"securityContext": {"runAsUser": 1}}),
            json!({"securityContext": {"$patch": "replace", "fsGroup": 2}}),
            json!({"securityContext": {"fsGroup": 2}}),
        );
        check(
            json!({"securityContext": {"runAsUser": 1}}),
            json!({"securityContext": {"$patch": "delete"}}),
            json!({"securityContext": {}}),
        );
        check(
            json!({"hostname": "x", "subdomain": "y"}),
            json!({"hostname": null}),
            json!({"subdomain": "y"}),
        );
        check(
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
        );
        let order = json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [{"name": "c"}]});
        check(two, order, json!({"containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}));
    }

    #[test]
    fn sets_of_scalars() {
        let shape = Shape::object(Kind::Pod.info());
        let target = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch = json!({"metadata": {"finalizers": ["b", "c"], "$deleteFromPrimitiveList/finalizers": ["a"],
            "$setElementOrder/finalizers": ["c", "b"]}});
        let merged = strategic(&target, &patch, shape).unwrap();
        assert_eq!(merged, json!({"metadata": {"finalizers": ["c", "b"]}}));
    }

    #[test]
    fn says_what_is_wrong() {
        let fails =
            |patch: Value| pod(json!({"containers": [{"name": "a"}]}), patch).unwrap_err().to_string();
        assert_eq!(
            fails(json!({"containers": [{"image": "x"}]})),
            "spec.containers: an element of the patch must have name, its merge key"
        );
        assert_eq!(
            fails(json!({"containers": ["x"]})),
            "spec.containers: an element must be a mapping but is \"x\""
        );
        assert_eq!(
            fails(json!({"$patch": "drop"})),
            "spec.$patch: must be replace, merge or delete but is \"drop\""
        );
        assert_eq!(fails(json!({"$retainKeys": "x"})), "spec.$retainKeys: must be a list of names");
        assert_eq!(
            fails(json!({"$retainKeys": ["a"], "b": 1})),
            "spec.$retainKeys: b is set by the patch but is not in the list"
        );
        let order = json!({"$setElementOrder/containers": 1});
        assert_eq!(fails(order), "spec.containers: the order of elements must be a list");
    }
}
