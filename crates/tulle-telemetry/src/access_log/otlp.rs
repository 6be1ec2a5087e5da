//! Log records for OpenTelemetry's collectors.

use tulle_proto::otlp::{AnyValue, ArrayValue, KeyValue, KeyValueList, LogRecord, any_value::Value, pair};

use super::{AccessLogFormat, FormatError, RequestRecord};

/// A value as it is written: its texts are formats.
#[derive(Clone, Debug, PartialEq)]
pub enum OtlpForm {
    /// A text format.
    Text(String),
    /// A list.
    List(Vec<OtlpForm>),
    /// Values by name, in the order in which they are written.
    Map(Vec<(String, OtlpForm)>),
}

/// A compiled value.
#[derive(Clone, Debug)]
enum Node {
    Text(AccessLogFormat),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// What log records say, compiled.
#[derive(Clone, Debug)]
pub struct OtlpFormat {
    body: Option<Node>,
    attributes: Vec<(String, Node)>,
}

impl OtlpFormat {
    /// Compiles a body and attributes. What is missing is `-`, as in Envoy.
    ///
    /// # Errors
    /// [`FormatError`] that names the operator.
    pub fn new(body: Option<&OtlpForm>, attributes: &[(String, OtlpForm)]) -> Result<Self, FormatError> {
        Ok(Self { body: body.map(compile).transpose()?, attributes: members(attributes)? })
    }

    /// Whether a record says anything of the trailers of the response.
    pub fn reads_trailers(&self) -> bool {
        self.body.iter().chain(self.attributes.iter().map(|(_, node)| node)).any(reads_trailers)
    }

    /// The record of a request or connection; `tags` are further attributes.
    pub fn record(&self, line: &RequestRecord<'_>, tags: Vec<(String, String)>) -> LogRecord {
        let mut attributes: Vec<KeyValue> =
            self.attributes.iter().map(|(name, node)| entry(name, node, line)).collect();
        attributes.extend(tags.into_iter().map(|(name, value)| pair(name, value)));
        let (trace, span) = line.trace.unzip();
        LogRecord {
            time_unix_nano: u64::try_from(line.start.as_nanos()).unwrap_or(u64::MAX),
            body: self.body.as_ref().map(|node| value(node, line)),
            attributes,
            trace_id: trace.map(|id| id.0.to_vec()).unwrap_or_default(),
            span_id: span.map(|id| id.0.to_vec()).unwrap_or_default(),
        }
    }
}

fn compile(form: &OtlpForm) -> Result<Node, FormatError> {
    Ok(match form {
        OtlpForm::Text(text) => Node::Text(AccessLogFormat::text(text, false)?),
        OtlpForm::List(items) => Node::List(items.iter().map(compile).collect::<Result<_, _>>()?),
        OtlpForm::Map(list) => Node::Map(members(list)?),
    })
}

fn members(list: &[(String, OtlpForm)]) -> Result<Vec<(String, Node)>, FormatError> {
    list.iter().map(|(name, form)| Ok((name.clone(), compile(form)?))).collect()
}

fn reads_trailers(node: &Node) -> bool {
    match node {
        Node::Text(format) => format.reads_trailers(),
        Node::List(items) => items.iter().any(reads_trailers),
        Node::Map(list) => list.iter().any(|(_, node)| reads_trailers(node)),
    }
}

fn entry(name: &str, node: &Node, line: &RequestRecord<'_>) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(value(node, line)), ..KeyValue::default() }
}

fn value(node: &Node, line: &RequestRecord<'_>) -> AnyValue {
    let value = match node {
        Node::Text(format) => {
            let mut out = Vec::new();
            format.render(line, &mut out);
            let text = String::from_utf8(out);
            Value::StringValue(text.unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
        }
        Node::List(items) => Value::ArrayValue(ArrayValue {
            values: items.iter().map(|node| self::value(node, line)).collect(),
        }),
        Node::Map(list) => Value::KvlistValue(KeyValueList {
            values: list.iter().map(|(name, node)| entry(name, node, line)).collect(),
        }),
    };
    AnyValue { value: Some(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{SpanId, TraceId};
    use tulle_proto::otlp::text;

    fn form(text: &str) -> OtlpForm {
        OtlpForm::Text(text.to_owned())
    }

    #[test]
    fn values_nest_and_what_is_missing_is_a_dash() {
        let line = RequestRecord {
            protocol: "HTTP/1.1",
            response_code: 200,
            trace: Some((TraceId::new(1), SpanId::new(2))),
            ..RequestRecord::default()
        };
        let nested = OtlpForm::Map(vec![
            ("b".to_owned(), OtlpForm::List(vec![form("%RESPONSE_CODE%")])),
            ("a".to_owned(), form("<%REQ(X-NONE)%>")),
        ]);
        let format = OtlpFormat::new(Some(&form("%PROTOCOL%")), &[("n".to_owned(), nested)]).unwrap();
        let record = format.record(&line, vec![("tag".to_owned(), "value".to_owned())]);
        assert_eq!(record.body, Some(text("HTTP/1.1")));
        let list = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![text("200")] })) };
        let wanted = KeyValueList {
            values: vec![
                KeyValue { key: "b".to_owned(), value: Some(list), ..KeyValue::default() },
                pair("a", "<->"),
            ],
        };
        let map = AnyValue { value: Some(Value::KvlistValue(wanted)) };
        let first = KeyValue { key: "n".to_owned(), value: Some(map), ..KeyValue::default() };
        assert_eq!(record.attributes, [first, pair("tag", "value")]);
        assert_eq!((record.trace_id.len(), record.span_id), (16, 2u64.to_be_bytes().to_vec()));
    }

    #[test]
    fn unknown_operators_are_named() {
        let error = OtlpFormat::new(None, &[("a".to_owned(), OtlpForm::List(vec![form("%NOPE%")]))]);
        assert!(error.unwrap_err().to_string().contains("%NOPE%"));
    }
}
