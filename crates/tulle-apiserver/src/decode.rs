//! From a body to an object: what the path says is filled in or compared, and everything that is wrong is told at once.

use serde_json::{Map, Value};
use tulle_api::{Object, parse_document, read_object};
use tulle_base::Severity;

use crate::error::{ApiError, is_unknown_field};
use crate::path::Place;
use crate::query::FieldValidation;

/// An object, and advice about it.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub object: Object,
    pub warnings: Vec<String>,
}

/// The JSON of a body.
///
/// # Errors
/// 400 if it is none.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|e| ApiError::bad_request(format!("the body is not JSON: {e}")))
}

/// The JSON of a body in YAML.
///
/// # Errors
/// 400 if it is none.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Value, ApiError> {
    parse_document("body", bytes).map(|node| node.to_json()).map_err(|problems| {
        let list: Vec<String> = problems.iter().take(20).map(ToString::to_string).collect();
        ApiError::bad_request(format!("the body is not YAML: {}", list.join(", ")))
    })
}

/// The object in `value` for `place`.
///
/// # Errors
/// 400 if it does not fit the path, 422 with every problem if its fields are wrong.
pub(crate) fn object(
    mut value: Value,
    place: &Place,
    validation: FieldValidation,
) -> Result<Decoded, ApiError> {
    let info = place.kind.info();
    fit(&mut value, place)?;
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let unknown = match validation {
        FieldValidation::Strict => Severity::Error,
        FieldValidation::Warn => Severity::Warning,
        FieldValidation::Ignore => Severity::Info,
    };
    let (object, mut problems) = read_object(&value, unknown);
    problems.dedup();
    let Some(object) = object.filter(|_| !problems.iter().any(|p| p.severity == Severity::Error)) else {
        return Err(ApiError::invalid(info, &name, &problems));
    };
    let advice = problems.iter().filter(|p| p.severity == Severity::Warning);
    let warnings = advice
        .map(|p| match (p.field.as_str(), is_unknown_field(p)) {
            (field, true) => format!("unknown field {field:?}{}", fix(&p.fix)),
            ("", false) => crate::error::text(p),
            (field, false) => format!("{field}: {}", crate::error::text(p)),
        })
        .collect();
    Ok(Decoded { object, warnings })
}

fn fix(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("; {text}") }
}

/// Compares kind, version, namespace and name with the path, and fills in what is not written.
///
/// # Errors
/// 400 if it does not fit the path.
pub(crate) fn fit(value: &mut Value, place: &Place) -> Result<(), ApiError> {
    let info = place.kind.info();
    let Value::Object(map) = value else {
        return Err(ApiError::bad_request(format!("the body is not a {}", info.kind)));
    };
    let wanted = [("apiVersion", place.api_version(), "API version"), ("kind", info.kind.to_owned(), "kind")];
    for (key, wanted, word) in wanted {
        match map.get(key).map(|v| v.as_str().unwrap_or_default()) {
            None | Some("") => drop(map.insert(key.to_owned(), wanted.into())),
            Some(given) if given == wanted => {}
            Some(given) => {
                let message = format!(
                    "the {word} in the data ({given}) does not match the expected {word} ({wanted}) of this path"
                );
                return Err(ApiError::bad_request(message));
            }
        }
    }
    let metadata = map.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    let Value::Object(metadata) = metadata else {
        return Err(ApiError::bad_request("metadata is not a mapping"));
    };
    if info.namespaced {
        compare(metadata, "namespace", &place.namespace)?;
    } else if metadata.get("namespace").is_some_and(|v| v.as_str() == Some("") || v.is_null()) {
        metadata.remove("namespace");
    }
    if let Some(name) = &place.name {
        compare(metadata, "name", name)?;
    }
    Ok(())
}

fn compare(metadata: &mut Map<String, Value>, key: &str, wanted: &str) -> Result<(), ApiError> {
    match metadata.get(key).map(|v| v.as_str()) {
        None | Some(Some("")) => drop(metadata.insert(key.to_owned(), wanted.into())),
        Some(Some(given)) if given == wanted => {}
        Some(Some(given)) => {
            let message = format!(
                "the {key} of the provided object ({given}) does not match the {key} sent on the request ({wanted})"
            );
            return Err(ApiError::bad_request(message));
        }
        Some(None) => return Err(ApiError::bad_request(format!("metadata.{key} is not text"))),
    }
    Ok(())
}
