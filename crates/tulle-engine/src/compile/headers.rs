//! Changes to headers.

use tulle_proto::envoy::core;

use super::context::{At, Context};
use super::matcher::header_name;
use super::template::template;
use super::value::one_line;
use crate::runtime::headers::{AppendAction, HeaderAdd, HeaderOps};

/// The changes of one level and direction; `add` and `remove` are the two fields.
pub(super) fn ops(
    cx: &mut Context<'_>,
    add: (&At<'_>, &[core::HeaderValueOption]),
    remove: (&At<'_>, &[String]),
) -> HeaderOps {
    let removed = |cx: &mut Context<'_>, at: &At<'_>, name: &str| {
        if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
            cx.refuse(at, format!("{name:?} cannot be removed"));
            return None;
        }
        header_name(cx, at, name)
    };
    HeaderOps {
        add: adds(cx, add.0, add.1),
        remove: remove
            .1
            .iter()
            .enumerate()
            .filter_map(|(i, name)| removed(cx, &remove.0.index(i), name))
            .collect(),
    }
}

pub(super) fn adds(cx: &mut Context<'_>, at: &At<'_>, list: &[core::HeaderValueOption]) -> Vec<HeaderAdd> {
    list.iter().enumerate().filter_map(|(i, message)| header_add(cx, &at.index(i), message)).collect()
}

pub(super) fn header_add(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &core::HeaderValueOption,
) -> Option<HeaderAdd> {
    use core::header_value_option::HeaderAppendAction as Action;
    let core::HeaderValueOption { header, append, append_action, keep_empty_value } = message;
    let header_at = at.field("header");
    let core::HeaderValue { key, value, raw_value } = cx.required(&header_at, header.as_ref())?;
    if key.starts_with(':') || key.eq_ignore_ascii_case("host") {
        cx.refuse(&header_at.field("key"), format!("{key:?} cannot be set here; use a rewrite of the route"));
        return None;
    }
    let name = header_name(cx, &header_at.field("key"), key)?;
    let value = match (value.is_empty(), std::str::from_utf8(raw_value)) {
        (false, _) => value.as_str(),
        (true, Ok(raw)) => raw,
        (true, Err(_)) => {
            cx.refuse(&header_at.field("raw_value"), "must be UTF-8");
            return None;
        }
    };
    let value_at = header_at.field("value");
    one_line(cx, &value_at, value);
    let value = template(cx, &value_at, value)?;
    let action = match (cx.choice(&at.field("append_action"), *append_action)?, append) {
        (Action::AppendIfExistsOrAdd, Some(flag)) if !flag.value => AppendAction::Overwrite,
        (Action::AppendIfExistsOrAdd, _) => AppendAction::Append,
        (Action::AddIfAbsent, _) => AppendAction::AddIfAbsent,
        (Action::OverwriteIfExistsOrAdd, _) => AppendAction::Overwrite,
        (Action::OverwriteIfExists, _) => AppendAction::OverwriteIfExists,
    };
    Some(HeaderAdd { name, value, action, keep_empty: *keep_empty_value })
}
