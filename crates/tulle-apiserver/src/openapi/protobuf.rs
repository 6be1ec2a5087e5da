//! The OpenAPI v2 document as protobuf messages (`openapi.v2.Document`), the one form that kubectl asks for
//! `/openapi/v2` in: `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`.
//!
//! Only the fields that [`super::v2`] writes are known here.

use serde_json::Value;

/// The document that [`super::v2`] makes, as protobuf.
pub fn protobuf(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    out.message(8, |paths| {
        for (name, item) in entries(&document["paths"]) {
            paths.named(2, name, |out| path_item(out, item));
        }
    });
    out.message(9, |definitions| {
        for (name, value) in entries(&document["definitions"]) {
            definitions.named(1, name, |out| schema(out, value));
        }
    });
    out.0
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flatten()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn path_item(out: &mut Message, item: &Value) {
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(value) = item.get(method) {
            out.message(field, |out| operation(out, value));
        }
    }
    items(&item["parameters"]).for_each(|p| out.message(9, |out| parameter(out, p)));
}

fn operation(out: &mut Message, value: &Value) {
    out.text(3, &value["description"]);
    items(&value["produces"]).for_each(|media| out.text(6, media));
    items(&value["consumes"]).for_each(|media| out.text(7, media));
    items(&value["parameters"]).for_each(|p| out.message(8, |out| parameter(out, p)));
    out.message(9, |responses| {
        for (code, answer) in entries(&value["responses"]) {
            responses.named(1, code, |value| {
                value.message(1, |response| {
                    response.text(1, &answer["description"]);
                    response.message(2, |item| item.message(1, |out| schema(out, &answer["schema"])));
                });
            });
        }
    });
    extensions(out, 13, value);
}

/// A `ParametersItem`: which kind of parameter it is says where it is.
fn parameter(out: &mut Message, value: &Value) {
    out.message(1, |out| match value["in"].as_str() {
        Some("body") => out.message(1, |body| {
            body.text(2, &value["name"]);
            body.text(3, &value["in"]);
            body.flag(4, &value["required"]);
            body.message(5, |out| schema(out, &value["schema"]));
        }),
        place => out.message(2, |out| {
            let (field, kind) = if place == Some("path") { (4, 5) } else { (3, 6) };
            out.message(field, |out| {
                out.flag(1, &value["required"]);
                out.text(2, &value["in"]);
                out.text(3, &value["description"]);
                out.text(4, &value["name"]);
                out.text(kind, &value["type"]);
            });
        }),
    });
}

fn schema(out: &mut Message, value: &Value) {
    out.text(1, &value["$ref"]);
    out.text(2, &value["format"]);
    out.text(4, &value["description"]);
    if let Some(default) = value.get("default") {
        out.message(5, |any| any.yaml(default));
    }
    out.double(7, &value["maximum"]);
    out.double(9, &value["minimum"]);
    items(&value["required"]).for_each(|name| out.text(19, name));
    items(&value["enum"]).for_each(|word| out.message(20, |any| any.yaml(word)));
    if let Some(of) = value.get("additionalProperties") {
        out.message(21, |item| item.message(1, |out| schema(out, of)));
    }
    if value.get("type").is_some() {
        out.message(22, |types| types.text(1, &value["type"]));
    }
    if let Some(of) = value.get("items") {
        out.message(23, |item| item.message(1, |out| schema(out, of)));
    }
    if value.get("properties").is_some() {
        out.message(25, |properties| {
            for (name, value) in entries(&value["properties"]) {
                properties.named(1, name, |out| schema(out, value));
            }
        });
    }
    extensions(out, 31, value);
}

fn extensions(out: &mut Message, field: u32, value: &Value) {
    for (name, value) in entries(value).filter(|(name, _)| name.starts_with("x-")) {
        out.named(field, name, |any| any.yaml(value));
    }
}

/// A protobuf message as it is written, field after field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text; nothing if the value is none.
    fn text(&mut self, field: u32, value: &Value) {
        if let Some(text) = value.as_str().filter(|t| !t.is_empty()) {
            self.bytes(field, text.as_bytes());
        }
    }

    fn flag(&mut self, field: u32, value: &Value) {
        if value == &Value::Bool(true) {
            self.tag(field, 0);
            self.varint(1);
        }
    }

    fn double(&mut self, field: u32, value: &Value) {
        if let Some(number) = value.as_f64() {
            self.tag(field, 1);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// A message below.
    fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// A name with a value below it: how mappings travel.
    fn named(&mut self, field: u32, name: &str, write: impl FnOnce(&mut Message)) {
        self.message(field, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, write);
        });
    }

    /// The content of an `Any`: YAML, of which JSON is a part.
    fn yaml(&mut self, value: &Value) {
        self.bytes(2, value.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_of_a_schema() {
        let mut out = Message::default();
        schema(&mut out, &json!({"type": "object", "minimum": 1, "x-a": [1]}));
        let expected = [
            &[9 << 3 | 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f][..],
            &[0xb2, 1, 8, 10, 6][..],
            b"object",
            &[0xfa, 1, 12, 10, 3][..],
            b"x-a",
            &[18, 5, 18, 3][..],
            b"[1]",
        ];
        assert_eq!(out.0, expected.concat());
    }

    #[test]
    fn the_whole_document() {
        let document = super::super::v2();
        let text = document.to_string();
        assert!(!text.contains("components/schemas") && !text.contains("oneOf"));
        let spec = &document["definitions"]["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"];
        assert_eq!(spec["$ref"], "#/definitions/io.k8s.api.apps.v1.DeploymentSpec");
        let bytes = protobuf(&document);
        assert_eq!(&bytes[..5], &[10, 3, b'2', b'.', b'0']);
        assert!(bytes.len() > 100_000 && bytes.len() < text.len());
    }
}
