//! Where a request goes by name: rewritten paths and hosts, and the URL of a redirect.

use std::borrow::Cow;

use tulle_http::{Known, RequestHead, Scheme, uri};

use super::format::{FormatContext, render};
use super::matcher::HeaderView;
use crate::runtime::matcher::{RegexSubstitution, ReplacementPart};
use crate::runtime::route::{
    Forward, HostRewrite, PathMatcher, PathRewrite, Redirect, RedirectPath, WeightedCluster,
};

/// Rewrites the path as the route says; the query stays. Whether it changed.
///
/// The old path goes into `x-envoy-original-path` unless `suppress` (the router's `suppress_envoy_headers`) is set.
pub fn rewrite_path(
    forward: &Forward,
    matched: &PathMatcher,
    head: &mut RequestHead,
    cx: &FormatContext<'_>,
    suppress: bool,
) -> bool {
    let end = head.path_only().len();
    let path = &head.path[..end];
    let new = match &forward.path_rewrite {
        PathRewrite::None => return false,
        PathRewrite::Prefix(prefix) => replace_prefix(path, matched, prefix),
        PathRewrite::Regex(regex) => {
            let new = substitute(regex, path).into_owned();
            if new.is_empty() {
                return false;
            }
            // Told even where nothing matches, as Envoy does.
            keep_original_path(head, suppress);
            head.path.replace_range(..end, &new);
            return true;
        }
        PathRewrite::Full(template) => {
            let mut out = String::new();
            render(template, cx, Some(head), None, &mut out);
            out
        }
    };
    if new == path {
        return false;
    }
    keep_original_path(head, suppress);
    head.path.replace_range(..end, &new);
    true
}

fn keep_original_path(head: &mut RequestHead, suppress: bool) {
    if !suppress {
        let RequestHead { headers, path, .. } = head;
        headers.set(Known::XEnvoyOriginalPath, path.as_bytes());
    }
}

/// Rewrites the host as the weighted cluster or the route says. Whether it changed.
///
/// The old host goes into `x-envoy-original-host` unless `suppress` is set; a weighted cluster's rewrite does not tell it.
///
/// `endpoint_host` is the chosen endpoint's host name, for `auto_host_rewrite`; that form is applied once there is one.
pub fn rewrite_host(
    forward: &Forward,
    weighted: Option<&WeightedCluster>,
    head: &mut RequestHead,
    cx: &FormatContext<'_>,
    endpoint_host: Option<&str>,
    suppress: bool,
) -> bool {
    let weighted_host = weighted.map(|w| &*w.host_rewrite).filter(|host| !host.is_empty());
    let new: String = match (&forward.host_rewrite, weighted_host) {
        (_, Some(host)) => host.to_owned(),
        (HostRewrite::None, None) => return false,
        (HostRewrite::Literal(host), None) => host.as_ref().to_owned(),
        (HostRewrite::FromEndpoint, None) => endpoint_host.unwrap_or_default().to_owned(),
        (HostRewrite::FromHeader(key), None) => {
            head.first(key).and_then(|v| std::str::from_utf8(v).ok()).unwrap_or_default().to_owned()
        }
        (HostRewrite::FromPath(regex), None) => substitute(regex, head.path_only()).into_owned(),
        (HostRewrite::Template(template), None) => {
            let mut out = String::new();
            render(template, cx, Some(head), None, &mut out);
            out
        }
    };
    if new.is_empty() || !uri::is_authority(new.as_bytes()) {
        return false;
    }
    if !suppress && weighted_host.is_none() {
        let RequestHead { headers, authority, .. } = head;
        headers.set("x-envoy-original-host", authority.as_bytes());
    }
    if new == head.authority && !forward.append_x_forwarded_host {
        return false;
    }
    if forward.append_x_forwarded_host {
        append_forwarded_host(head);
    }
    head.authority = new;
    true
}

/// Appends the host to `x-forwarded-host`, unless it is the last value there.
fn append_forwarded_host(head: &mut RequestHead) {
    let RequestHead { headers, authority, .. } = head;
    let last =
        headers.get_all(Known::XForwardedHost).last().and_then(|line| line.rsplit(|b| *b == b',').next());
    if last.is_none_or(|last| last.trim_ascii() != authority.as_bytes()) {
        headers.join(Known::XForwardedHost, authority.as_bytes());
    }
}

