//! Applying header mutations, and writing metadata.

use std::collections::btree_map::Entry;

use tulle_http::{HeaderList, RequestHead, ResponseHead};

use super::descriptor::percent_decoded;
use super::format::{FormatContext, render};
use super::header_ops::write;
use super::matcher;
use crate::runtime::header_mutation::{HeaderMutation, Mutations, QueryMutation, SetMetadata};
use crate::runtime::headers::AppendAction;
use crate::runtime::metadata::{Fields, Metadata, Value};

/// Changes a request. `scratch` is cleared and used for values.
pub fn apply_to_request(
    mutations: &Mutations,
    head: &mut RequestHead,
    cx: &FormatContext<'_>,
    scratch: &mut String,
) {
    for mutation in &mutations.request {
        if let HeaderMutation::Add(add) = mutation {
            scratch.clear();
            render(&add.value, cx, Some(head), None, scratch);
        }
        apply(mutation, &mut head.headers, scratch);
    }
    if !mutations.query.is_empty() && head.path.starts_with('/') {
        head.path = with_query(&mutations.query, head, cx, scratch);
    }
}

/// Changes a response. `request` is the request as it went upstream. `scratch` is cleared and used for values.
pub fn apply_to_response(
    mutations: &Mutations,
    head: &mut ResponseHead,
    request: &RequestHead,
    cx: &FormatContext<'_>,
    scratch: &mut String,
) {
    for mutation in &mutations.response {
        if let HeaderMutation::Add(add) = mutation {
            scratch.clear();
            render(&add.value, cx, Some(request), Some(head), scratch);
        }
        apply(mutation, &mut head.headers, scratch);
    }
}

fn apply(mutation: &HeaderMutation, headers: &mut HeaderList, value: &str) {
    match mutation {
        HeaderMutation::Remove(name) => {
            headers.remove(name);
        }
        HeaderMutation::RemoveMatching(name) => {
            headers.retain(|field| !matcher::string(name, &field.name.to_ascii_lowercase()));
        }
        HeaderMutation::Add(add) => write(add, headers, value),
    }
}

/// The path with its query changed. As in Envoy, the parameters come out sorted by name; unlike there, what came percent-encoded stays
/// so, because the bare text could be no query at all.
fn with_query(
    mutations: &[QueryMutation],
    head: &RequestHead,
    cx: &FormatContext<'_>,
    scratch: &mut String,
) -> String {
    let mut parameters = parameters(head);
    for mutation in mutations {
        match mutation {
            QueryMutation::Remove(name) => parameters.retain(|(n, _)| n != name.as_bytes()),
            QueryMutation::Add(name, value, action) => {
                let there = parameters.iter().any(|(n, _)| n == name.as_bytes());
                match action {
                    AppendAction::AddIfAbsent if there => continue,
                    AppendAction::OverwriteIfExists if !there => continue,
                    AppendAction::Overwrite | AppendAction::OverwriteIfExists => {
                        parameters.retain(|(n, _)| n != name.as_bytes());
                    }
                    AppendAction::Append | AppendAction::AddIfAbsent => {}
                }
                scratch.clear();
                render(value, cx, Some(head), None, scratch);
                let written = format!("{}={}", percent_encoded(name), percent_encoded(scratch));
                parameters.push((name.as_bytes().to_vec(), written));
            }
        }
    }
    written(head, parameters)
}

/// Sets and removes parameters of the query.
pub(super) fn change_query(head: &mut RequestHead, set: &[(String, String)], remove: &[String]) {
    if !head.path.starts_with('/') {
        return;
    }
    let mut parameters = parameters(head);
    for (name, value) in set {
        parameters.retain(|(n, _)| n != name.as_bytes());
        let written = format!("{}={}", percent_encoded(name), percent_encoded(value));
        parameters.push((name.as_bytes().to_vec(), written));
    }
    parameters.retain(|(name, _)| !remove.iter().any(|gone| gone.as_bytes() == name));
    head.path = written(head, parameters);
}

/// The parameters of the query: their names, and how they are written.
fn parameters(head: &RequestHead) -> Vec<(Vec<u8>, String)> {
    head.query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            let written = if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") };
            (percent_decoded(name).into_owned(), written)
        })
        .collect()
}

/// The path with these parameters as its query.
fn written(head: &RequestHead, mut parameters: Vec<(Vec<u8>, String)>) -> String {
    parameters.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut path = head.path_only().to_owned();
    for (number, (_, written)) in parameters.iter().enumerate() {
        path.push(if number == 0 { '?' } else { '&' });
        path.push_str(written);
    }
    path
}

/// Everything but the unreserved characters of RFC 3986 section 2.3 percent-encoded.
fn percent_encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// Writes values into metadata: merged into what is there where that is allowed.
pub fn set_metadata(values: &[SetMetadata], metadata: &mut Metadata) {
    for SetMetadata { namespace, value, allow_overwrite } in values {
        match metadata.entry(namespace.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(value.clone());
            }
            Entry::Occupied(mut entry) if *allow_overwrite => merge(entry.get_mut(), value),
            Entry::Occupied(_) => {}
        }
    }
}

