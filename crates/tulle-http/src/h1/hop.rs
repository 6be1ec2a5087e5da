//! Fields that end at the next hop (RFC 9110 section 7.6.1).

use crate::{HeaderList, Known};

/// Removes the fields that concern one connection only: `Connection` and what it nominates, `Keep-Alive`,
/// `Proxy-Connection`, `Transfer-Encoding`, `Upgrade` (unless `keep_upgrade`) and `TE` (except `TE: trailers`, which
/// gRPC needs).
///
/// `Content-Length` is never removed, even where `Connection` nominates it: its framing has been decided.
pub fn strip_hop_by_hop(headers: &mut HeaderList, keep_upgrade: bool) {
    if headers.contains(Known::Connection) {
        remove_nominated(headers);
    }
    let mut trailers = false;
    headers.retain(|field| match field.known {
        Some(Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::TransferEncoding) => {
            false
        }
        Some(Known::Upgrade | Known::Http2Settings) => keep_upgrade && field.known == Some(Known::Upgrade),
        Some(Known::Te) => {
            trailers |= field
                .value
                .split(|b| *b == b',')
                .any(|part| part.trim_ascii().eq_ignore_ascii_case(b"trailers"));
            false
        }
        _ => true,
    });
    if trailers {
        headers.append(Known::Te, b"trailers");
    }
}

/// Whether `Connection` nominates what tells where a request came from (`X-Forwarded-For`, `-Host`, `-Proto`): removing it
/// would hide the client, so such a request is refused (400), as Envoy does.
#[must_use]
pub fn hides_origin(headers: &HeaderList) -> bool {
    headers.get_all(Known::Connection).flat_map(|value| value.split(|b| *b == b',')).any(|item| {
        let item = item.trim_ascii();
        ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]
            .iter()
            .any(|name| item.eq_ignore_ascii_case(name.as_bytes()))
    })
}

fn remove_nominated(headers: &mut HeaderList) {
    // Nominations besides the usual ones are rare: copy them out, so that the list can be changed.
    let mut nominated: Vec<Vec<u8>> = Vec::new();
    for value in headers.get_all(Known::Connection) {
        for item in value.split(|b| *b == b',') {
            let item = item.trim_ascii();
            let usual = ["close", "keep-alive", "upgrade", "te"]
                .iter()
                .any(|u| item.eq_ignore_ascii_case(u.as_bytes()));
            if !item.is_empty() && !usual && !item.eq_ignore_ascii_case(b"content-length") {
                nominated.push(item.to_vec());
            }
        }
    }
    for name in &nominated {
        headers.remove(name.as_slice());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[(&str, &str)], keep_upgrade: bool, expected: &str) {
        let mut list: HeaderList = fields.iter().copied().collect();
        strip_hop_by_hop(&mut list, keep_upgrade);
        let text: Vec<String> =
            list.iter().map(|h| format!("{}={}", h.name_str(), h.value_str().unwrap())).collect();
        assert_eq!(text.join(" "), expected);
    }

    #[test]
    fn connection_fields_end_here() {
        check(
            &[
                ("Connection", "X-Hop, close"),
                ("x-hop", "1"),
                ("Keep-Alive", "5"),
                ("Transfer-Encoding", "chunked"),
                ("a", "b"),
            ],
            false,
            "a=b",
        );
    }

    #[test]
    fn upgrade_stays_on_request() {
        let fields = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        check(&fields, false, "");
        check(&fields, true, "Upgrade=websocket");
    }

    #[test]
    fn te_keeps_trailers_only() {
        check(&[("TE", "gzip, trailers"), ("Connection", "TE")], false, "te=trailers");
        check(&[("TE", "gzip")], false, "");
    }

    #[test]
    fn content_length_cannot_be_nominated_away() {
        check(&[("Connection", "content-length"), ("Content-Length", "5")], false, "Content-Length=5");
    }
}
