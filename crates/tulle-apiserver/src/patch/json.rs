//! JSON Patch (RFC 6902) with JSON Pointers (RFC 6901).

use serde_json::{Map, Value};

use super::{MAX_DEPTH, PatchError, brief, deeper_than, malformed, unapplicable};
use crate::apply::same;

/// Most operations of a patch (as Kubernetes has it).
const MAX_OPERATIONS: usize = 10_000;
/// Most bytes that the `copy` operations of a patch may add.
const MAX_COPIED: usize = 3 << 20;

/// The document `target` with the operations of `patch` done to it one after the other; all or none.
///
/// # Errors
/// The number of the operation that is malformed or cannot be done, and why.
pub fn json(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Array(operations) = patch else {
        return malformed(format!("a JSON patch must be a list of operations but is {}", brief(patch)));
    };
    if operations.len() > MAX_OPERATIONS {
        let count = operations.len();
        return malformed(format!(
            "a JSON patch has at most {MAX_OPERATIONS} operations but this has {count}"
        ));
    }
    let operations: Vec<Operation> = operations
        .iter()
        .enumerate()
        .map(|(i, operation)| Operation::read(operation).map_err(|e| at(i, e)))
        .collect::<Result<_, _>>()?;
    let mut out = target.clone();
    let mut copied = 0;
    for (i, operation) in operations.iter().enumerate() {
        operation.run(&mut out, &mut copied).map_err(|e| at(i, e))?;
    }
    Ok(out)
}

fn at(index: usize, error: PatchError) -> PatchError {
    match error {
        PatchError::Malformed(message) => PatchError::Malformed(format!("operation {index}: {message}")),
        PatchError::Unapplicable(message) => {
            PatchError::Unapplicable(format!("operation {index}: {message}"))
        }
    }
}

/// A pointer, with its text for messages.
struct Pointer {
    text: String,
    steps: Vec<String>,
}

enum Operation {
    Add(Pointer, Value),
    Remove(Pointer),
    Replace(Pointer, Value),
    Move(Pointer, Pointer),
    Copy(Pointer, Pointer),
    Test(Pointer, Value),
}

impl Operation {
    fn read(value: &Value) -> Result<Self, PatchError> {
        let Value::Object(map) = value else {
            return malformed(format!("must be a mapping but is {}", brief(value)));
        };
        let operand = || match map.get("value") {
            Some(value) if deeper_than(value, MAX_DEPTH) => {
                malformed(format!("value must not be nested deeper than {MAX_DEPTH} levels"))
            }
            Some(value) => Ok(value.clone()),
            None => malformed("value is required"),
        };
        let path = pointer(map, "path")?;
        Ok(match map.get("op").and_then(Value::as_str) {
            Some("add") => Self::Add(path, operand()?),
            Some("remove") => Self::Remove(path),
            Some("replace") => Self::Replace(path, operand()?),
            Some("move") => Self::Move(pointer(map, "from")?, path),
            Some("copy") => Self::Copy(pointer(map, "from")?, path),
            Some("test") => Self::Test(path, operand()?),
            Some(other) => {
                return malformed(format!(
                    "op must be add, remove, replace, move, copy or test, not {other:?}"
                ));
            }
            None => return malformed("op is required: add, remove, replace, move, copy or test"),
        })
    }

