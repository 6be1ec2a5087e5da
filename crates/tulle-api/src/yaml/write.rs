//! JSON as YAML.

use serde_json::Value;

/// A value as YAML: mappings and lists in block form, text in quotes where it could be read as something else.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write_yaml(value, 0, &mut out);
    out
}

fn write_yaml(value: &Value, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", scalar(&Value::from(key.as_str()))));
                below(value, indent, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for item in list {
                let mut inner = String::new();
                write_yaml(item, indent + 1, &mut inner);
                // The dash stands in the place of the first line's indentation.
                let inner = if nested(item) { inner[pad.len() + 2..].to_owned() } else { inner };
                out.push_str(&format!("{pad}- {inner}"));
            }
        }
        other => out.push_str(&format!("{}\n", scalar(other))),
    }
}

fn below(value: &Value, indent: usize, out: &mut String) {
    if nested(value) {
        out.push('\n');
        // Lists of mappings stand at their key, as kubectl writes them.
        write_yaml(value, if value.is_array() { indent } else { indent + 1 }, out);
    } else {
        out.push_str(&format!(" {}\n", scalar(value)));
    }
}

fn nested(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if plain(text) => text.clone(),
        // JSON's form of everything else is YAML's too.
        other => other.to_string(),
    }
}

/// Whether text is read as that text without quotes.
fn plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
        && !WORDS.contains(&text.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_back_as_it_was() {
        let value = json!({"a": {"b": [{"c": "1", "d": ["x", 2, [], {}]}, "on", [["deep"]]], "e f": null}, "t": "line\nbreak: x", "n": 1.5});
        let text = to_yaml(&value);
        assert_eq!(crate::parse_document("t", text.as_bytes()).unwrap().to_json(), value, "{text}");
        assert!(text.starts_with("a:\n  b:\n  - c: \"1\"\n"), "{text}");
    }
}
