//! JSON Merge Patch (RFC 7386).

use serde_json::{Map, Value};

use super::{MAX_DEPTH, PatchError, deeper_than, malformed};

/// The document `target` with `patch` done to it: mappings are merged, `null` removes, anything else replaces.
///
/// # Errors
/// If the patch is no mapping or too deep.
pub fn merge(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return malformed(format!("a merge patch must be a mapping but is {}", super::brief(patch)));
    }
    if deeper_than(patch, MAX_DEPTH) {
        return malformed(format!("a patch must not be nested deeper than {MAX_DEPTH} levels"));
    }
    let mut out = target.clone();
    put(&mut out, patch);
    Ok(out)
}

fn put(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            put(target.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7386 appendix A that have a mapping for a patch.
    #[test]
    fn examples_of_the_specification() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (target, patch, expected) in cases {
            assert_eq!(merge(&target, &patch).unwrap(), expected, "{target} with {patch}");
        }
        assert!(matches!(merge(&json!({}), &json!(["c"])), Err(PatchError::Malformed(_))));
    }
}
