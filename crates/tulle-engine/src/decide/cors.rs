//! Cross-origin requests.

use tulle_http::{Known, Method, RequestHead, ResponseHead};

use super::matcher;
use crate::runtime::cors::CorsPolicy;

/// What becomes of a request on a route with a CORS policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsVerdict {
    /// Nothing: no origin, policy not in force, or the origin may not ask.
    Pass,
    /// It goes on, and [`allow`] is applied to the response.
    Allowed,
    /// It is answered here with this status and these headers (a preflight).
    Answer(ResponseHead),
}

/// Decides. `random` is uniform, for policies in force for a part of the requests.
pub fn request(policy: &CorsPolicy, head: &RequestHead, random: u64) -> CorsVerdict {
    let Some(origin) = head.headers.get(Known::Origin).filter(|origin| !origin.is_empty()) else {
        return CorsVerdict::Pass;
    };
    if !policy.enabled.hits(random) {
        return CorsVerdict::Pass;
    }
    // What takes `*` takes everything.
    let allowed =
        policy.allow_origins.iter().any(|want| matcher::string(want, b"*") || matcher::string(want, origin));
    let preflight = head.method == Method::Options
        && head.headers.get(Known::AccessControlRequestMethod).is_some_and(|method| !method.is_empty());
    if !preflight {
        return if allowed { CorsVerdict::Allowed } else { CorsVerdict::Pass };
    }
    if !allowed && policy.forward_not_matching_preflights {
        return CorsVerdict::Pass;
    }
    let mut response = ResponseHead::new(200);
    if allowed {
        preflight_headers(policy, head, origin, &mut response);
    }
    CorsVerdict::Answer(response)
}

fn preflight_headers(policy: &CorsPolicy, head: &RequestHead, origin: &[u8], response: &mut ResponseHead) {
    let headers = &mut response.headers;
    headers.set(Known::AccessControlAllowOrigin, origin);
    if !policy.expose_headers.is_empty() {
        headers.set(Known::AccessControlExposeHeaders, policy.expose_headers.as_bytes());
    }
    if policy.allow_credentials {
        headers.set(Known::AccessControlAllowCredentials, b"true");
    }
    let asked = [Known::AccessControlRequestMethod, Known::AccessControlRequestHeaders]
        .map(|name| head.headers.get(name).unwrap_or_default());
    for (name, value, asked) in [
        (Known::AccessControlAllowMethods, &policy.allow_methods, Some(asked[0])),
        (Known::AccessControlAllowHeaders, &policy.allow_headers, Some(asked[1])),
        (Known::AccessControlMaxAge, &policy.max_age, None),
    ] {
        match asked {
            _ if value.is_empty() => {}
            Some(asked) if &**value == "*" => {
                headers.set(name, asked);
            }
            _ => {
                headers.set(name, value.as_bytes());
            }
        }
    }
    let wants_private = head.headers.get("access-control-request-private-network") == Some(b"true");
    if policy.allow_private_network && wants_private {
        headers.set("access-control-allow-private-network", b"true");
    }
}

/// Adds what an allowed origin needs to a response.
pub fn allow(policy: &CorsPolicy, request: &RequestHead, response: &mut ResponseHead) {
    let Some(origin) = request.headers.get(Known::Origin) else { return };
    response.headers.set(Known::AccessControlAllowOrigin, origin);
    if policy.allow_credentials {
        response.headers.set(Known::AccessControlAllowCredentials, b"true");
    }
    if !policy.expose_headers.is_empty() {
        response.headers.set(Known::AccessControlExposeHeaders, policy.expose_headers.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::matcher::{Fraction, StringMatcher};

    fn policy() -> CorsPolicy {
        CorsPolicy {
            allow_origins: vec![StringMatcher::Exact("https://a".into())],
            allow_methods: "GET".into(),
            allow_headers: "x-one".into(),
            expose_headers: "x-two".into(),
            max_age: "60".into(),
            allow_credentials: true,
            allow_private_network: false,
            forward_not_matching_preflights: true,
            enabled: Fraction::ALWAYS,
            shadow: Fraction::ZERO,
        }
    }

    fn ask(method: Method, headers: &[(&str, &str)]) -> RequestHead {
        RequestHead { method, headers: headers.iter().copied().collect(), ..Default::default() }
    }

    #[test]
    fn preflights_of_allowed_origins_are_answered() {
        let head = ask(Method::Options, &[("origin", "https://a"), ("access-control-request-method", "GET")]);
        let CorsVerdict::Answer(response) = request(&policy(), &head, 0) else { panic!("not answered") };
        assert_eq!(response.status, 200);
        assert_eq!(response.headers.get_str(Known::AccessControlAllowOrigin), Some("https://a"));
        assert_eq!(response.headers.get_str(Known::AccessControlMaxAge), Some("60"));
    }

    #[test]
    fn others_are_forwarded_or_answered_without_headers() {
        let head = ask(Method::Options, &[("origin", "https://b"), ("access-control-request-method", "GET")]);
        assert_eq!(request(&policy(), &head, 0), CorsVerdict::Pass);
        let strict = CorsPolicy { forward_not_matching_preflights: false, ..policy() };
        assert_eq!(request(&strict, &head, 0), CorsVerdict::Answer(ResponseHead::new(200)));
    }

    #[test]
    fn simple_requests() {
        assert_eq!(request(&policy(), &ask(Method::Get, &[]), 0), CorsVerdict::Pass);
        let head = ask(Method::Get, &[("origin", "https://a")]);
        assert_eq!(request(&policy(), &head, 0), CorsVerdict::Allowed);
        let mut response = ResponseHead::new(200);
        allow(&policy(), &head, &mut response);
        assert_eq!(response.headers.get_str(Known::AccessControlExposeHeaders), Some("x-two"));
    }
}
