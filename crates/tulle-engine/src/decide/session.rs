//! The endpoint of a session: found in a request, and told in the response.
//!
//! What clients keep is what Envoy gives them: the address in base64, in cookies within a message of two fields (the address, and
//! when the session ends, in seconds after 1970).

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tulle_http::RequestHead;

use super::matcher::cookie_value;
use crate::runtime::session::{SessionPolicy, SessionState};

/// A request of a session, or one that begins it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The endpoint that it names.
    pub at: Option<SocketAddr>,
}

/// What the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A `set-cookie` line.
    Cookie(String),
    /// The value of the policy's header.
    Header(String),
}

/// The session of a request; `None` where the policy is not for its path. `now` is the time after 1970. What names no endpoint, or
/// has ended, begins a new session.
pub fn of_request(policy: &SessionPolicy, head: &RequestHead, now: Duration) -> Option<Session> {
    let at = match &policy.state {
        SessionState::Cookie { name, path, .. } => {
            if !within(path, &head.path) {
                return None;
            }
            cookie_value(head, name).and_then(|value| in_cookie(value, now))
        }
        SessionState::Header(name) => {
            let value = head.headers.get(name).and_then(|value| STANDARD.decode(value).ok());
            value.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok())
        }
    };
    Some(Session { at })
}

/// What the client is told of the endpoint that answered; `None` where it knows.
pub fn of_response(
    policy: &SessionPolicy,
    session: Session,
    endpoint: SocketAddr,
    now: Duration,
) -> Option<Told> {
    if session.at == Some(endpoint) {
        return None;
    }
    let address = endpoint.to_string();
    Some(match &policy.state {
        SessionState::Header(_) => Told::Header(STANDARD.encode(address)),
        SessionState::Cookie { name, path, ttl, browser, attributes } => {
            let mut message = vec![1 << 3 | 2, u8::try_from(address.len()).unwrap_or_default()];
            message.extend_from_slice(address.as_bytes());
            if !ttl.is_zero() {
                message.push(2 << 3);
                varint((now + *ttl).as_secs(), &mut message);
            }
            let mut cookie = format!("{name}=\"{}\"", STANDARD.encode(message));
            if !ttl.is_zero() && !browser {
                cookie.push_str(&format!("; Max-Age={}", ttl.as_secs()));
            }
            if !path.is_empty() {
                cookie.push_str(&format!("; Path={path}"));
            }
            for (attribute, value) in attributes {
                let equals = if value.is_empty() { "" } else { "=" };
                cookie.push_str(&format!("; {attribute}{equals}{value}"));
            }
            cookie.push_str("; HttpOnly");
            Told::Cookie(cookie)
        }
    })
}

/// Whether a request is within the path of a cookie (RFC 6265 section 5.1.4).
fn within(cookie: &str, request: &str) -> bool {
    if matches!(cookie, "" | "/") {
        return true;
    }
    let Some(rest) = request.strip_prefix(cookie) else { return false };
    cookie.ends_with('/') || matches!(rest.bytes().next(), None | Some(b'/' | b'?' | b'#'))
}