/// The `location` of a redirect.
///
/// A port in the request's host is dropped when the redirect names one, and when the scheme changes away from the one
/// that the port is the default of.
pub fn location(
    redirect: &Redirect,
    matched: &PathMatcher,
    head: &RequestHead,
    cx: &FormatContext<'_>,
) -> String {
    let scheme = if redirect.scheme.is_empty() { head.scheme.as_str() } else { &redirect.scheme };
    let mut out = String::with_capacity(64 + head.path.len());
    out.push_str(scheme);
    out.push_str("://");
    if redirect.host.is_empty() {
        out.push_str(request_host(head, scheme, redirect.port != 0));
    } else {
        out.push_str(&redirect.host);
    }
    if redirect.port != 0 {
        out.push(':');
        out.push_str(&redirect.port.to_string());
    }
    let path = head.path_only();
    let (new_path, own_query): (Cow<'_, str>, bool) = match &redirect.path {
        RedirectPath::Keep => (path.into(), false),
        RedirectPath::Full(template) => {
            let mut text = String::new();
            render(template, cx, Some(head), None, &mut text);
            let has_query = text.contains('?');
            (text.into(), has_query)
        }
        RedirectPath::Prefix(prefix) => (replace_prefix(path, matched, prefix).into(), false),
        RedirectPath::Regex(regex) => (substitute(regex, path), false),
    };
    out.push_str(&new_path);
    if let Some(query) = head.query().filter(|_| !own_query && !redirect.strip_query) {
        out.push('?');
        out.push_str(query);
    }
    out
}

fn request_host<'h>(head: &'h RequestHead, new_scheme: &str, new_port: bool) -> &'h str {
    let (host, port) = uri::split_port(&head.authority);
    let Some(port) = port else { return &head.authority };
    let old = head.scheme;
    let scheme_changes = Scheme::from_bytes(new_scheme.as_bytes()) != Some(old);
    if new_port || (scheme_changes && port == old.default_port()) { host } else { &head.authority }
}

fn replace_prefix(path: &str, matched: &PathMatcher, new: &str) -> String {
    let len = match matched {
        PathMatcher::Prefix { prefix, .. } | PathMatcher::SegmentPrefix { prefix, .. } => prefix.len(),
        PathMatcher::Exact { .. } | PathMatcher::Regex(_) => path.len(),
        PathMatcher::Connect => 0,
    };
    let rest = path.get(len..).unwrap_or_default();
    format!("{new}{rest}")
}

/// Replaces every match of the pattern, as RE2's `GlobalReplace`.
pub fn substitute<'t>(how: &RegexSubstitution, text: &'t str) -> Cow<'t, str> {
    let mut matches = how.regex.captures_iter(text.as_bytes()).peekable();
    if matches.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut from) = (Vec::with_capacity(text.len()), 0);
    for found in matches {
        let Some(whole) = found.get(0) else { continue };
        out.extend_from_slice(&text.as_bytes()[from..whole.start()]);
        for part in &how.replacement {
            match part {
                ReplacementPart::Text(text) => out.extend_from_slice(text.as_bytes()),
                ReplacementPart::Group(n) => {
                    out.extend_from_slice(found.get(*n).map_or(b"", |group| group.as_bytes()));
                }
            }
        }
        from = whole.end();
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|_| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::view::Connection;
    use crate::runtime::headers::Template;

    fn with_context<T>(f: impl FnOnce(&FormatContext<'_>) -> T) -> T {
        let connection = Connection::plain("10.0.0.1:1".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        f(&FormatContext {
            connection: &connection,
            route_name: "",
            cluster: "",
            upstream: None,
            response_flags: "",
            response_details: "",
            hostname: "",
            start: std::time::SystemTime::UNIX_EPOCH,
            metadata: None,
        })
    }

    fn redirect() -> Redirect {
        Redirect {
            status: 301,
            scheme: "".into(),
            host: "".into(),
            port: 0,
            path: RedirectPath::Keep,
            strip_query: false,
        }
    }

    fn prefix(p: &str) -> PathMatcher {
        PathMatcher::Prefix { prefix: p.into(), ignore_case: false }
    }

    #[test]
    fn locations() {
        let head = RequestHead { path: "/a/b?c=d".into(), authority: "shop:80".into(), ..Default::default() };
        let check = |redirect: Redirect, want: &str| {
            with_context(|cx| assert_eq!(location(&redirect, &prefix("/a"), &head, cx), want));
        };
        check(redirect(), "http://shop:80/a/b?c=d");
        check(Redirect { scheme: "https".into(), ..redirect() }, "https://shop/a/b?c=d");
        check(Redirect { port: 8443, scheme: "https".into(), ..redirect() }, "https://shop:8443/a/b?c=d");
        check(Redirect { host: "new".into(), strip_query: true, ..redirect() }, "http://new/a/b");
        check(Redirect { path: RedirectPath::Prefix("/x".into()), ..redirect() }, "http://shop:80/x/b?c=d");
        let full = |path: &str| RedirectPath::Full(Template::Text(path.into()));
        check(Redirect { path: full("/n"), ..redirect() }, "http://shop:80/n?c=d");
        check(Redirect { path: full("/n?own"), ..redirect() }, "http://shop:80/n?own");
    }

    #[test]
    fn regex_substitution_uses_groups() {
        let how = RegexSubstitution {
            regex: regex::bytes::Regex::new("^/service/([^/]+)(/.*)$").unwrap(),
            replacement: vec![
                ReplacementPart::Group(2),
                ReplacementPart::Text("/instance/".into()),
                ReplacementPart::Group(1),
            ],
        };
        assert_eq!(substitute(&how, "/service/foo/v1/api"), "/v1/api/instance/foo");
        assert_eq!(substitute(&how, "/else"), "/else");
    }
}