    fn run(&self, document: &mut Value, copied: &mut usize) -> Result<(), PatchError> {
        match self {
            Self::Add(path, value) => add(document, path, value.clone()),
            Self::Remove(path) => remove(document, path).map(drop),
            Self::Replace(path, value) => {
                check_depth(path, value)?;
                *find_mut(document, path)? = value.clone();
                Ok(())
            }
            Self::Move(from, to) => {
                if to.steps.len() > from.steps.len() && to.steps.starts_with(&from.steps) {
                    return unapplicable(format!("{} cannot be moved into itself", from.text));
                }
                if from.text == to.text {
                    return find(document, from).map(drop);
                }
                let value = remove(document, from)?;
                add(document, to, value)
            }
            Self::Copy(from, to) => {
                let value = find(document, from)?.clone();
                *copied += value.to_string().len();
                if *copied > MAX_COPIED {
                    return unapplicable(format!(
                        "the copies of a patch may have {MAX_COPIED} bytes together"
                    ));
                }
                add(document, to, value)
            }
            Self::Test(path, expected) => match find(document, path)? {
                found if same(found, expected) => Ok(()),
                found => unapplicable(format!(
                    "test failed: {} is {}, not {}",
                    path.text,
                    brief(found),
                    brief(expected)
                )),
            },
        }
    }
}

fn pointer(map: &Map<String, Value>, name: &str) -> Result<Pointer, PatchError> {
    let text = match map.get(name) {
        Some(Value::String(text)) => text,
        Some(other) => return malformed(format!("{name} must be text but is {}", brief(other))),
        None => return malformed(format!("{name} is required")),
    };
    if text.is_empty() {
        return Ok(Pointer { text: text.clone(), steps: Vec::new() });
    }
    let Some(rest) = text.strip_prefix('/') else {
        return malformed(format!("{name}: the pointer {text:?} must begin with /"));
    };
    let steps: Vec<String> =
        rest.split('/').map(|step| unescape(step, name, text)).collect::<Result<_, _>>()?;
    if steps.len() > MAX_DEPTH {
        return malformed(format!("{name}: a pointer has at most {MAX_DEPTH} steps"));
    }
    Ok(Pointer { text: text.clone(), steps })
}

fn unescape(step: &str, name: &str, text: &str) -> Result<String, PatchError> {
    let mut out = String::with_capacity(step.len());
    let mut characters = step.chars();
    while let Some(c) = characters.next() {
        match (c, c == '~') {
            (_, true) => match characters.next() {
                Some('0') => out.push('~'),
                Some('1') => out.push('/'),
                _ => return malformed(format!("{name}: in {text:?} a ~ must be followed by 0 or 1")),
            },
            (c, false) => out.push(c),
        }
    }
    Ok(out)
}

/// The place of an index in a list of `length`; the end is one only if `end`.
fn index(step: &str, length: usize, end: bool, path: &Pointer) -> Result<usize, PatchError> {
    if step == "-" && end {
        return Ok(length);
    }
    let digits = !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit());
    if !digits || (step.len() > 1 && step.starts_with('0')) {
        return unapplicable(format!("{}: {step:?} is not an index of a list", path.text));
    }
    match step.parse::<usize>() {
        Ok(index) if index < length || (end && index == length) => Ok(index),
        _ => unapplicable(format!("{}: the list has {length} elements, so there is no {step}", path.text)),
    }
}

fn find<'v>(document: &'v Value, path: &Pointer) -> Result<&'v Value, PatchError> {
    path.steps.iter().try_fold(document, |value, step| match value {
        Value::Object(map) => map.get(step).map_or_else(|| missing(path, step), Ok),
        Value::Array(list) => Ok(&list[index(step, list.len(), false, path)?]),
        other => inside_scalar(path, step, other),
    })
}

fn find_mut<'v>(document: &'v mut Value, path: &Pointer) -> Result<&'v mut Value, PatchError> {
    descend(document, path, &path.steps)
}

fn descend<'v>(
    document: &'v mut Value,
    path: &Pointer,
    steps: &[String],
) -> Result<&'v mut Value, PatchError> {
    steps.iter().try_fold(document, |value, step| match value {
        Value::Object(map) => map.get_mut(step).map_or_else(|| missing(path, step), Ok),
        Value::Array(list) => {
            let index = index(step, list.len(), false, path)?;
            Ok(&mut list[index])
        }
        other => inside_scalar(path, step, other),
    })
}

