//! What stands before everything: logging in, and who may do what.

use hyper::Method;
use serde_json::{Value, json};

use super::access::{Mode, Who};
use super::{Api, Asked, Reply};

/// The command that prints where to log in.
const LOGIN: &str = "tulle dashboard";

/// The answer to what is not for everybody, or is about access itself; `None` where the request may go on.
pub(super) fn answer(api: &Api, asked: &Asked, who: &Who, now: i64) -> Option<Reply> {
    match asked.path.as_str() {
        "/-/healthy" | "/-/ready" => return Some(Reply::text(200, "ready\n")),
        "/api/session" => return Some(session(api, who)),
        "/api/login" if asked.method == Method::POST => return Some(login(api, asked, now)),
        "/api/logout" if asked.method == Method::POST => return Some(logout(api, asked, who, now)),
        "/api/login" | "/api/logout" => {
            return Some(Reply::refused(405, "MethodNotAllowed", "send it with POST", ""));
        }
        _ => {}
    }
    if !asked.path.starts_with("/api/") {
        // The pages themselves are nobody's secret (`ui`); what else is here tells what there is.
        return None;
    }
    if !who.can_read() {
        let bad = !asked.authorization.is_empty();
        let message = if bad { "the token is wrong or over" } else { "log in to read this" };
        return Some(Reply::refused(401, "Unauthorized", message, LOGIN));
    }
    let refused = match changes(asked) {
        Changes::Nothing => None,
        // It is a lot of work, or tells what is not for other sites.
        Changes::Work => forged(asked, who),
        Changes::Something => not_writer(api, who).or_else(|| forged(asked, who)),
    };
    if let (Some(reply), Some(plane)) = (&refused, &api.plane) {
        let reason = String::from_utf8_lossy(&reply.body).into_owned();
        plane.audit(&who.name, &format!("{} {}", asked.method, asked.path), Some(&reason));
    }
    refused
}

/// What a request changes.
enum Changes {
    Nothing,
    Work,
    Something,
}

fn changes(asked: &Asked) -> Changes {
    let reads = asked.method == Method::GET;
    match asked.path.as_str() {
        _ if reads => Changes::Nothing,
        // Prometheus' clients send long queries so.
        path if path.starts_with("/api/v1/") => Changes::Nothing,
        "/api/validate" | "/api/diff" => Changes::Work,
        _ => Changes::Something,
    }
}

fn not_writer(api: &Api, who: &Who) -> Option<Reply> {
    if who.can_write {
        return None;
    }
    if api.access.as_ref().is_none_or(|access| access.is_read_only()) {
        return Some(Reply::refused(
            403,
            "ReadOnly",
            "this dashboard writes nothing",
            "use kubectl or tulle apply",
        ));
    }
    Some(match who.mode {
        Mode::Bearer => Reply::refused(
            403,
            "Forbidden",
            "this token is for reading",
            "tulle dashboard --make-token write",
        ),
        _ => Reply::refused(403, "Anonymous", "log in to write", LOGIN),
    })
}

/// Whether a browser may have been talked into it by a page of somebody else.
fn forged(asked: &Asked, who: &Who) -> Option<Reply> {
    if who.mode == Mode::Bearer {
        return None;
    }
    if !asked.origin.is_empty() && !is_own(&asked.origin, &asked.host) {
        return Some(Reply::refused(403, "BadOrigin", "the request comes from a page of another site", ""));
    }
    if who.mode == Mode::Session && !who.has_csrf(&asked.csrf) {
        return Some(Reply::refused(
            403,
            "BadCsrf",
            "the header X-Tulle-Csrf is missing or wrong",
            "send what /api/session says as csrf",
        ));
    }
    None
}

/// Whether an `Origin` is that of the `Host` the request was sent to.
fn is_own(origin: &str, host: &str) -> bool {
    let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    name.is_some_and(|name| name.eq_ignore_ascii_case(host))
}

fn described(api: &Api, who: &Who) -> Value {
    json!({
        "user": who.name, "mode": who.mode.as_str(), "canRead": who.can_read(), "canWrite": who.can_write,
        "readOnly": api.access.as_ref().is_none_or(|access| access.is_read_only()),
        "csrf": who.csrf, "expires": who.expires, "loginCommand": LOGIN,
    })
}

fn session(api: &Api, who: &Who) -> Reply {
    Reply::json(described(api, who).to_string().into_bytes())
}

fn login(api: &Api, asked: &Asked, now: i64) -> Reply {
    let Some(access) = &api.access else {
        return Reply::refused(404, "NotFound", "nobody logs in here", "");
    };
    if !asked.origin.is_empty() && !is_own(&asked.origin, &asked.host) {
        return Reply::refused(403, "BadOrigin", "the request comes from a page of another site", "");
    }
    let sent: Option<Value> = serde_json::from_slice(&asked.body).ok();
    let token = sent.as_ref().and_then(|v| v["token"].as_str()).or_else(|| asked.params.get("token"));
    let seconds = u64::try_from(now / 1000).unwrap_or(0);
    let audit = |who: &str, refused: Option<&str>| {
        if let Some(plane) = &api.plane {
            plane.audit(who, "login", refused);
        }
    };
    match access.login(token.unwrap_or(""), asked.peer, seconds) {
        Some((who, cookie)) => {
            audit(&who.name, None);
            let mut reply = session(api, &who);
            reply.cookie = Some(cookie);
            reply
        }
        None => {
            let from = asked.peer.map(|ip| ip.to_string()).unwrap_or_default();
            audit(&from, Some("the token is wrong, over, or used"));
            Reply::refused(401, "BadToken", "the token is wrong, over, or used", LOGIN)
        }
    }
}

fn logout(api: &Api, asked: &Asked, who: &Who, now: i64) -> Reply {
    if let Some(refused) = forged(asked, who) {
        return refused;
    }
    let mut reply = Reply::new(204, "text/plain", Vec::new());
    if let Some(access) = &api.access {
        reply.cookie = Some(access.logout(&asked.cookie, u64::try_from(now / 1000).unwrap_or(0)));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn pages_of_others_are_told() {
        assert!(is_own("http://127.0.0.1:20001", "127.0.0.1:20001"));
        assert!(is_own("https://mesh.example", "mesh.example"));
        for origin in ["http://evil.example", "http://127.0.0.1:3000", "null", "http://127.0.0.1:20001.evil"]
        {
            assert!(!is_own(origin, "127.0.0.1:20001"), "{origin}");
        }
    }
}
