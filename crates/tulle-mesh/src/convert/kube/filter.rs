//! Filters of routes.

use tulle_api::gateway_api as api;

use super::matching::literal;
use crate::routing::{
    Cors, ExternalAuth, HeaderOps, Mirror, Redirect, RedirectPort, RegexRewrite, Rewrite, StringMatch,
};

/// Whatever filters do, taken together.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) headers: HeaderOps,
    pub(super) redirect: Option<Redirect>,
    pub(super) rewrite: Option<Rewrite>,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) cors: Option<Cors>,
    pub(super) external_auth: Vec<ExternalAuth>,
    /// Something that cannot be done: requests are answered with 500.
    pub(super) fails: bool,
}

/// Changes of request headers.
pub(super) fn request_headers(f: &api::HttpHeaderFilter, out: &mut HeaderOps) {
    let api::HttpHeaderFilter { set, add, remove } = f;
    out.request_set = pairs(set);
    out.request_add = pairs(add);
    out.request_remove.clone_from(remove);
}

/// Changes of response headers.
pub(super) fn response_headers(f: &api::HttpHeaderFilter, out: &mut HeaderOps) {
    let api::HttpHeaderFilter { set, add, remove } = f;
    out.response_set = pairs(set);
    out.response_add = pairs(add);
    out.response_remove.clone_from(remove);
}

/// Sorted by name; of equal names the first counts.
fn pairs(given: &[api::HeaderNameValue]) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for api::HeaderNameValue { name, value } in given {
        let name = name.to_ascii_lowercase();
        if out.iter().all(|(n, _)| *n != name) {
            out.push((name, value.clone()));
        }
    }
    out.sort();
    out
}

/// A redirect of requests whose path matched `path`.
pub(super) fn redirect(f: &api::RequestRedirectFilter, path: Option<&StringMatch>) -> Redirect {
    let api::RequestRedirectFilter { scheme, hostname, path: change, port, status_code } = f;
    let number = port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0);
    let port = match number {
        Some(number) => Some(RedirectPort::Number(number)),
        // Another scheme has its own port; otherwise the listener's stays.
        None if scheme.is_empty() => Some(RedirectPort::FromRequest),
        None => None,
    };
    let mut out = Redirect {
        authority: hostname.clone(),
        scheme: scheme.clone(),
        port,
        code: status_code.and_then(|c| u16::try_from(c).ok()).unwrap_or(302),
        ..Redirect::default()
    };
    match change.as_ref().and_then(|c| path_change(c, path)) {
        Some(Change::Full(to)) => out.uri = to,
        Some(Change::Prefix(to)) => out.prefix_rewrite = to,
        Some(Change::Regex(by)) => out.regex = Some(by),
        None => {}
    }
    out
}

/// Changes of host and path of requests whose path matched `path`.
pub(super) fn rewrite(f: &api::UrlRewriteFilter, path: Option<&StringMatch>) -> Rewrite {
    let api::UrlRewriteFilter { hostname, path: change } = f;
    let mut out =
        Rewrite { authority: Some(hostname.clone()).filter(|h| !h.is_empty()), ..Rewrite::default() };
    match change.as_ref().and_then(|c| path_change(c, path)) {
        Some(Change::Full(to)) => {
            let substitution = to.replace('\\', r"\\");
            out.regex = Some(RegexRewrite { pattern: "/.*".to_owned(), substitution });
        }
        Some(Change::Prefix(to)) => out.uri = Some(to),
        Some(Change::Regex(by)) => out.regex = Some(by),
        None => {}
    }
    out
}

enum Change {
    Full(String),
    Prefix(String),
    Regex(RegexRewrite),
}

/// What happens to a path of which `path` is the condition. A slash at the end of the new prefix does not count, and no
/// path becomes empty or begins with two slashes (HTTPPathModifier `replacePrefixMatch`).
fn path_change(c: &api::HttpPathModifier, path: Option<&StringMatch>) -> Option<Change> {
    let api::HttpPathModifier { modifier_type, replace_full_path, replace_prefix_match } = c;
    match modifier_type {
        Some(api::HttpPathModifierType::ReplaceFullPath) => {
            let to = replace_full_path.clone().unwrap_or_default();
            Some(Change::Full(if to.is_empty() { "/".to_owned() } else { to }))
        }
        Some(api::HttpPathModifierType::ReplacePrefixMatch) => {
            let to = replace_prefix_match.as_deref().unwrap_or_default().trim_end_matches('/');
            match (path, to) {
                (Some(StringMatch::Segments(_)), to) if !to.is_empty() => Some(Change::Prefix(to.to_owned())),
                (Some(StringMatch::Segments(from)), _) => Some(Change::Regex(RegexRewrite {
                    pattern: format!("^{}(/?)(.*)", literal(from)),
                    substitution: r"/\2".to_owned(),
                })),
                // The matched prefix is `/`.
                (_, "") => None,
                (_, to) => Some(Change::Prefix(format!("{to}/"))),
            }
        }
        None => None,
    }
}

