//! Heads and trailers: pseudo-header fields taken out and put in (RFC 9113 section 8).

use super::error::HeadError;
use crate::h1::decimal;
use crate::headers::{forbidden_in_trailers, is_lower_token, is_value};
use crate::hpack::Encoder;
use crate::{Header, HeaderList, Known, Method, RequestHead, ResponseHead, Scheme, Version, uri};

/// Takes the pseudo-header fields of a request out of the decoded list, and checks all others.
pub(super) fn request(head: &mut RequestHead, extended_connect: bool) -> Result<(), HeadError> {
    let RequestHead { method, scheme, authority, path, headers, version, protocol } = head;
    *version = Version::Http2;
    let (mut pseudo, mut facts, mut scheme_seen, mut method_seen) = (0, Facts::default(), false, false);
    for field in headers.iter() {
        if !field.name.starts_with(b":") {
            facts.check(&field)?;
            continue;
        }
        if facts.regular {
            return Err(HeadError::Pseudo);
        }
        pseudo += 1;
        match field.name {
            b":method" if !method_seen => {
                *method = Method::from_bytes(field.value).ok_or(HeadError::Method)?;
                method_seen = true;
            }
            b":scheme" if !scheme_seen => {
                *scheme = Scheme::from_bytes(field.value).ok_or(HeadError::Scheme)?;
                scheme_seen = true;
            }
            b":path" if path.is_empty() => path.push_str(ascii(field.value).ok_or(HeadError::Path)?),
            b":authority" if authority.is_empty() => {
                if !uri::is_authority(field.value) {
                    return Err(HeadError::Authority);
                }
                authority.push_str(ascii(field.value).ok_or(HeadError::Authority)?);
            }
            b":protocol" if extended_connect && protocol.is_empty() => {
                protocol.push_str(ascii(field.value).ok_or(HeadError::Pseudo)?);
            }
            _ => return Err(HeadError::Pseudo),
        }
    }
    headers.drop_front(pseudo);
    if !method_seen {
        return Err(HeadError::MissingPseudo);
    }
    let plain_connect = *method == Method::Connect && protocol.is_empty();
    if !protocol.is_empty() && *method != Method::Connect {
        return Err(HeadError::Pseudo);
    }
    if plain_connect {
        if scheme_seen || !path.is_empty() {
            return Err(HeadError::Pseudo);
        }
        // RFC 9110 section 9.3.6: a tunnel goes to a port.
        if !authority.is_empty() && uri::split_port(authority).1.is_none() {
            return Err(HeadError::Authority);
        }
    } else if !scheme_seen || path.is_empty() {
        return Err(HeadError::MissingPseudo);
    } else if !(uri::is_path(path.as_bytes()) || (path == "*" && *method == Method::Options)) {
        return Err(HeadError::Path);
    }
    if facts.host {
        host(headers, authority)?;
    }
    if authority.is_empty() {
        return Err(HeadError::MissingPseudo);
    }
    if facts.cookies > 1 {
        headers.join_cookies();
    }
    Ok(())
}

/// Section 8.3.1: `Host` stands in for `:authority`, and must not differ from it.
fn host(headers: &mut HeaderList, authority: &mut String) -> Result<(), HeadError> {
    for value in headers.get_all(Known::Host) {
        if authority.is_empty() {
            if !uri::is_authority(value) {
                return Err(HeadError::Authority);
            }
            authority.push_str(ascii(value).ok_or(HeadError::Authority)?);
        } else if !authority.as_bytes().eq_ignore_ascii_case(value) {
            return Err(HeadError::Authority);
        }
    }
    headers.remove(Known::Host);
    Ok(())
}

/// Takes `:status` out of the decoded list, and checks all other fields.
pub(super) fn response(head: &mut ResponseHead) -> Result<(), HeadError> {
    head.version = Version::Http2;
    let (mut status, mut facts) = (None, Facts::default());
    for field in head.headers.iter() {
        if !field.name.starts_with(b":") {
            facts.check(&field)?;
        } else if field.name == b":status" && status.is_none() && !facts.regular {
            let [a, b, c] = field.value else { return Err(HeadError::Status) };
            let number = decimal(&[*a, *b, *c]).ok_or(HeadError::Status)? as u16;
            if !(100..600).contains(&number) || number == 101 {
                return Err(HeadError::Status);
            }
            status = Some(number);
        } else {
            return Err(HeadError::Pseudo);
        }
    }
    head.status = status.ok_or(HeadError::MissingPseudo)?;
    head.headers.drop_front(1);
    Ok(())
}

