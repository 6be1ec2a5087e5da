//! Redirects and direct responses.

use std::sync::Arc;

use tulle_proto::envoy::route as pb;

use super::context::{At, Context, UNSUPPORTED};
use super::matcher;
use super::template::template;
use super::value::{data, number, one_line, text};
use crate::runtime::route::{DirectResponse, InternalRedirect, Redirect, RedirectPath};

pub(super) fn internal_redirect(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::InternalRedirectPolicy,
) -> Option<InternalRedirect> {
    let pb::InternalRedirectPolicy {
        max_internal_redirects,
        redirect_response_codes,
        predicates,
        allow_cross_scheme_redirect,
        response_headers_to_copy,
    } = message;
    refuse!(cx, at, predicates: UNSUPPORTED, response_headers_to_copy: UNSUPPORTED);
    let list_at = at.field("redirect_response_codes");
    let mut codes = Vec::new();
    for (i, code) in redirect_response_codes.iter().enumerate() {
        match u16::try_from(*code) {
            Ok(code @ (301 | 302 | 303 | 307 | 308)) => codes.push(code),
            _ => cx.refuse(&list_at.index(i), format!("{code} is not a redirect")),
        }
    }
    if codes.is_empty() {
        codes.push(302);
    }
    Some(InternalRedirect {
        max: number(max_internal_redirects.as_ref(), 1),
        codes,
        cross_scheme: *allow_cross_scheme_redirect,
    })
}

pub(super) fn redirect(cx: &mut Context<'_>, at: &At<'_>, message: &pb::RedirectAction) -> Option<Redirect> {
    use pb::redirect_action::SchemeRewriteSpecifier as Scheme;
    use pb::redirect_action::{PathRewriteSpecifier as Path, RedirectResponseCode as Code};
    let pb::RedirectAction {
        host_redirect,
        port_redirect,
        response_code,
        strip_query,
        scheme_rewrite_specifier,
        path_rewrite_specifier,
    } = message;
    let status = match cx.choice(&at.field("response_code"), *response_code)? {
        Code::MovedPermanently => 301,
        Code::Found => 302,
        Code::SeeOther => 303,
        Code::TemporaryRedirect => 307,
        Code::PermanentRedirect => 308,
    };
    let scheme = match scheme_rewrite_specifier {
        Some(Scheme::HttpsRedirect(true)) => "https",
        Some(Scheme::HttpsRedirect(false)) | None => "",
        Some(Scheme::SchemeRedirect(scheme)) => scheme,
    };
    let path = match path_rewrite_specifier {
        None => RedirectPath::Keep,
        Some(Path::PathRedirect(path)) if path.is_empty() => RedirectPath::Keep,
        // A plain path may hold percent signs (escapes); only `path_rewrite` has variables.
        Some(Path::PathRedirect(path)) => {
            let path = one_line(cx, &at.field("path_redirect"), path);
            RedirectPath::Full(crate::runtime::headers::Template::Text(path))
        }
        Some(Path::PrefixRewrite(prefix)) => {
            RedirectPath::Prefix(one_line(cx, &at.field("prefix_rewrite"), prefix))
        }
        Some(Path::RegexRewrite(regex)) => {
            RedirectPath::Regex(matcher::substitution(cx, &at.field("regex_rewrite"), regex)?)
        }
        Some(Path::PathRewrite(source)) => {
            RedirectPath::Full(template(cx, &at.field("path_rewrite"), source)?)
        }
    };
    Some(Redirect {
        status,
        scheme: text(scheme),
        host: one_line(cx, &at.field("host_redirect"), host_redirect),
        port: cx.port(&at.field("port_redirect"), *port_redirect)?,
        path,
        strip_query: *strip_query,
    })
}

pub(super) fn direct_response(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::DirectResponseAction,
    body_limit: u32,
) -> Option<DirectResponse> {
    let pb::DirectResponseAction { status, body, body_format } = message;
    refuse!(cx, at, body_format: UNSUPPORTED);
    let status = cx.between(&at.field("status"), *status, 200, 599)?;
    let body_at = at.field("body");
    let body = match body {
        Some(body) => data(cx, &body_at, body)?,
        None => Arc::from(&[][..]),
    };
    if body.len() > body_limit as usize {
        cx.refuse(&body_at, format!("has {} bytes; at most {body_limit} are allowed", body.len()));
        return None;
    }
    Some(DirectResponse { status: u16::try_from(status).unwrap_or(500), body })
}