/// Share of the requests that are mirrored, in percent.
pub(super) fn mirrored(f: &api::RequestMirrorFilter) -> f64 {
    let api::RequestMirrorFilter { backend_ref: _, percent, fraction } = f;
    match (fraction, percent) {
        (Some(api::MirrorFraction { numerator, denominator }), _) => {
            f64::from(*numerator) * 100.0 / f64::from(denominator.unwrap_or(100).max(1))
        }
        (None, Some(percent)) => f64::from(*percent),
        (None, None) => 100.0,
    }
}

/// Cross-origin policy. Other origins than the allowed ones get no headers, and their preflights go on to nobody.
pub(super) fn cors(f: &api::CorsFilter) -> Cors {
    let api::CorsFilter {
        allow_origins,
        allow_credentials,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
    } = f;
    let seconds = u64::try_from(max_age.unwrap_or(5)).unwrap_or_default();
    Cors {
        allow_origins: allow_origins.iter().map(|o| origin(o)).collect(),
        allow_methods: allow_methods.clone(),
        allow_headers: allow_headers.clone(),
        expose_headers: expose_headers.clone(),
        max_age: Some(std::time::Duration::from_secs(seconds)),
        allow_credentials: allow_credentials.filter(|yes| *yes),
        forward_unmatched_preflights: false,
    }
}

/// `*` stands for every origin (RFC 6454: scheme, host and port), within one for any text.
fn origin(text: &str) -> StringMatch {
    if text == "*" {
        return StringMatch::Regex(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s?#]+".to_owned());
    }
    if !text.contains('*') {
        return StringMatch::Exact(text.to_owned());
    }
    let parts: Vec<String> = text.split('*').map(literal).collect();
    StringMatch::Regex(parts.join(".*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the prefix `from` of a path becomes.
    fn replaced(from: &str, to: &str) -> (Option<String>, Option<String>) {
        let matched = (from != "/").then(|| StringMatch::Segments(from.into()));
        let path = api::HttpPathModifier {
            modifier_type: Some(api::HttpPathModifierType::ReplacePrefixMatch),
            replace_full_path: None,
            replace_prefix_match: Some(to.into()),
        };
        let filter = api::UrlRewriteFilter { hostname: String::new(), path: Some(path) };
        let Rewrite { uri, authority: _, regex } = rewrite(&filter, matched.as_ref());
        (uri, regex.map(|r| format!("{} -> {}", r.pattern, r.substitution)))
    }

    #[test]
    fn a_replaced_prefix_never_leaves_two_slashes_nor_none() {
        assert_eq!(replaced("/a", "/x"), (Some("/x".into()), None));
        assert_eq!(replaced("/a", "/x/"), (Some("/x".into()), None));
        assert_eq!(replaced("/a.b", ""), (None, Some(r"^/a\.b(/?)(.*) -> /\2".into())));
        assert_eq!(replaced("/a", "/"), (None, Some(r"^/a(/?)(.*) -> /\2".into())));
        assert_eq!(replaced("/", "/x"), (Some("/x/".into()), None));
        assert_eq!(replaced("/", "/"), (None, None));
    }

    #[test]
    fn a_star_in_an_origin_is_any_text() {
        assert_eq!(origin("https://a.example"), StringMatch::Exact("https://a.example".into()));
        assert_eq!(origin("https://*.a.example"), StringMatch::Regex(r"https://.*\.a\.example".into()));
    }

    #[test]
    fn the_share_of_a_mirror() {
        let with = |percent, fraction| {
            mirrored(&api::RequestMirrorFilter { backend_ref: Default::default(), percent, fraction })
        };
        assert_eq!(with(None, None), 100.0);
        assert_eq!(with(Some(20), None), 20.0);
        assert_eq!(with(None, Some(api::MirrorFraction { numerator: 1, denominator: Some(8) })), 12.5);
    }
}
