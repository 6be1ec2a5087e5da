//! Cleaning of paths and hosts before routes and policies see them.

use tulle_http::RequestHead;

use crate::runtime::http_manager::{EscapedSlashes, HostHandling, PathHandling, StripPort};

/// What becomes of a request after its path was cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathVerdict {
    /// It goes on, perhaps with another path.
    Continue,
    /// It is refused with 400 (`path_normalization_failed`).
    Reject,
    /// The client is redirected (307) to the path that is now in the head.
    Redirect,
}

/// Cleans the path of a request: escaped slashes, then dot segments, then neighbouring slashes. The query stays.
///
/// Changes nothing and allocates nothing for a path that is clean already, which nearly all are.
pub fn clean(head: &mut RequestHead, how: PathHandling) -> PathVerdict {
    let path = head.path_only();
    if path.is_empty() || path == "*" {
        return PathVerdict::Continue;
    }
    let end = path.len();
    let escaped = how.escaped_slashes != EscapedSlashes::Keep && has_escaped_slash(path);
    if escaped && how.escaped_slashes == EscapedSlashes::Reject {
        return PathVerdict::Reject;
    }
    let dirty = how.normalize && needs_normalizing(path);
    let double = how.merge_slashes && path.contains("//");
    if !escaped && !dirty && !double {
        return PathVerdict::Continue;
    }
    let mut text = path.to_owned();
    if escaped {
        text = unescape_slashes(&text);
    }
    if how.normalize {
        text = match normalize(&text) {
            Some(text) => text,
            None => return PathVerdict::Reject,
        };
    }
    if how.merge_slashes {
        text = merge_slashes(&text);
    }
    head.path.replace_range(..end, &text);
    if escaped && how.escaped_slashes == EscapedSlashes::UnescapeAndRedirect {
        return PathVerdict::Redirect;
    }
    PathVerdict::Continue
}

/// Removes what the configuration says from the host. `listener_port` is the port that `Matching` means.
pub fn clean_host(head: &mut RequestHead, how: HostHandling, listener_port: u16) {
    let (host, port) = tulle_http::uri::split_port(&head.authority);
    let keep = host.len();
    let strip = match (how.strip_port, port) {
        (StripPort::Never, _) | (_, None) => false,
        (StripPort::Any, Some(_)) => true,
        (StripPort::Matching, Some(port)) => port == listener_port,
    };
    if strip {
        head.authority.truncate(keep);
    }
    if how.strip_trailing_dot {
        let (host, port) = tulle_http::uri::split_port(&head.authority);
        if host.ends_with('.') && host.len() > 1 {
            let at = host.len() - 1;
            if port.is_some() || at + 1 == head.authority.len() {
                head.authority.remove(at);
            }
        }
    }
}

fn has_escaped_slash(path: &str) -> bool {
    path.as_bytes().windows(3).any(|w| is_escaped_slash(w).is_some())
}

fn is_escaped_slash(window: &[u8]) -> Option<u8> {
    match window {
        [b'%', b'2', b'f' | b'F'] => Some(b'/'),
        [b'%', b'5', b'c' | b'C'] => Some(b'\\'),
        _ => None,
    }
}

fn unescape_slashes(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let Some(slash) = bytes.get(at..at + 3).and_then(is_escaped_slash) {
            out.push(char::from(slash));
            at += 3;
        } else {
            out.push(char::from(bytes[at]));
            at += 1;
        }
    }
    out
}

/// Whether normalizing might change the path: a dot segment, a backslash, an escape, or what should be one.
fn needs_normalizing(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().any(|b| b"\\%\"<>^`{|}".contains(b)) || bytes.windows(2).any(|w| w == b"/.")
}

