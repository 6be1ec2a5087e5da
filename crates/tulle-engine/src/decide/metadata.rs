//! Metadata that services send.

use tulle_proto::envoy::google;

use crate::runtime::metadata::{Fields, Value};

/// Deepest nesting that is read.
const MAX_DEPTH: u32 = 32;

/// The fields of a message; `None` where they are nested too deep.
pub fn fields(message: &google::Struct) -> Option<Fields> {
    in_depth(message, MAX_DEPTH)
}

fn in_depth(message: &google::Struct, depth: u32) -> Option<Fields> {
    let google::Struct { fields } = message;
    fields.iter().map(|(key, field)| Some((key.as_str().into(), value(field, depth)?))).collect()
}

fn value(message: &google::Value, depth: u32) -> Option<Value> {
    use google::value::Kind;
    let depth = depth.checked_sub(1)?;
    let google::Value { kind } = message;
    Some(match kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => Value::Number(*number),
        Some(Kind::StringValue(text)) => Value::String(text.as_str().into()),
        Some(Kind::BoolValue(flag)) => Value::Bool(*flag),
        Some(Kind::StructValue(fields)) => Value::Struct(in_depth(fields, depth)?),
        Some(Kind::ListValue(google::ListValue { values })) => {
            Value::List(values.iter().map(|one| value(one, depth)).collect::<Option<_>>()?)
        }
    })
}

/// The message of fields, to be sent.
pub fn message(fields: &Fields) -> google::Struct {
    google::Struct {
        fields: fields.iter().map(|(key, value)| (key.to_string(), message_value(value))).collect(),
    }
}

fn message_value(value: &Value) -> google::Value {
    use google::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(*number),
        Value::String(text) => Kind::StringValue(text.to_string()),
        Value::List(items) => {
            Kind::ListValue(google::ListValue { values: items.iter().map(message_value).collect() })
        }
        Value::Struct(fields) => Kind::StructValue(message(fields)),
    };
    google::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use google::value::Kind;

    #[test]
    fn structs_are_read_but_not_without_end() {
        let mut message = google::Value { kind: Some(Kind::NumberValue(1.0)) };
        let of = |inner: google::Value| google::Struct { fields: [("a".to_owned(), inner)].into() };
        let read = fields(&of(message.clone())).unwrap();
        assert_eq!(read, [("a".into(), Value::Number(1.0))].into());
        assert_eq!(super::message(&read), of(message.clone()));
        for _ in 0..40 {
            message = google::Value { kind: Some(Kind::StructValue(of(message))) };
        }
        assert_eq!(fields(&of(message)), None);
    }
}
