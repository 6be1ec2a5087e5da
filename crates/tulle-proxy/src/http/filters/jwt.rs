//! `envoy.filters.http.jwt_authn`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tulle_engine::{
    decide::{
        jwt::{self, Authenticated, JwtFault},
        route::RouteInput,
    },
    runtime::{filter::FilterOverride, jwt::JwtAuthn},
};
use tulle_http::{Known, RequestHead, ResponseHead};

use crate::http::{exchange::Exchange, reply::Reply};

/// Most of a URL that a refusal repeats.
const MAX_URL: usize = 256;

/// Checks the tokens of the request, and changes it as their providers want.
pub(super) fn ask(x: &mut Exchange<'_>, filter: &JwtAuthn, change: Option<&FilterOverride>) -> Option<Reply> {
    jwt::sanitize(filter, &mut x.s.request);
    let name = match change {
        Some(FilterOverride::Jwt(name)) => Some(&**name),
        _ => None,
    };
    let input = RouteInput {
        head: &x.s.request,
        connection: &x.view,
        metadata: x.metadata.as_deref(),
        random: x.record.random,
    };
    let requirement = match jwt::requirement(filter, name, &input) {
        Ok(Some(requirement)) => requirement,
        Ok(None) => return None,
        Err(why) => {
            let details = details(&why);
            let body = if filter.strip_failure {
                String::new()
            } else {
                format!("Failed JWT authentication: {why}")
            };
            return Some(Reply::new(403, body, details));
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut found = Authenticated::default();
    let result = jwt::authenticate(filter, requirement, &x.s.request, now, &mut found);
    if jwt::writes_metadata(&found) {
        jwt::keep(&found, x.metadata.get_or_insert_default());
    }
    let stats = &x.manager.stats;
    if let Err(fault) = result {
        stats.jwt_denied.inc();
        return Some(refusal(filter, &x.s.request, fault));
    }
    stats.jwt_allowed.inc();
    if jwt::apply(&found, &mut x.s.request) {
        x.found = x.table.and_then(|table| x.find(table));
    }
    None
}

fn refusal(filter: &JwtAuthn, request: &RequestHead, fault: JwtFault) -> Reply {
    let details = details(fault.text());
    if filter.strip_failure {
        return Reply::new(fault.status(), "", details);
    }
    let mut reply = Reply::new(fault.status(), fault.text(), details);
    let mut realm = format!("{}://{}{}", request.scheme.as_str(), request.authority, request.path);
    let end = (0..=MAX_URL.min(realm.len())).rev().find(|at| realm.is_char_boundary(*at)).unwrap_or(0);
    realm.truncate(end);
    // What a client wrote cannot end the text.
    let realm = realm.replace(['"', '\\'], "");
    let error = if fault == JwtFault::Missing { "" } else { ", error=\"invalid_token\"" };
    let mut head = Box::new(ResponseHead::new(fault.status()));
    head.headers.append(Known::WwwAuthenticate, format!("Bearer realm=\"{realm}\"{error}").as_bytes());
    reply.headers = Some(head);
    reply
}

fn details(why: &str) -> String {
    let why: String = why.chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
    format!("jwt_authn_access_denied{{{why}}}")
}
