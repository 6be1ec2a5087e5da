//! Cells of the mesh's kinds, by the paths of their columns.

use serde_json::{Value, json};
use tulle_api::crd::PrinterColumn;

use super::{Column, age};

/// The column of a definition in a table.
pub(super) fn column(column: &PrinterColumn) -> Column {
    let PrinterColumn { name, column_type, priority, description, path: _ } = *column;
    // Ages are shown as spans of time, which are text.
    let column_type = if column_type == "date" { "string" } else { column_type };
    Column { name, column_type, format: "", description, priority }
}

/// The cell of an object.
pub(super) fn cell(column: &PrinterColumn, object: &Value, now: i64) -> Value {
    let found = find(object, column.path);
    match (column.column_type, found.as_slice()) {
        ("date", [moment]) => json!(age(moment.as_str().unwrap_or_default(), now)),
        ("date", _) => json!("<unknown>"),
        ("integer" | "boolean", [value]) => (*value).clone(),
        (_, []) => Value::Null,
        (_, values) => {
            let texts: Vec<String> = values.iter().map(|v| show(v)).collect();
            json!(texts.join(","))
        }
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The values at a JSON path of the kind that columns have: names, `[*]`, and `[?(@.NAME=="TEXT")]`.
fn find<'v>(object: &'v Value, path: &str) -> Vec<&'v Value> {
    let mut found = vec![object];
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[*]") {
            found = found.into_iter().filter_map(Value::as_array).flatten().collect();
            rest = after;
        } else if let Some((name, text, after)) = filter(rest) {
            let items = found.into_iter().filter_map(Value::as_array).flatten();
            found = items.filter(|item| item[name] == text).collect();
            rest = after;
        } else {
            let name = rest.trim_start_matches('.');
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return Vec::new();
            }
            found = found.into_iter().filter_map(|v| v.get(&name[..end])).collect();
            rest = &name[end..];
        }
    }
    found
}

/// Name, text and what follows of `[?(@.NAME=="TEXT")]`.
fn filter(path: &str) -> Option<(&str, &str, &str)> {
    let (inside, after) = path.strip_prefix("[?(@.")?.split_once(")]")?;
    let (name, text) = inside.split_once("==")?;
    Some((name, text.trim_matches('"'), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_columns() {
        let object = json!({"spec": {"hosts": ["a", "b"]},
            "status": {"addresses": [{"value": "x"}, {"value": "y"}],
                "conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "False"}]}});
        assert_eq!(find(&object, ".spec.hosts"), [&json!(["a", "b"])]);
        assert_eq!(find(&object, ".status.addresses[*].value"), [&json!("x"), &json!("y")]);
        assert_eq!(find(&object, ".status.conditions[?(@.type==\"B\")].status"), [&json!("False")]);
        assert!(find(&object, ".spec.none.below").is_empty() && find(&object, "[").is_empty());
    }
}