fn missing<T>(path: &Pointer, step: &str) -> Result<T, PatchError> {
    unapplicable(format!("{}: there is no {step:?}", path.text))
}

fn inside_scalar<T>(path: &Pointer, step: &str, value: &Value) -> Result<T, PatchError> {
    unapplicable(format!("{}: there is no {step:?} in {}", path.text, brief(value)))
}

fn check_depth(path: &Pointer, value: &Value) -> Result<(), PatchError> {
    if deeper_than(value, MAX_DEPTH - path.steps.len()) {
        return unapplicable(format!("{}: the document would be deeper than {MAX_DEPTH} levels", path.text));
    }
    Ok(())
}

fn add(document: &mut Value, path: &Pointer, value: Value) -> Result<(), PatchError> {
    check_depth(path, &value)?;
    let Some((last, above)) = path.steps.split_last() else {
        *document = value;
        return Ok(());
    };
    match descend(document, path, above)? {
        Value::Object(map) => drop(map.insert(last.clone(), value)),
        Value::Array(list) => {
            let index = index(last, list.len(), true, path)?;
            list.insert(index, value);
        }
        other => return inside_scalar(path, last, other),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &Pointer) -> Result<Value, PatchError> {
    let Some((last, above)) = path.steps.split_last() else {
        return unapplicable("the whole document cannot be removed");
    };
    match descend(document, path, above)? {
        Value::Object(map) => map.remove(last).map_or_else(|| missing(path, last), Ok),
        Value::Array(list) => {
            let index = index(last, list.len(), false, path)?;
            Ok(list.remove(index))
        }
        other => inside_scalar(path, last, other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(target: Value, patch: Value, expected: Value) {
        assert_eq!(super::json(&target, &patch).as_ref(), Ok(&expected), "{target} with {patch}");
    }

    fn fails(target: Value, patch: Value) -> String {
        super::json(&target, &patch).expect_err("must not be done").to_string()
    }

    #[test]
    fn operations() {
        check(json!({"a": 1}), json!([{"op": "add", "path": "/b", "value": 2}]), json!({"a": 1, "b": 2}));
        check(
            json!({"a": [1, 2]}),
            json!([{"op": "add", "path": "/a/1", "value": 9}]),
            json!({"a": [1, 9, 2]}),
        );
        check(
            json!({"a": [1]}),
            json!([{"op": "add", "path": "/a/-", "value": [2]}]),
            json!({"a": [1, [2]]}),
        );
        check(json!({"a": [1, 2]}), json!([{"op": "remove", "path": "/a/0"}]), json!({"a": [2]}));
        check(json!({"a": 1}), json!([{"op": "replace", "path": "/a", "value": null}]), json!({"a": null}));
        check(json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/b"}]), json!({"b": 1}));
        check(
            json!({"a": [1, 2, 3]}),
            json!([{"op": "move", "from": "/a/0", "path": "/a/2"}]),
            json!({"a": [2, 3, 1]}),
        );
        check(
            json!({"a": {"x": 1}}),
            json!([{"op": "copy", "from": "/a", "path": "/b"}]),
            json!({"a": {"x": 1}, "b": {"x": 1}}),
        );
        check(
            json!({"a/b": {"m~n": 1}}),
            json!([{"op": "replace", "path": "/a~1b/m~0n", "value": 2}]),
            json!({"a/b": {"m~n": 2}}),
        );
        check(json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": 1.0}]), json!({"a": 1}));
        check(json!({"~1": 10}), json!([{"op": "test", "path": "/~01", "value": 10}]), json!({"~1": 10}));
        check(json!({"": 1}), json!([{"op": "replace", "path": "/", "value": 2}]), json!({"": 2}));
        check(json!(1), json!([{"op": "add", "path": "", "value": {"x": 1}}]), json!({"x": 1}));
        check(json!({"a": 1}), json!([]), json!({"a": 1}));
    }

    #[test]
    fn says_what_cannot_be_done() {
        let doc = json!({"a": [1], "s": "x"});
        let op = |op: &str, path: &str| json!([{"op": op, "path": path, "value": 1}]);
        assert_eq!(fails(doc.clone(), op("add", "/x/y")), "operation 0: /x/y: there is no \"x\"");
        assert_eq!(fails(doc.clone(), op("remove", "/x")), "operation 0: /x: there is no \"x\"");
        assert_eq!(
            fails(doc.clone(), op("replace", "/a/1")),
            "operation 0: /a/1: the list has 1 elements, so there is no 1"
        );
        assert_eq!(
            fails(doc.clone(), op("add", "/a/2")),
            "operation 0: /a/2: the list has 1 elements, so there is no 2"
        );
        assert_eq!(
            fails(doc.clone(), op("add", "/a/01")),
            "operation 0: /a/01: \"01\" is not an index of a list"
        );
        assert_eq!(
            fails(doc.clone(), op("add", "/a/-1")),
            "operation 0: /a/-1: \"-1\" is not an index of a list"
        );
        let huge = format!("/a/{}", "9".repeat(40));
        assert!(fails(doc.clone(), op("add", &huge)).contains("there is no 999"));
        assert_eq!(fails(doc.clone(), op("add", "/s/y")), "operation 0: /s/y: there is no \"y\" in \"x\"");
        assert_eq!(fails(doc.clone(), op("test", "/s")), "operation 0: test failed: /s is \"x\", not 1");
        assert_eq!(fails(doc.clone(), op("remove", "")), "operation 0: the whole document cannot be removed");
        let into = json!([{"op": "move", "from": "/a", "path": "/a/0"}]);
        assert_eq!(fails(doc, into), "operation 0: /a cannot be moved into itself");
    }

    #[test]
    fn says_what_is_malformed() {
        for (patch, message) in [
            (json!({}), "a JSON patch must be a list of operations but is a mapping"),
            (json!([1]), "operation 0: must be a mapping but is 1"),
            (
                json!([{"path": "/a"}]),
                "operation 0: op is required: add, remove, replace, move, copy or test",
            ),
            (json!([{"op": "add"}]), "operation 0: path is required"),
            (json!([{"op": "add", "path": 5}]), "operation 0: path must be text but is 5"),
            (json!([{"op": "add", "path": "a"}]), "operation 0: path: the pointer \"a\" must begin with /"),
            (
                json!([{"op": "add", "path": "/a~2"}]),
                "operation 0: path: in \"/a~2\" a ~ must be followed by 0 or 1",
            ),
            (json!([{"op": "add", "path": "/a"}]), "operation 0: value is required"),
            (json!([{"op": "copy", "path": "/a"}]), "operation 0: from is required"),
        ] {
            assert_eq!(super::json(&json!({}), &patch), Err(PatchError::Malformed(message.into())));
        }
    }

    #[test]
    fn copies_and_depth_are_limited() {
        let mut patch = vec![json!({"op": "add", "path": "/a", "value": ["x".repeat(1000)]})];
        patch.extend((0..40).map(|_| json!({"op": "copy", "from": "/a", "path": "/a/-"})));
        assert!(fails(json!({}), json!(patch)).contains("bytes together"));
        let deep = (0..100).fold(json!(1), |v, _| json!({"a": v}));
        let path = "/a".repeat(100);
        let patch = json!([
            {"op": "add", "path": "/a", "value": deep["a"]},
            {"op": "replace", "path": path, "value": deep},
        ]);
        assert!(fails(json!({}), patch).contains("deeper than 120 levels"));
    }

    #[test]
    fn all_or_nothing() {
        let target = json!({"a": 1});
        let patch = json!([{"op": "remove", "path": "/a"}, {"op": "remove", "path": "/a"}]);
        assert!(super::json(&target, &patch).is_err());
        assert_eq!(target, json!({"a": 1}));
    }
}
