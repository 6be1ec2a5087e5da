//! One document of OpenAPI v2 for all kinds, for clients that are older than the documents of v3.

use serde_json::{Map, Value, json};

use super::{document, group_versions};

/// The document, served under `/openapi/v2` as JSON. [`super::protobuf`] has the form that kubectl asks for.
pub fn v2() -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for (group, version) in group_versions() {
        let Some(document) = document(group, version) else { continue };
        for (name, component) in entries(&document["components"]["schemas"]) {
            definitions.entry(name.clone()).or_insert_with(|| schema(component));
        }
        for (name, item) in entries(&document["paths"]) {
            paths.insert(name.clone(), path_item(item));
        }
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Tulle", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "definitions": definitions,
    })
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flatten()
}

/// A schema without what v2 does not have: choices between schemas, and references inside of `allOf`.
fn schema(v3: &Value) -> Value {
    let mut out = Map::new();
    for (name, value) in entries(v3) {
        let converted = match name.as_str() {
            "$ref" => reference(value),
            "allOf" => match value.get(0).and_then(|first| first.get("$ref")) {
                Some(first) => {
                    out.insert("$ref".into(), reference(first));
                    continue;
                }
                None => continue,
            },
            "oneOf" | "anyOf" | "not" => continue,
            "properties" => {
                entries(value).map(|(name, s)| (name.clone(), schema(s))).collect::<Map<_, _>>().into()
            }
            "items" | "additionalProperties" => schema(value),
            _ => value.clone(),
        };
        out.insert(name.clone(), converted);
    }
    if out.get("format").is_some_and(|f| f == "int-or-string") {
        out.insert("type".into(), json!("string"));
    }
    Value::Object(out)
}

fn reference(v3: &Value) -> Value {
    let name = v3.as_str().and_then(|r| r.rsplit_once('/')).map_or("", |(_, name)| name);
    json!(format!("#/definitions/{name}"))
}

fn path_item(v3: &Value) -> Value {
    let mut out = Map::new();
    for (name, value) in entries(v3) {
        let converted = match name.as_str() {
            "parameters" => parameters(value).into(),
            _ => operation(value),
        };
        out.insert(name.clone(), converted);
    }
    Value::Object(out)
}

fn operation(v3: &Value) -> Value {
    let mut out = Map::new();
    let mut inputs = parameters(&v3["parameters"]);
    for (name, value) in entries(v3) {
        match name.as_str() {
            "parameters" => {}
            "requestBody" => {
                let media: Vec<&String> = entries(&value["content"]).map(|(media, _)| media).collect();
                let body = entries(&value["content"]).next().map(|(_, c)| schema(&c["schema"]));
                inputs.push(json!({"name": "body", "in": "body", "required": true, "schema": body}));
                out.insert("consumes".into(), json!(media));
            }
            "responses" => {
                let answer = &value["200"];
                let body = schema(&answer["content"]["application/json"]["schema"]);
                let answer = json!({"description": answer["description"], "schema": body});
                out.insert("responses".into(), json!({"200": answer}));
                out.insert("produces".into(), json!(["application/json"]));
            }
            _ => drop(out.insert(name.clone(), value.clone())),
        }
    }
    out.insert("parameters".into(), inputs.into());
    Value::Object(out)
}

/// Parameters have their type at the top.
fn parameters(v3: &Value) -> Vec<Value> {
    let flat = |parameter: &Value| {
        let mut flat = parameter.clone();
        flat["type"] = parameter["schema"]["type"].clone();
        if let Some(flat) = flat.as_object_mut() {
            flat.remove("schema");
        }
        flat
    };
    v3.as_array().into_iter().flatten().map(flat).collect()
}