/// The endpoint in the value of a cookie, unless the session has ended.
fn in_cookie(value: &[u8], now: Duration) -> Option<SocketAddr> {
    let bytes = STANDARD.decode(value).ok()?;
    let text = match message(&bytes) {
        Some((_, ends)) if ends != 0 && now.as_secs() > ends => return None,
        Some((address, _)) => address,
        // As clients have it from before there were messages: the address alone.
        None => &bytes,
    };
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The fields of the message: address and end. `None` for what is none; other fields are passed over.
fn message(mut bytes: &[u8]) -> Option<(&[u8], u64)> {
    let (mut address, mut ends): (&[u8], u64) = (&[], 0);
    while !bytes.is_empty() {
        let tag = read_varint(&mut bytes)?;
        match (tag >> 3, tag & 7) {
            (0, _) => return None,
            (number, 0) => {
                let value = read_varint(&mut bytes)?;
                ends = if number == 2 { value } else { ends };
            }
            (number, 2) => {
                let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                let (field, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                address = if number == 1 { field } else { address };
            }
            (_, 1) => bytes = bytes.get(8..)?,
            (_, 5) => bytes = bytes.get(4..)?,
            _ => return None,
        }
    }
    Some((address, ends))
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use tulle_http::HeaderName;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn policy(state: SessionState) -> SessionPolicy {
        SessionPolicy { state, strict: false, strict_status: 503 }
    }

    fn cookie(path: &str, ttl: u64) -> SessionPolicy {
        policy(SessionState::Cookie {
            name: "s".into(),
            path: path.into(),
            ttl: Duration::from_secs(ttl),
            browser: false,
            attributes: vec![("Secure".into(), "".into()), ("SameSite".into(), "Lax".into())],
        })
    }

    fn request(path: &str, header: &str, value: &str) -> RequestHead {
        RequestHead {
            path: path.into(),
            headers: [(header, value)].into_iter().collect(),
            ..Default::default()
        }
    }

    fn endpoint() -> SocketAddr {
        "10.0.0.1:80".parse().unwrap()
    }

    #[test]
    fn a_cookie_comes_back_with_the_endpoint_until_the_session_ends() {
        let policy = cookie("/", 60);
        let Some(Told::Cookie(line)) = of_response(&policy, Session::default(), endpoint(), NOW) else {
            panic!("a cookie is set");
        };
        assert!(line.ends_with("\"; Max-Age=60; Path=/; Secure; SameSite=Lax; HttpOnly"), "{line}");
        let value = line.split(';').next().unwrap();
        let at = |now| of_request(&policy, &request("/", "cookie", &format!("a=b; {value}")), now);
        assert_eq!(at(NOW), Some(Session { at: Some(endpoint()) }));
        assert_eq!(at(NOW + Duration::from_secs(60)), Some(Session { at: Some(endpoint()) }));
        assert_eq!(at(NOW + Duration::from_secs(61)), Some(Session::default()), "it has ended");
        assert_eq!(of_response(&policy, Session { at: Some(endpoint()) }, endpoint(), NOW), None);
    }

    #[test]
    fn a_cookie_of_the_browser_ends_inside() {
        let mut policy = cookie("", 60);
        if let SessionState::Cookie { browser, .. } = &mut policy.state {
            *browser = true;
        }
        let told = of_response(&policy, Session::default(), endpoint(), NOW);
        let Some(Told::Cookie(line)) = told else { panic!("a cookie is set") };
        assert!(!line.contains("Max-Age"), "{line}");
        let head = request("/", "cookie", line.split(';').next().unwrap());
        assert_eq!(of_request(&policy, &head, NOW).unwrap().at, Some(endpoint()));
        assert_eq!(of_request(&policy, &head, NOW + Duration::from_secs(61)).unwrap().at, None);
    }

    /// What the stock binary sets for an endpoint at 127.0.0.1:80, without end.
    #[test]
    fn the_form_is_envoys() {
        let told = of_response(&cookie("", 0), Session::default(), "127.0.0.1:80".parse().unwrap(), NOW);
        let line = "s=\"CgwxMjcuMC4wLjE6ODA=\"; Secure; SameSite=Lax; HttpOnly";
        assert_eq!(told, Some(Told::Cookie(line.into())));
        let alone = request("/", "cookie", &format!("s={}", STANDARD.encode("[fd00::1]:80")));
        let at = of_request(&cookie("", 0), &alone, NOW).unwrap().at;
        assert_eq!(at, Some("[fd00::1]:80".parse().unwrap()), "an address alone is read, too");
    }

    #[test]
    fn a_cookie_is_for_its_path() {
        let is_for = |path: &str, request_path: &str| {
            of_request(&cookie(path, 0), &request(request_path, "x", "y"), NOW).is_some()
        };
        assert!(is_for("", "/a") && is_for("/", "/a"));
        assert!(is_for("/a", "/a") && is_for("/a", "/a/b") && is_for("/a", "/a?b") && !is_for("/a", "/ab"));
        assert!(is_for("/a/", "/a/b") && !is_for("/a/", "/a"));
    }

    #[test]
    fn a_header_comes_back_with_the_endpoint() {
        let policy = policy(SessionState::Header(HeaderName::new("x-session").unwrap()));
        let told = of_response(&policy, Session::default(), endpoint(), NOW);
        let Some(Told::Header(value)) = told else { panic!("a header is set") };
        let session = of_request(&policy, &request("/", "x-session", &value), NOW).unwrap();
        assert_eq!(session.at, Some(endpoint()));
        for odd in ["", "?", "MTI3", "////"] {
            assert_eq!(of_request(&policy, &request("/", "x-session", odd), NOW), Some(Session::default()));
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_no_endpoint() {
        for odd in [&[0x0a][..], &[0x0a, 0xff, 0xff], &[0x80; 12], &[0x0b], &[0x00, 0x01]] {
            let value = STANDARD.encode(odd);
            let session = of_request(&cookie("", 0), &request("/", "cookie", &format!("s={value}")), NOW);
            assert_eq!(session, Some(Session::default()), "{odd:?}");
        }
    }
}
