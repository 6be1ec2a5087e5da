//! Bodies as protobuf messages (`application/vnd.kubernetes.protobuf`), in which `kubectl create namespace` and its like
//! send what they make.
//!
//! Only the kinds and fields that such commands write are read; anything else is refused by its number, and the client
//! is told to send JSON. Go writes fields that have no value as empty ones, so empty fields count as left out.

mod tables;
mod wire;

use serde_json::{Map, Value, json};

use tables::{Field, Message, Type};
use wire::{Datum, Reader};

/// What a body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Deepest nesting; the tables have none deeper.
const MAX_DEPTH: usize = 16;

/// The object in a body, as JSON.
///
/// # Errors
/// A sentence that says what is not read.
pub(crate) fn object(body: &[u8]) -> Result<Value, String> {
    let bytes = body.strip_prefix(MAGIC).ok_or("the body does not begin as Kubernetes' protobuf does")?;
    let (mut kind, mut raw) = (Map::new(), &[][..]);
    for field in Reader::new(bytes) {
        match field? {
            (1, Datum::Bytes(bytes)) => kind = message(&tables::TYPE_META, bytes, 0)?,
            (2, Datum::Bytes(bytes)) => raw = bytes,
            (3, Datum::Bytes(encoding)) if !encoding.is_empty() => {
                return Err("bodies that are encoded twice are not read".to_owned());
            }
            _ => {}
        }
    }
    let text = |name: &str| kind.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let table = tables::of(&api_version, &kind)
        .ok_or_else(|| format!("{kind} of {api_version} is not read as protobuf; send JSON"))?;
    let mut object = message(table, raw, 0)?;
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    Ok(Value::Object(object))
}

fn message(table: &Message, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    if depth > MAX_DEPTH {
        return Err(format!("{}: messages are nested too deep", table.name));
    }
    for field in Reader::new(bytes) {
        let (number, datum) = field.map_err(|e| format!("{}: {e}", table.name))?;
        match table.fields.iter().find(|f| f.number == number) {
            Some(field) => put(&mut out, field, datum, depth).map_err(|e| format!("{}: {e}", table.name))?,
            None if datum.is_empty() => {}
            None => {
                let name = table.name;
                return Err(format!("field {number} of {name} is not read as protobuf; send JSON"));
            }
        }
    }
    Ok(out)
}

/// Adds one field to what was read.
fn put(out: &mut Map<String, Value>, field: &Field, datum: Datum<'_>, depth: usize) -> Result<(), String> {
    let value = match (field.of, datum) {
        (Type::Skipped, _) => return Ok(()),
        (Type::Text | Type::Texts, Datum::Bytes(bytes)) => json!(text(bytes)?),
        (Type::Int | Type::SetInt, Datum::Varint(number)) => json!(number.cast_signed()),
        (Type::Bool | Type::SetBool, Datum::Varint(number)) => json!(number != 0),
        (Type::Message(table) | Type::Messages(table), Datum::Bytes(bytes)) => {
            Value::Object(message(table, bytes, depth + 1)?)
        }
        (Type::TextMap, Datum::Bytes(bytes)) => return pair(out, field.name, bytes, |b| Ok(json!(text(b)?))),
        (Type::BytesMap, Datum::Bytes(bytes)) => {
            return pair(out, field.name, bytes, |b| Ok(json!(base64(b))));
        }
        (Type::IntOrText, Datum::Bytes(bytes)) => either(bytes)?,
        (_, datum) => return Err(format!("{} cannot be {datum:?}", field.name)),
    };
    match field.of {
        Type::Texts | Type::Messages(_) => {
            let list = out.entry(field.name).or_insert_with(|| json!([]));
            list.as_array_mut().into_iter().for_each(|list| list.push(value.clone()));
        }
        Type::SetInt | Type::SetBool => drop(out.insert(field.name.to_owned(), value)),
        _ if is_empty(&value) => {}
        _ => drop(out.insert(field.name.to_owned(), value)),
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(set) => !set,
        Value::Object(map) => map.is_empty(),
        Value::Null => true,
        Value::Array(_) => false,
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// An entry of a mapping.
fn pair(
    out: &mut Map<String, Value>,
    name: &str,
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<Value, String>,
) -> Result<(), String> {
    let (mut key, mut value) = ("", &[][..]);
    for field in Reader::new(bytes) {
        match field? {
            (1, Datum::Bytes(bytes)) => key = text(bytes)?,
            (2, Datum::Bytes(bytes)) => value = bytes,
            _ => return Err(format!("{name} has an entry that is not a pair")),
        }
    }
    let map = out.entry(name).or_insert_with(|| json!({}));
    map[key] = read(value)?;
    Ok(())
}

/// `IntOrString`: which it is, the number, the text.
fn either(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut written) = (false, 0, "");
    for field in Reader::new(bytes) {
        match field? {
            (1, Datum::Varint(kind)) => is_text = kind == 1,
            (2, Datum::Varint(value)) => number = value.cast_signed(),
            (3, Datum::Bytes(bytes)) => written = text(bytes)?,
            _ => return Err("a number or name is malformed".to_owned()),
        }
    }
    Ok(if is_text { json!(written) } else { json!(number) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn what_commands_make() {
        // As `kubectl create namespace shop` sends it.
        let meta = [field(1, b"shop"), field(2, b""), field(3, b""), vec![7 << 3, 0], field(8, b"")].concat();
        let raw = [field(1, &meta), field(2, b""), field(3, &field(1, b""))].concat();
        let expected = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        assert_eq!(object(&body("v1", "Namespace", &raw)), Ok(expected));

        let entry = [field(1, b"k"), field(2, b"v")].concat();
        let raw =
            [field(1, &field(1, b"s")), field(2, &entry), field(3, b"Opaque"), vec![5 << 3, 0]].concat();
        let expected = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "data": {"k": "dg=="}, "type": "Opaque", "immutable": false});
        assert_eq!(object(&body("v1", "Secret", &raw)), Ok(expected));

        let port = [vec![3 << 3, 80], field(4, &[1 << 3, 1, 3 << 3 | 2, 1, b'w'])].concat();
        let raw = [field(1, &field(1, b"s")), field(2, &field(1, &port))].concat();
        let expected = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"ports": [{"port": 80, "targetPort": "w"}]}});
        assert_eq!(object(&body("v1", "Service", &raw)), Ok(expected));
    }

    #[test]
    fn what_is_not_read_is_named() {
        let fails = |body: &[u8]| object(body).unwrap_err();
        assert_eq!(fails(b"{}"), "the body does not begin as Kubernetes' protobuf does");
        assert_eq!(fails(&body("v1", "Node", b"")), "Node of v1 is not read as protobuf; send JSON");
        assert_eq!(
            fails(&body("v1", "Service", &field(2, &field(14, b"x")))),
            "Service: field 14 of ServiceSpec is not read as protobuf; send JSON"
        );
        assert_eq!(
            fails(&body("v1", "Namespace", &[10, 99])),
            "Namespace: a field is longer than its message"
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in "[A-Z][a-z]{2,8}") {
            let _ = object(&bytes);
            let _ = object(&[MAGIC, &bytes].concat());
            let _ = object(&body("v1", &kind, &bytes[..bytes.len().min(100)]));
            let _ = object(&body("v1", "Service", &bytes[..bytes.len().min(100)]));
        }
    }
}
