//! Objects as an answer has them: in the asked version and form.

use serde_json::{Value, json};
use tulle_api::Object;
use tulle_api::schema::Field as _;
use tulle_store::Version;

use crate::negotiate::Form;
use crate::path::Place;

/// An object in the version of `place`. `version` replaces its resource version: that of its deletion, in events.
pub(crate) fn object(object: &Object, place: &Place, version: Option<Version>) -> Value {
    let mut value = object.to_json();
    value["apiVersion"] = place.api_version().into();
    if let Some(version) = version {
        value["metadata"]["resourceVersion"] = version.to_string().into();
    }
    value
}

/// Only the metadata of an object.
pub(crate) fn metadata(object: &Object, version: Option<Version>) -> Value {
    let mut value = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.meta.encode()});
    if let Some(version) = version {
        value["metadata"]["resourceVersion"] = version.to_string().into();
    }
    value
}

/// One object in `form`.
pub(crate) fn one(item: &Object, place: &Place, form: Form, version: Option<Version>) -> Value {
    match form {
        Form::Object => object(item, place, version),
        Form::Metadata => metadata(item, version),
        Form::Table => table(
            &[item],
            place,
            true,
            &json!({"resourceVersion":
            version.map_or_else(|| item.meta.resource_version.clone(), |v| v.to_string())}),
        ),
    }
}

/// A list in `form`, as bytes: big lists are written item by item.
pub(crate) fn list<'o>(
    items: impl ExactSizeIterator<Item = &'o Object>,
    place: &Place,
    form: Form,
    metadata_of_list: &Value,
) -> Vec<u8> {
    if form == Form::Table {
        let items: Vec<&Object> = items.collect();
        return serde_json::to_vec(&table(&items, place, true, metadata_of_list)).unwrap_or_default();
    }
    let (kind, api_version) = match form {
        Form::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        _ => (format!("{}List", place.kind.info().kind), place.api_version()),
    };
    let head = format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata_of_list},\"items\":[",
        Value::from(kind),
        Value::from(api_version)
    );
    let mut out = Vec::with_capacity(head.len() + 1024 * items.len());
    out.extend_from_slice(head.as_bytes());
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        // A Value has text for keys, which is all that could fail.
        let _ = serde_json::to_writer(&mut out, &one(item, place, form, None));
    }
    out.extend_from_slice(b"]}");
    out
}

/// A `metav1.Table` of these objects; `columns` says whether the columns are told as well.
pub(crate) fn table(items: &[&Object], place: &Place, columns: bool, metadata_of_list: &Value) -> Value {
    let columns = if columns {
        json!([{"name": "Name", "type": "string", "format": "name", "description": "Name of the object", "priority": 0},
            {"name": "Created At", "type": "date", "format": "", "description": "When it was made", "priority": 0}])
    } else {
        Value::Null
    };
    let rows: Vec<Value> = items
        .iter()
        .map(|o| {
            json!({"cells": [o.meta.name, o.meta.creation_timestamp.as_ref().map(|t| t.as_str())],
            "object": metadata(o, None)})
        })
        .collect();
    let _ = place;
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata_of_list,
        "columnDefinitions": columns, "rows": rows})
}