/// RFC 3986 sections 5.2.4 and 6.2.2: backslashes are slashes, escapes of unreserved characters are undone, dot
/// segments are resolved, and characters that no path may hold are escaped. `None` for a null character.
///
/// A dot segment with parameters (`..;x`) is one too: some servers take it for one. Behind an escape (`%2e%2e;`) it is not, as in
/// Envoy.
fn normalize(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => decoded.push(b'/'),
            b'%' => {
                let digit = |at: usize| bytes.get(at).copied().and_then(hex);
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    // Not an escape; it stays as it is.
                    decoded.push(b'%');
                    at += 1;
                    continue;
                };
                let byte = high << 4 | low;
                if byte == 0 {
                    return None;
                }
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                    decoded.push(byte);
                } else {
                    decoded.extend_from_slice(&bytes[at..at + 3]);
                }
                at += 2;
            }
            b';' if matches!(bytes[..at].rsplit(|b| b"/\\".contains(b)).next(), Some(b"." | b"..")) => {
                while bytes.get(at + 1).is_some_and(|b| !b"/\\".contains(b)) {
                    at += 1;
                }
            }
            byte @ (b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}') => {
                decoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            byte => decoded.push(byte),
        }
        at += 1;
    }
    let mut out: Vec<&[u8]> = Vec::new();
    let mut segments = decoded.split(|b| *b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." if last => out.push(b""),
            b"." => {}
            b".." => {
                out.pop();
                if last {
                    out.push(b"");
                }
            }
            _ => out.push(segment),
        }
    }
    let mut joined = String::with_capacity(decoded.len());
    for segment in out {
        joined.push('/');
        joined.push_str(std::str::from_utf8(segment).ok()?);
    }
    if joined.is_empty() {
        joined.push('/');
    }
    Some(joined)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn merge_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: PathHandling = PathHandling {
        normalize: true,
        merge_slashes: true,
        escaped_slashes: EscapedSlashes::UnescapeAndForward,
    };

    fn cleaned(path: &str, how: PathHandling) -> (String, PathVerdict) {
        let mut head = RequestHead { path: path.into(), ..Default::default() };
        let verdict = clean(&mut head, how);
        (head.path, verdict)
    }

    #[test]
    fn dot_segments_and_slashes() {
        for (path, want) in [
            ("/a/../b", "/b"),
            ("/a/./b/", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/../..", "/"),
            ("/a%2e%2E/b", "/a../b"),
            ("/a/%2e%2e/b", "/b"),
            ("/a\\b", "/a/b"),
            ("//a///b?x=//", "/a/b?x=//"),
            ("/a%2fb", "/a/b"),
            ("/%41?%41", "/A?%41"),
            ("/.hidden", "/.hidden"),
            ("/a/..;/b", "/b"),
            ("/a/.;x/b", "/a/b"),
            ("/a/..;", "/"),
            ("/a/%2e%2e;/b", "/a/..;/b"),
            ("/a/...;/b", "/a/...;/b"),
            ("*", "*"),
        ] {
            assert_eq!(cleaned(path, ALL), (want.into(), PathVerdict::Continue), "{path}");
        }
    }

    #[test]
    fn null_characters_and_escaped_slashes_can_be_refused() {
        assert_eq!(cleaned("/%00", ALL).1, PathVerdict::Reject);
        for path in ["/%", "/%4", "/%zz"] {
            assert_eq!(cleaned(path, ALL), (path.into(), PathVerdict::Continue), "as it came");
        }
        assert_eq!(cleaned("/a|{b}", ALL).0, "/a%7C%7Bb%7D");
        let reject = PathHandling { escaped_slashes: EscapedSlashes::Reject, ..ALL };
        assert_eq!(cleaned("/a%5Cb", reject).1, PathVerdict::Reject);
        let redirect = PathHandling { escaped_slashes: EscapedSlashes::UnescapeAndRedirect, ..ALL };
        assert_eq!(cleaned("/a%2Fb", redirect), ("/a/b".into(), PathVerdict::Redirect));
        let keep =
            PathHandling { normalize: false, merge_slashes: false, escaped_slashes: EscapedSlashes::Keep };
        assert_eq!(cleaned("/a/../%2f//", keep), ("/a/../%2f//".into(), PathVerdict::Continue));
    }

    #[test]
    fn hosts() {
        for (host, strip_port, want) in [
            ("a:8080", StripPort::Any, "a"),
            ("a:8080", StripPort::Matching, "a"),
            ("a:8081", StripPort::Matching, "a:8081"),
            ("a.:8081", StripPort::Never, "a:8081"),
            ("a.", StripPort::Never, "a"),
            ("[::1]:8080", StripPort::Any, "[::1]"),
        ] {
            let mut head = RequestHead { authority: host.into(), ..Default::default() };
            clean_host(&mut head, HostHandling { strip_port, strip_trailing_dot: true }, 8080);
            assert_eq!(head.authority, want, "{host}");
        }
    }
}
