//! Applying header changes.

use smallvec::SmallVec;
use tulle_http::{HeaderList, RequestHead, ResponseHead};

use super::format::{FormatContext, render};
use crate::runtime::headers::{AppendAction, HeaderAdd, HeaderOps};
use crate::runtime::route::{Route, RouteTable, VirtualHost, WeightedCluster};

/// The header changes in force for a request, in the order in which they are applied: weighted cluster, route, virtual
/// host, table; turned round if the table says that the most specific level wins.
pub fn levels<'t>(
    table: &'t RouteTable,
    host: &'t VirtualHost,
    route: &'t Route,
    weighted: Option<&'t WeightedCluster>,
    response: bool,
) -> [Option<&'t HeaderOps>; 4] {
    let pick = |request: &'t HeaderOps, answer: &'t HeaderOps| Some(if response { answer } else { request });
    let mut levels = [
        weighted.and_then(|w| pick(&w.request_headers, &w.response_headers)),
        pick(&route.request_headers, &route.response_headers),
        pick(&host.request_headers, &host.response_headers),
        pick(&table.request_headers, &table.response_headers),
    ];
    if table.most_specific_headers_win {
        levels[1..].reverse();
    }
    levels
}

/// Whether a field belongs to a connection or to the framing of a body (or is the authority), so that a service that is asked about a
/// request cannot write it into a message.
pub fn is_framing(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Changes a request's headers. `scratch` is cleared and used for values.
pub fn apply_to_request(
    ops: &HeaderOps,
    head: &mut RequestHead,
    cx: &FormatContext<'_>,
    scratch: &mut String,
) {
    remove(ops, &mut head.headers);
    let ends = values(ops, &head.headers, scratch, |add, out| render(&add.value, cx, Some(head), None, out));
    write_all(ops, &mut head.headers, scratch, &ends);
}

/// Changes a response's headers. `request` is the request as it went upstream. `scratch` is cleared and used for values.
pub fn apply_to_response(
    ops: &HeaderOps,
    head: &mut ResponseHead,
    request: &RequestHead,
    cx: &FormatContext<'_>,
    scratch: &mut String,
) {
    remove(ops, &mut head.headers);
    let ends = values(ops, &head.headers, scratch, |add, out| {
        render(&add.value, cx, Some(request), Some(head), out)
    });
    write_all(ops, &mut head.headers, scratch, &ends);
}

/// Writes all values one after the other before any header is written: they speak of the headers as they were. Where each
/// ends, and whether its header was there.
fn values(
    ops: &HeaderOps,
    headers: &HeaderList,
    text: &mut String,
    mut value: impl FnMut(&HeaderAdd, &mut String),
) -> SmallVec<[(usize, bool); 8]> {
    text.clear();
    in_order(ops)
        .map(|add| {
            value(add, text);
            (text.len(), asks(add.action) && headers.contains(&add.name))
        })
        .collect()
}

/// Whether it matters that the header is there.
fn asks(action: AppendAction) -> bool {
    matches!(action, AppendAction::AddIfAbsent | AppendAction::OverwriteIfExists)
}

fn write_all(ops: &HeaderOps, headers: &mut HeaderList, text: &str, ends: &[(usize, bool)]) {
    let mut start = 0;
    for (add, (end, there)) in in_order(ops).zip(ends) {
        write_one(add, headers, &text[start..*end], *there);
        start = *end;
    }
}

fn remove(ops: &HeaderOps, headers: &mut HeaderList) {
    for name in &ops.remove {
        headers.remove(name);
    }
}

/// Overwriting changes come before adding ones, as Envoy's.
fn in_order(ops: &HeaderOps) -> impl Iterator<Item = &HeaderAdd> {
    let overwrites =
        |add: &&HeaderAdd| matches!(add.action, AppendAction::Overwrite | AppendAction::OverwriteIfExists);
    ops.add.iter().filter(overwrites).chain(ops.add.iter().filter(move |add| !overwrites(add)))
}

/// Changes one header now, whatever came before.
pub(super) fn write(add: &HeaderAdd, headers: &mut HeaderList, value: &str) {
    let there = asks(add.action) && headers.contains(&add.name);
    write_one(add, headers, value, there);
}

fn write_one(add: &HeaderAdd, headers: &mut HeaderList, value: &str, there: bool) {
    if value.is_empty() && !add.keep_empty {
        return;
    }
    let name = &add.name;
    match add.action {
        AppendAction::Append => headers.append(name, value.as_bytes()),
        AppendAction::AddIfAbsent if there => false,
        AppendAction::AddIfAbsent => headers.append(name, value.as_bytes()),
        AppendAction::OverwriteIfExists if !there => false,
        AppendAction::Overwrite | AppendAction::OverwriteIfExists => headers.set(name, value.as_bytes()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::view::Connection;
    use crate::runtime::headers::{Template, TemplatePart, Variable};
    use crate::runtime::matcher::{HeaderKey, HeaderName};

    fn add(name: &str, value: &str, action: AppendAction) -> HeaderAdd {
        HeaderAdd {
            name: HeaderName::new(name).unwrap(),
            value: Template::Text(value.into()),
            action,
            keep_empty: false,
        }
    }

    fn run(ops: &HeaderOps, headers: &[(&str, &str)]) -> String {
        let connection = Connection::plain("10.0.0.1:1".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let cx = FormatContext {
            connection: &connection,
            route_name: "r",
            cluster: "c",
            upstream: None,
            response_flags: "",
            response_details: "",
            hostname: "h",
            start: std::time::SystemTime::UNIX_EPOCH,
            metadata: None,
        };
        let mut head = RequestHead {
            headers: headers.iter().copied().collect(),
            path: "/p".into(),
            ..Default::default()
        };
        apply_to_request(ops, &mut head, &cx, &mut String::new());
        let text: Vec<String> = head
            .headers
            .iter()
            .map(|h| format!("{}={}", h.name_str(), h.value_str().unwrap_or_default()))
            .collect();
        text.join(";")
    }

    #[test]
    fn removes_overwrites_then_adds() {
        let ops = HeaderOps {
            add: vec![
                add("a", "2", AppendAction::Append),
                add("b", "2", AppendAction::Overwrite),
                add("c", "2", AppendAction::AddIfAbsent),
                add("d", "2", AppendAction::OverwriteIfExists),
                add("e", "", AppendAction::Overwrite),
            ],
            remove: vec![HeaderName::new("gone").unwrap()],
        };
        assert_eq!(run(&ops, &[("a", "1"), ("gone", "1"), ("b", "1"), ("c", "1")]), "a=1;b=2;c=1;a=2");
        assert_eq!(run(&ops, &[]), "b=2;a=2;c=2");
        // What is there is decided before anything changes, as in Envoy.
        let twice = HeaderOps {
            add: vec![
                add("a", "1", AppendAction::AddIfAbsent),
                add("a", "2", AppendAction::AddIfAbsent),
                add("b", "1", AppendAction::Overwrite),
                add("b", "2", AppendAction::OverwriteIfExists),
                add("b", "3", AppendAction::AddIfAbsent),
            ],
            remove: vec![],
        };
        assert_eq!(run(&twice, &[]), "b=1;a=1;a=2;b=3");
    }

    #[test]
    fn variables_are_filled_in_and_missing_ones_add_nothing() {
        let value = |variable| Template::Parts(vec![TemplatePart::Variable(variable)]);
        let req = |name: &str| Variable::RequestHeader {
            name: HeaderKey::new(name).unwrap(),
            alternative: None,
            max_len: None,
        };
        let ops = HeaderOps {
            add: vec![
                HeaderAdd { value: value(req(":path")), ..add("x-path", "", AppendAction::Append) },
                HeaderAdd { value: value(req("none")), ..add("x-none", "", AppendAction::Append) },
                HeaderAdd {
                    value: value(Variable::DownstreamRemoteAddressWithoutPort),
                    ..add("x-ip", "", AppendAction::Append)
                },
            ],
            remove: vec![],
        };
        assert_eq!(run(&ops, &[]), "x-path=/p;x-ip=10.0.0.1");
    }
}