/// Structs are merged, lists joined, other values and values of another kind replaced.
fn merge(into: &mut Fields, from: &Fields) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Struct(old)), Value::Struct(new)) => merge(old, new),
            (Some(Value::List(old)), Value::List(new)) => old.extend(new.iter().cloned()),
            (Some(old), new) => *old = new.clone(),
            (None, new) => {
                into.insert(key.clone(), new.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::view::Connection;
    use crate::runtime::headers::{HeaderAdd, Template};
    use crate::runtime::matcher::{HeaderName, StringMatcher};

    fn with_context(check: impl FnOnce(&FormatContext<'_>)) {
        let connection = Connection::plain("10.0.0.1:1".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        check(&FormatContext {
            connection: &connection,
            route_name: "r",
            cluster: "",
            upstream: None,
            response_flags: "",
            response_details: "",
            hostname: "h",
            start: std::time::SystemTime::UNIX_EPOCH,
            metadata: None,
        });
    }

    fn add(name: &str, value: &str, action: AppendAction) -> HeaderMutation {
        HeaderMutation::Add(HeaderAdd {
            name: HeaderName::new(name).unwrap(),
            value: Template::Text(value.into()),
            action,
            keep_empty: false,
        })
    }

    #[test]
    fn fields_change_in_the_order_that_is_written() {
        let mutations = Mutations {
            request: vec![
                add("a", "1", AppendAction::Append),
                HeaderMutation::Remove(HeaderName::new("a").unwrap()),
                add("a", "2", AppendAction::Append),
                add("b", "3", AppendAction::Overwrite),
                HeaderMutation::RemoveMatching(StringMatcher::Prefix("x-".into())),
                add("x-late", "4", AppendAction::AddIfAbsent),
                add("e", "", AppendAction::Append),
            ],
            ..Mutations::default()
        };
        with_context(|cx| {
            let mut head = RequestHead {
                path: "/p".into(),
                headers: [("X-One", "1"), ("b", "1"), ("b", "2")].into_iter().collect(),
                ..Default::default()
            };
            apply_to_request(&mutations, &mut head, cx, &mut String::new());
            let fields: Vec<String> = head
                .headers
                .iter()
                .map(|f| format!("{}={}", f.name_str(), f.value_str().unwrap_or_default()))
                .collect();
            assert_eq!(fields.join(";"), "b=3;a=2;x-late=4");
        });
    }

    #[test]
    fn queries_change_as_a_stock_envoy_changes_them_but_stay_queries() {
        let add = |name: &str, value: &str, action| {
            QueryMutation::Add(name.into(), Template::Text(value.into()), action)
        };
        let mutations = Mutations {
            query: vec![
                add("new k", "v&w=/? b", AppendAction::Append),
                QueryMutation::Remove("gone".into()),
                add("o", "1", AppendAction::OverwriteIfExists),
                add("p", "1", AppendAction::AddIfAbsent),
                add("z", "9", AppendAction::Overwrite),
            ],
            ..Mutations::default()
        };
        with_context(|cx| {
            for (path, want) in [
                (
                    "/p?gone=1&b=2&a=3&a=1&o=5&gone=2&p",
                    "/p?a=3&a=1&b=2&new%20k=v%26w%3D%2F%3F%20b&o=1&p=&z=9",
                ),
                ("/p?z=1&z=2&a=%20x%26", "/p?a=%20x%26&new%20k=v%26w%3D%2F%3F%20b&p=1&z=9"),
                ("/p", "/p?new%20k=v%26w%3D%2F%3F%20b&p=1&z=9"),
            ] {
                let mut head = RequestHead { path: path.into(), ..Default::default() };
                apply_to_request(&mutations, &mut head, cx, &mut String::new());
                assert_eq!(head.path, want);
            }
            let remove =
                Mutations { query: vec![QueryMutation::Remove("a b".into())], ..Mutations::default() };
            for (path, want) in [("/p?a%20b=1", "/p"), ("/p?", "/p"), ("/p?b=1&a=2", "/p?a=2&b=1")] {
                let mut head = RequestHead { path: path.into(), ..Default::default() };
                apply_to_request(&remove, &mut head, cx, &mut String::new());
                assert_eq!(head.path, want);
            }
        });
    }

    #[test]
    fn metadata_is_merged_where_that_is_allowed() {
        fn fields(pairs: Vec<(&str, Value)>) -> Fields {
            pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()
        }
        let text = |text: &str| Value::String(text.into());
        let set = |value, allow_overwrite| SetMetadata { namespace: "n".into(), value, allow_overwrite };
        let mut metadata = Metadata::new();
        set_metadata(
            &[
                set(
                    fields(vec![
                        ("a", text("1")),
                        ("l", Value::List(vec![text("x")])),
                        ("s", Value::Struct(fields(vec![("p", text("1")), ("q", Value::Number(2.0))]))),
                    ]),
                    false,
                ),
                set(fields(vec![("a", text("2"))]), false),
                set(
                    fields(vec![
                        ("a", Value::Number(7.0)),
                        ("b", text("3")),
                        ("l", Value::List(vec![text("y")])),
                        (
                            "s",
                            Value::Struct(fields(vec![("p", Value::Number(5.0)), ("r", Value::Bool(true))])),
                        ),
                    ]),
                    true,
                ),
            ],
            &mut metadata,
        );
        let inner = vec![("p", Value::Number(5.0)), ("q", Value::Number(2.0)), ("r", Value::Bool(true))];
        let want = fields(vec![
            ("a", Value::Number(7.0)),
            ("b", text("3")),
            ("l", Value::List(vec![text("x"), text("y")])),
            ("s", Value::Struct(fields(inner))),
        ]);
        assert_eq!(metadata.get("n"), Some(&want));
    }
}