/// Checks decoded trailers and drops what must not be there.
pub(super) fn trailers(list: &mut HeaderList) -> Result<(), HeadError> {
    let mut facts = Facts::default();
    for field in list.iter() {
        if field.name.starts_with(b":") {
            return Err(HeadError::Pseudo);
        }
        facts.check(&field)?;
    }
    list.retain(|field| !field.known.is_some_and(forbidden_in_trailers));
    Ok(())
}

/// The body's length by Content-Length; equal lines are made one.
pub(super) fn content_length(list: &mut HeaderList) -> Result<Option<u64>, HeadError> {
    let (mut length, mut lines) = (None, 0);
    for value in list.get_all(Known::ContentLength) {
        let value = decimal(value).ok_or(HeadError::ContentLength)?;
        if length.is_some_and(|before| before != value) {
            return Err(HeadError::ContentLength);
        }
        length = Some(value);
        lines += 1;
    }
    if let (Some(length), true) = (length, lines > 1) {
        list.set(Known::ContentLength, length.to_string().as_bytes());
    }
    Ok(length)
}

/// What was met among the fields.
#[derive(Default)]
struct Facts {
    regular: bool,
    host: bool,
    cookies: u32,
}

impl Facts {
    /// Sections 8.2.1 and 8.2.2.
    fn check(&mut self, field: &Header<'_>) -> Result<(), HeadError> {
        self.regular = true;
        let name_ok = match field.known {
            Some(known) => field.name == known.as_str().as_bytes(),
            None => is_lower_token(field.name),
        };
        if !name_ok {
            return Err(HeadError::Name);
        }
        let space = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        if space(field.value.first()) || space(field.value.last()) || !is_value(field.value) {
            return Err(HeadError::Value);
        }
        match field.known {
            Some(
                Known::Connection
                | Known::ProxyConnection
                | Known::KeepAlive
                | Known::TransferEncoding
                | Known::Upgrade,
            ) => Err(HeadError::ConnectionSpecific),
            Some(Known::Te) if !field.value.eq_ignore_ascii_case(b"trailers") => {
                Err(HeadError::ConnectionSpecific)
            }
            Some(Known::Host) => {
                self.host = true;
                Ok(())
            }
            Some(Known::Cookie) => {
                self.cookies += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Writes a request's field block.
pub(super) fn encode_request(head: &RequestHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    encoder.pseudo(2, head.method.as_str(), out);
    if head.method != Method::Connect || !head.protocol.is_empty() {
        encoder.pseudo(6, head.scheme.as_str(), out);
        encoder.pseudo(4, if head.path.is_empty() { "/" } else { &head.path }, out);
    }
    if !head.authority.is_empty() {
        encoder.pseudo(1, &head.authority, out);
    }
    if !head.protocol.is_empty() {
        encoder.extension_pseudo(":protocol", &head.protocol, out);
    }
    encoder.fields(&head.headers, is_hop_by_hop, out);
}

/// Writes a response's field block.
pub(super) fn encode_response(head: &ResponseHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    let status = head.status.min(999);
    let digits = [b'0' + (status / 100) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8];
    encoder.pseudo(8, std::str::from_utf8(&digits).unwrap_or("500"), out);
    encoder.fields(&head.headers, is_hop_by_hop, out);
}

/// Writes a field block of trailers.
pub(super) fn encode_trailers(list: &HeaderList, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    encoder.fields(list, |known, value| is_hop_by_hop(known, value) || forbidden_in_trailers(known), out);
}

fn is_hop_by_hop(known: Known, value: &[u8]) -> bool {
    match known {
        Known::Connection
        | Known::ProxyConnection
        | Known::KeepAlive
        | Known::TransferEncoding
        | Known::Upgrade
        | Known::Http2Settings
        | Known::Host => true,
        Known::Te => !value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    }
}

fn ascii(text: &[u8]) -> Option<&str> {
    if text.is_ascii() && !text.is_empty() { std::str::from_utf8(text).ok() } else { None }
}
