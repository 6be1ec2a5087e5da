//! Objects as an answer has them: in the asked version and form.

use serde_json::{Value, json};
use tulle_api::Object;
use tulle_api::schema::Field as _;
use tulle_store::Version;

use crate::call::now;
use crate::negotiate::{Form, Include};
use crate::path::Place;
use crate::table;

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
        Form::Table(include) => table(
            &[item],
            place,
            include,
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
    if let Form::Table(include) = form {
        let items: Vec<&Object> = items.collect();
        return serde_json::to_vec(&table(&items, place, include, true, metadata_of_list))
            .unwrap_or_default();
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
pub(crate) fn table(
    items: &[&Object],
    place: &Place,
    include: Include,
    columns: bool,
    metadata_of_list: &Value,
) -> Value {
    let info = place.kind.info();
    let now = now().unix();
    let columns: Value =
        if columns { table::columns(info).iter().map(table::Column::to_json).collect() } else { Value::Null };
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let json = object(item, place, None);
            let cells = table::cells(info, &json, now);
            match include {
                Include::None => json!({"cells": cells}),
                Include::Metadata => json!({"cells": cells, "object": metadata(item, None)}),
                Include::Object => json!({"cells": cells, "object": json}),
            }
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata_of_list,
        "columnDefinitions": columns, "rows": rows})
}
