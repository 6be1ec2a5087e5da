//! Values with a form of their own: durations, moments, numbers that may be names.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::node::{Data, Node};
use crate::schema::{At, Context, Field, TypeInfo};

/// A duration, with the text that the user wrote for it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WrittenDuration {
    value: Duration,
    text: Box<str>,
}

impl WrittenDuration {
    /// The duration.
    pub fn get(&self) -> Duration {
        self.value
    }

    /// As written, or as protobuf JSON writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<Duration> for WrittenDuration {
    fn from(value: Duration) -> Self {
        Self { value, text: tulle_base::duration::to_json(value).into() }
    }
}

impl From<WrittenDuration> for Duration {
    fn from(written: WrittenDuration) -> Self {
        written.value
    }
}

impl fmt::Display for WrittenDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Field for WrittenDuration {
    const TYPE: TypeInfo = TypeInfo::Duration;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        let text = match &node.data {
            Data::String(text) => text,
            Data::Int(_, text) | Data::Float(_, text) => {
                let message = format!("must be a duration with a unit but is {}", node.describe());
                cx.error(
                    node,
                    at,
                    message,
                    format!("write {text}s for seconds or {text}ms for milliseconds"),
                );
                return None;
            }
            _ => {
                cx.wrong_type(node, at, "a duration such as 500ms, 10s or 1h30m");
                return None;
            }
        };
        match tulle_base::duration::parse(text) {
            Ok(value) => Some(Self { value, text: text.clone() }),
            Err(message) => {
                cx.error(node, at, message, "");
                None
            }
        }
    }

    fn encode(&self) -> Value {
        Value::String(self.text.to_string())
    }
}

/// A moment as Kubernetes writes it (RFC 3339 in UTC with whole seconds), such as `2026-08-01T10:00:00Z`.
///
/// Moments in this form compare by time when compared as text.
#[derive(Clone, Debug, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct Timestamp(String);

impl Timestamp {
    /// The moment `seconds` after 1970-01-01T00:00:00Z.
    pub fn from_unix(seconds: i64) -> Self {
        jiff::Timestamp::from_second(seconds).map_or_else(|_| Self::default(), |t| Self(t.to_string()))
    }

    /// Seconds after 1970-01-01T00:00:00Z; 0 for the default value.
    pub fn unix(&self) -> i64 {
        self.0.parse::<jiff::Timestamp>().map_or(0, |t| t.as_second())
    }

    /// Reads a moment with its offset; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self::from_unix(t.as_second()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Field for Timestamp {
    const TYPE: TypeInfo = TypeInfo::Timestamp;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        match node.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) {
            Some(moment) => Some(Self(moment.to_string())),
            None => {
                cx.wrong_type(node, at, "a moment such as 2026-08-01T10:00:00Z");
                None
            }
        }
    }

    fn encode(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// A port by number or by name, or a count or percentage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A name or percentage.
    String(String),
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(i) => write!(f, "{i}"),
            Self::String(s) => f.write_str(s),
        }
    }
}

impl Field for IntOrString {
    const TYPE: TypeInfo = TypeInfo::IntOrString;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        match &node.data {
            Data::String(text) => Some(Self::String(text.to_string())),
            Data::Int(..) => i32::decode(node, at, cx).map(Self::Int),
            _ => {
                cx.wrong_type(node, at, "a number or a name");
                None
            }
        }
    }

    fn encode(&self) -> Value {
        match self {
            Self::Int(i) => Value::from(*i),
            Self::String(s) => Value::from(s.as_str()),
        }
    }
}

/// Bytes, written in base64 (RFC 4648 section 4).
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Field for Bytes {
    const TYPE: TypeInfo = TypeInfo::Bytes;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        use base64::Engine as _;
        let Some(text) = node.as_str() else {
            cx.wrong_type(node, at, "base64 text");
            return None;
        };
        let compact: String = text.split_ascii_whitespace().collect();
        match base64::engine::general_purpose::STANDARD.decode(compact) {
            Ok(bytes) => Some(Self(bytes)),
            Err(error) => {
                cx.error(node, at, format!("is not base64: {error}"), "plain text belongs in stringData");
                None
            }
        }
    }

    fn encode(&self) -> Value {
        use base64::Engine as _;
        Value::String(base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}
