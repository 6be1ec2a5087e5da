//! Tables, JSON and YAML.

use serde_json::{Map, Value};

/// How the answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// A table.
    Short,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Form {
    /// The text of a value; `None` where a table is wanted.
    pub(crate) fn text(self, value: &Value) -> Option<String> {
        match self {
            Self::Short => None,
            Self::Json => Some(format!("{value:#}\n")),
            Self::Yaml => Some(tulle_api::to_yaml(value)),
        }
    }
}

/// Rows under each other, as wide as they must be.
pub(crate) fn table<const N: usize>(columns: [&str; N], rows: &[[String; N]]) -> String {
    let head = columns.map(str::to_owned);
    let mut width = [0; N];
    for row in std::iter::once(&head).chain(rows) {
        for (w, cell) in width.iter_mut().zip(row) {
            *w = (*w).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(width).map(|(cell, w)| format!("{cell:w$}")).collect();
        format!("{}\n", cells.join("     ").trim_end())
    };
    std::iter::once(&head).chain(rows).map(line).collect()
}

/// A message of a dump as protobuf's JSON names its fields (`connectTimeout`), which istioctl does too. What stands in metadata is
/// somebody's own and stays.
pub(crate) fn renamed(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| member(key, value)).collect())
        }
        Value::Array(items) => items.iter().map(renamed).collect(),
        other => other.clone(),
    }
}

/// The messages without what says their type, renamed.
pub(crate) fn messages<'v>(all: impl IntoIterator<Item = &'v Value>) -> Value {
    let bare = |value: &Value| match renamed(value) {
        Value::Object(mut members) => {
            members.remove("@type");
            Value::Object(members)
        }
        other => other,
    };
    all.into_iter().map(bare).collect()
}

fn member(key: &str, value: &Value) -> (String, Value) {
    let own = |members: &Map<String, Value>| {
        !members.contains_key("filter_metadata") && !members.contains_key("typed_filter_metadata")
    };
    let kept = match (key, value) {
        ("filter_metadata", _) => true,
        ("metadata", Value::Object(members)) => own(members),
        _ => false,
    };
    (camel(key), if kept { value.clone() } else { renamed(value) })
}

fn camel(key: &str) -> String {
    let field = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !key.chars().all(field) {
        return key.to_owned();
    }
    let mut parts = key.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut all, part| {
        let mut letters = part.chars();
        all.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        all.push_str(letters.as_str());
        all
    })
}
