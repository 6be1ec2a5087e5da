//! Annotations of ours on a VirtualService: faults that end by themselves, and splits on which a user stays on one side.

use serde_json::Value;
use tulle_api::Object;
use tulle_api::value::Timestamp;

use crate::convert::cx::Cx;
use crate::destination::HashKey;

/// When the faults of a VirtualService end: a moment (RFC 3339), or a duration since its last change.
pub const FAULT_EXPIRES: &str = "tulle.io/fault-expires";

/// What keeps a user on one side of a split: `header:NAME`, `cookie:NAME`, `query:NAME` or `source-ip`.
pub const STICKY_SPLIT: &str = "tulle.io/sticky-split";

/// What an annotation may say about the end of faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At a moment, in seconds after 1970-01-01T00:00:00Z.
    At(i64),
    /// So many seconds after the last change.
    After(i64),
}

impl Expiry {
    /// Reads the annotation; `None` where it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(moment) = Timestamp::parse(text) {
            return Some(Self::At(moment.unix()));
        }
        let duration = tulle_base::duration::parse(text).ok()?;
        Some(Self::After(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
    }
}

/// Reads `header:NAME`, `cookie:NAME`, `query:NAME` or `source-ip`. A cookie that is not there is made, for the session.
pub fn sticky(text: &str) -> Option<HashKey> {
    let key = match text.split_once(':') {
        None if text == "source-ip" => return Some(HashKey::SourceIp),
        Some((kind, name)) if !name.is_empty() => (kind, name.trim().to_owned()),
        _ => return None,
    };
    Some(match key {
        ("header", name) => HashKey::Header(name),
        ("query", name) => HashKey::QueryParameter(name),
        ("cookie", name) => HashKey::Cookie {
            name,
            path: "/".into(),
            ttl: Some(std::time::Duration::ZERO),
            attributes: Vec::new(),
        },
        _ => return None,
    })
}

/// When the faults of a document end, if they do, in seconds after 1970-01-01T00:00:00Z. What cannot be read ends them at
/// once: an experiment that somebody wanted to end must not go on for ever.
pub(super) fn fault_expires(cx: &mut Cx<'_>, object: &Object) -> Option<i64> {
    let text = object.meta.annotations.get(FAULT_EXPIRES)?;
    match Expiry::parse(text) {
        Some(Expiry::At(moment)) => Some(moment),
        Some(Expiry::After(seconds)) => Some(changed(object).saturating_add(seconds)),
        None => {
            cx.warn(
                &format!("metadata.annotations[{FAULT_EXPIRES}]"),
                format!("{text:?} is no moment and no duration, so no faults are injected"),
                "write a moment such as 2026-08-01T10:00:00Z, or a duration such as 30m",
            );
            Some(0)
        }
    }
}

/// The key of sticky splits, if the document has one.
pub(super) fn sticky_split(cx: &mut Cx<'_>, object: &Object) -> Option<HashKey> {
    let text = object.meta.annotations.get(STICKY_SPLIT)?;
    let key = sticky(text);
    if key.is_none() {
        cx.warn(
            &format!("metadata.annotations[{STICKY_SPLIT}]"),
            format!("{text:?} is no key, so splits are by chance"),
            "write header:NAME, cookie:NAME, query:NAME or source-ip",
        );
    }
    key
}

/// When an object was changed last, as its managed fields tell; when it was made, where they do not. Status does not count.
fn changed(object: &Object) -> i64 {
    let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let of_spec = object
        .meta
        .managed_fields
        .iter()
        .filter(|entry| text(entry, "subresource").is_none_or(|s| s.is_empty()))
        .filter_map(|entry| Some(Timestamp::parse(&text(entry, "time")?)?.unix()));
    let made = object.meta.creation_timestamp.as_ref().map_or(0, Timestamp::unix);
    of_spec.max().unwrap_or(made).max(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_durations() {
        assert_eq!(Expiry::parse("1970-01-01T01:00:00+01:00"), Some(Expiry::At(0)));
        assert_eq!(Expiry::parse("1h30m"), Some(Expiry::After(5400)));
        assert_eq!(Expiry::parse("soon"), None);
    }

    #[test]
    fn keys_of_splits() {
        assert_eq!(sticky("header:x-user"), Some(HashKey::Header("x-user".into())));
        assert_eq!(sticky("source-ip"), Some(HashKey::SourceIp));
        assert!(matches!(sticky("cookie:side"), Some(HashKey::Cookie { ttl: Some(_), .. })));
        for text in ["", "header", "header:", "user:x"] {
            assert_eq!(sticky(text), None, "{text}");
        }
    }
}
