//! `envoy.filters.http.stateful_session`.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::{core, http_type, session_cookie, session_header, stateful_session as pb};
use tulle_proto::type_url;

use super::context::{At, Context};
use super::matcher;
use super::value::text;
use crate::runtime::session::{SessionPolicy, SessionState};

/// The policy; `Some(None)` for a filter without one, which routes give one.
pub(super) fn stateful_session(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::StatefulSession,
) -> Option<Option<Arc<SessionPolicy>>> {
    let pb::StatefulSession { session_state, strict, stat_prefix, status_on_strict_destination_not_found } =
        message;
    no_effect!(cx, at, stat_prefix: "statistics are those of the metric contract");
    let Some(core::TypedExtensionConfig { name: kind, typed_config }) = session_state else {
        return Some(None);
    };
    let status_at = at.field("status_on_strict_destination_not_found");
    let strict_status = match status_on_strict_destination_not_found {
        0 => 503,
        status => u16::try_from(cx.between(&status_at, *status, 200, 599)?).ok()?,
    };
    let state_at = at.field("session_state");
    let here = state_at.field("typed_config");
    let any = cx.required(&here, typed_config.as_ref())?;
    let state = match any.type_url.as_str() {
        type_url::SESSION_COOKIE => {
            let session_cookie::CookieBasedSessionState { cookie } = cx.unpack(&here, any)?;
            let here = here.field("cookie");
            let http_type::Cookie { name, ttl, path, attributes } = cx.required(&here, cookie.as_ref())?;
            if name.is_empty() {
                cx.refuse(&here.field("name"), "must not be empty");
                return None;
            }
            let ttl = match ttl {
                Some(_) => cx.duration(&here.field("ttl"), ttl.as_ref())?,
                None => Duration::ZERO,
            };
            let pair = |http_type::CookieAttribute { name, value }: &http_type::CookieAttribute| {
                (text(name), text(value))
            };
            SessionState::Cookie {
                name: text(name),
                path: text(path),
                // Whole seconds count, as in Envoy.
                ttl: Duration::from_secs(ttl.as_secs()),
                browser: kind == session_cookie::OF_BROWSER,
                attributes: attributes.iter().map(pair).collect(),
            }
        }
        type_url::SESSION_HEADER => {
            let session_header::HeaderBasedSessionState { name } = cx.unpack(&here, any)?;
            SessionState::Header(matcher::header_name(cx, &here.field("name"), &name)?)
        }
        _ => {
            cx.unknown_extension(
                &here,
                any,
                "session state",
                &[type_url::SESSION_COOKIE, type_url::SESSION_HEADER],
            );
            return None;
        }
    };
    Some(Some(Arc::new(SessionPolicy { state, strict: *strict, strict_status })))
}

/// The same per route; `Some(None)` switches the filter off.
pub(super) fn per_route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::StatefulSessionPerRoute,
) -> Option<Option<Option<Arc<SessionPolicy>>>> {
    use pb::stateful_session_per_route::Override;
    let pb::StatefulSessionPerRoute { r#override } = message;
    match r#override {
        Some(Override::Disabled(true)) => Some(None),
        Some(Override::Disabled(false)) => {
            cx.refuse(&at.field("disabled"), "must be true");
            None
        }
        Some(Override::StatefulSession(message)) => {
            stateful_session(cx, &at.field("stateful_session"), message).map(Some)
        }
        None => {
            cx.refuse(at, "needs disabled or stateful_session");
            None
        }
    }
}
