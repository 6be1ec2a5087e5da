//! Label and field selectors of lists and watches.

use tulle_api::{Kind, Object};
use tulle_base::Labels;

use crate::error::ApiError;

/// Longest selector that is read, in bytes.
const MAX_LENGTH: usize = 64 * 1024;
/// Most requirements in one selector.
const MAX_REQUIREMENTS: usize = 256;

/// A label selector such as `app=cart,tier in (a, b),!canary`. All requirements must hold; the empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Reads a selector (Kubernetes' `labels.Parse`).
    ///
    /// # Errors
    /// 400 that says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let wrong = |why: &str| ApiError::bad_request(format!("labelSelector {:?}: {why}", shorten(text)));
        if text.len() > MAX_LENGTH {
            return Err(wrong("is too long"));
        }
        let mut requirements = Vec::new();
        for part in split_outside_brackets(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    continue;
                }
                return Err(wrong("has an empty requirement; remove the comma"));
            }
            requirements.push(requirement(part).map_err(|why| wrong(&why))?);
            if requirements.len() > MAX_REQUIREMENTS {
                return Err(wrong("has too many requirements"));
            }
        }
        Ok(Self(requirements))
    }

    /// Whether `labels` are selected.
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|r| {
            let value = labels.get(&r.key);
            match &r.test {
                Test::Exists => value.is_some(),
                Test::Missing => value.is_none(),
                Test::In(values) => value.is_some_and(|v| values.iter().any(|w| *w == **v)),
                Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| *w != **v)),
                Test::Above(n) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v > *n),
                Test::Below(n) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v < *n),
            }
        })
    }
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let make = |key: &str, test| key_of(key).map(|key| Requirement { key, test });
    if let Some(key) = part.strip_prefix('!').filter(|k| !k.starts_with('=')) {
        return make(key, Test::Missing);
    }
    if let Some((head, values)) = part.split_once('(') {
        let values = values.strip_suffix(')').ok_or("a bracket is not closed")?;
        let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
        for value in &values {
            value_of(value)?;
        }
        let head = head.trim_end();
        return if let Some(key) = head.strip_suffix("notin").filter(|k| k.ends_with(char::is_whitespace)) {
            make(key, Test::NotIn(values))
        } else if let Some(key) = head.strip_suffix("in").filter(|k| k.ends_with(char::is_whitespace)) {
            make(key, Test::In(values))
        } else {
            Err(format!("{part:?} is neither KEY in (...) nor KEY notin (...)"))
        };
    }
    for (operator, negative) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let values = vec![value_of(value.trim())?];
            return make(key, if negative { Test::NotIn(values) } else { Test::In(values) });
        }
    }
    for (operator, above) in [('>', true), ('<', false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let n = value.trim().parse().map_err(|_| format!("{value:?} is not a whole number"))?;
            return make(key, if above { Test::Above(n) } else { Test::Below(n) });
        }
    }
    make(part, Test::Exists)
}

/// A label key: an optional DNS prefix and a name of at most 63 characters.
fn key_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (prefix, name) = text.rsplit_once('/').unwrap_or(("", text));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty()
        || name.len() > 63
        || prefix.len() > 253
        || !name.chars().chain(prefix.chars()).all(plain)
    {
        return Err(format!("{text:?} is not a label key"));
    }
    Ok(text.to_owned())
}

fn value_of(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.len() > 63 || !text.chars().all(plain) {
        return Err(format!("{text:?} is not a label value"));
    }
    Ok(text.to_owned())
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth <= 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
}

/// A field selector such as `metadata.name=cart,status.phase!=Running`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    /// Reads a selector; `kind` says which fields can be selected by.
    ///
    /// # Errors
    /// 400 that says what is wrong with it.
    pub(crate) fn parse(text: &str, kind: Kind) -> Result<Self, ApiError> {
        let wrong = |why: String| ApiError::bad_request(format!("fieldSelector {:?}: {why}", shorten(text)));
        if text.len() > MAX_LENGTH {
            return Err(wrong("is too long".into()));
        }
        let mut out = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, equal, value) = if let Some((key, value)) = part.split_once("!=") {
                (key, false, value)
            } else if let Some((key, value)) = part.split_once("==") {
                (key, true, value)
            } else if let Some((key, value)) = part.split_once('=') {
                (key, true, value)
            } else {
                return Err(wrong(format!("{part:?} is neither FIELD=VALUE nor FIELD!=VALUE")));
            };
            let key = key.trim();
            if !selectable(kind).any(|f| f == key) {
                let known: Vec<&str> = selectable(kind).collect();
                return Err(wrong(format!(
                    "field label not supported: {key}; known here: {}",
                    known.join(", ")
                )));
            }
            out.push((key.to_owned(), equal, value.trim().to_owned()));
            if out.len() > MAX_REQUIREMENTS {
                return Err(wrong("has too many requirements".into()));
            }
        }
        Ok(Self(out))
    }

    /// Whether `object` is selected.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        self.0.iter().all(|(key, equal, wanted)| {
            let same = match key.as_str() {
                "metadata.name" => object.meta.name == *wanted,
                "metadata.namespace" => object.meta.namespace == *wanted,
                path => value_at(object, path) == *wanted,
            };
            same == *equal
        })
    }
}

/// The fields that objects of `kind` can be selected by, as in Kubernetes.
fn selectable(kind: Kind) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match kind {
        Kind::Pod => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        Kind::Namespace => &["status.phase"],
        Kind::Secret => &["type"],
        Kind::ReplicaSet => &["status.replicas"],
        Kind::Job => &["status.successful"],
        _ => &[],
    };
    ["metadata.name", "metadata.namespace"].into_iter().chain(own.iter().copied())
}

fn value_at(object: &Object, path: &str) -> String {
    let pointer = format!("/{}", path.replace('.', "/"));
    let found = match path.strip_prefix("status.") {
        Some(field) => object.status.as_ref().and_then(|s| s.get(field)).cloned(),
        None => object.to_json().pointer(&pointer).cloned(),
    };
    match found {
        Some(serde_json::Value::String(text)) => text,
        Some(serde_json::Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        LabelSelector::parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn label_selectors_select_as_kubernetes_says() {
        let cart = [("app", "cart"), ("x.io/tier", "2")];
        for yes in [
            "",
            "app=cart",
            "app==cart",
            "app!=pay",
            "app",
            "!b",
            "b!=1",
            "app in (cart, pay)",
            "app notin (pay)",
            "b notin (x)",
            "app=cart,x.io/tier in (1,2)",
            "x.io/tier>1",
            "x.io/tier < 3",
            " app = cart ",
        ] {
            assert!(selects(yes, &cart), "{yes}");
        }
        for no in ["app=pay", "!app", "b", "app notin (cart)", "app in ()", "x.io/tier>2", "app=cart,b=1"] {
            assert!(!selects(no, &cart), "{no}");
        }
        for bad in [",", "a=b,", "=", "a in", "a in (b", "a b", "a=ü", "a>x", "a/b/c=d e"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_some_fields_can_be_selected_by() {
        let pod = FieldSelector::parse("status.phase=Running,metadata.name!=a", Kind::Pod).unwrap();
        let mut object = Object::new("d", "b", tulle_api::kubernetes::PodSpec::default());
        assert!(!pod.matches(&object));
        object.status = Some(serde_json::json!({"phase": "Running"}));
        assert!(pod.matches(&object));
        object.meta.name = "a".into();
        assert!(!pod.matches(&object));
        let error = FieldSelector::parse("spec.hosts=a", Kind::VirtualService).unwrap_err();
        assert!(error.message.contains("field label not supported: spec.hosts"), "{error}");
    }
}
