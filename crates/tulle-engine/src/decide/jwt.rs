//! Whether the tokens of a request are what is required, and what becomes of them.

mod token;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use smallvec::SmallVec;
use tulle_http::{Known, Method, RequestHead};

pub use self::token::JwtFault;
use self::token::{Token, verify};
use super::descriptor::percent_decoded;
use super::matcher;
use super::route::{RouteInput, fits};
use crate::runtime::jwt::{JwtAuthn, JwtProvider, Requirement};
use crate::runtime::matcher::HeaderName;
use crate::runtime::metadata::{Fields, Metadata, Value};

/// Under which name the filter's metadata is kept.
pub const METADATA: &str = "envoy.filters.http.jwt_authn";

/// A token that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted<'f> {
    provider: &'f JwtProvider,
    location: Location<'f>,
    token: Token,
}

/// What is found about a request.
#[derive(Debug, Default)]
pub struct Authenticated<'f> {
    /// Tokens that were accepted.
    pub accepted: Vec<Accepted<'f>>,
    /// Why tokens of a provider were refused, for those that keep that in metadata.
    refused: Vec<(&'f JwtProvider, JwtFault)>,
}

/// Where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Location<'f> {
    Header(&'f HeaderName, &'f str),
    Parameter(&'f str),
    Cookie(&'f str),
}

/// The requirement for a request: that of the name that its route gives, or of the first rule that matches. `None` requires nothing.
///
/// # Errors
/// A name that is not known.
pub fn requirement<'f>(
    filter: &'f JwtAuthn,
    name: Option<&str>,
    input: &RouteInput<'_>,
) -> Result<Option<&'f Requirement>, String> {
    let head = input.head;
    if filter.bypass_cors_preflight
        && head.method == Method::Options
        && head.headers.contains(Known::Origin)
        && head.headers.contains("access-control-request-method")
    {
        return Ok(None);
    }
    if let Some(name) = name {
        return match filter.named.get(name) {
            Some(found) => Ok(Some(found)),
            None => Err(format!("Wrong requirement_name: {name}")),
        };
    }
    let rule = filter.rules.iter().find(|rule| fits(&rule.matches, input, false).is_ok());
    Ok(rule.and_then(|rule| rule.requirement.as_ref()))
}

/// Checks the tokens of a request. `now` counts from 1970.
///
/// # Errors
/// Why the requirement is not met; `found` says nothing then that may be used, except about refused tokens.
pub fn authenticate<'f>(
    filter: &'f JwtAuthn,
    requirement: &Requirement,
    head: &RequestHead,
    now: Duration,
    found: &mut Authenticated<'f>,
) -> Result<(), JwtFault> {
    match requirement {
        Requirement::Provider(index, audiences) => {
            let provider = filter.providers.get(*index).ok_or(JwtFault::UnknownIssuer)?;
            of_provider(provider, audiences.as_deref(), head, now, found)
        }
        Requirement::All(list) => list.iter().try_for_each(|one| authenticate(filter, one, head, now, found)),
        Requirement::Any(list) => any(filter, list, head, now, found),
        Requirement::AllowMissing | Requirement::AllowMissingOrFailed => {
            allow(requirement, filter, &|_| true, head, now, found)
        }
    }
}

/// One of several is enough. Those that allow something are asked last; of failures, one about a token says more than that there is none.
fn any<'f>(
    filter: &'f JwtAuthn,
    list: &[Requirement],
    head: &RequestHead,
    now: Duration,
    found: &mut Authenticated<'f>,
) -> Result<(), JwtFault> {
    let allows =
        |r: &&Requirement| matches!(r, Requirement::AllowMissing | Requirement::AllowMissingOrFailed);
    // Only tokens of the providers beside them are allowed then, as Envoy has it.
    let alone = list.iter().all(|r| allows(&r));
    let among = |index| alone || list.iter().any(|r| uses(r, index));
    let mut fault = JwtFault::Missing;
    let regular = list.iter().filter(|r| !allows(r));
    for one in regular.chain(list.iter().filter(allows)) {
        let before = found.accepted.len();
        let met = match allows(&one) {
            true => allow(one, filter, &among, head, now, found),
            false => authenticate(filter, one, head, now, found),
        };
        match met {
            Ok(()) => return Ok(()),
            Err(this) => {
                found.accepted.truncate(before);
                if !matches!(this, JwtFault::Missing | JwtFault::UnknownIssuer) || fault == JwtFault::Missing
                {
                    fault = this;
                }
            }
        }
    }
    Err(fault)
}

/// Whether a requirement is about the provider with this index.
fn uses(requirement: &Requirement, index: usize) -> bool {
    match requirement {
        Requirement::Provider(own, _) => *own == index,
        Requirement::All(list) | Requirement::Any(list) => list.iter().any(|one| uses(one, index)),
        Requirement::AllowMissing | Requirement::AllowMissingOrFailed => false,
    }
}

/// A requirement that allows something, about the tokens of the providers that are `among` them.
fn allow<'f>(
    requirement: &Requirement,
    filter: &'f JwtAuthn,
    among: &dyn Fn(usize) -> bool,
    head: &RequestHead,
    now: Duration,
    found: &mut Authenticated<'f>,
) -> Result<(), JwtFault> {
    let checked = of_all(filter, among, head, now, found);
    // Each token by itself: a bad one does not hide a good one.
    if matches!(requirement, Requirement::AllowMissingOrFailed) { Ok(()) } else { checked }
}

/// All tokens where a provider has its own must be valid, and there must be one.
fn of_provider<'f>(
    provider: &'f JwtProvider,
    audiences: Option<&[Arc<str>]>,
    head: &RequestHead,
    now: Duration,
    found: &mut Authenticated<'f>,
) -> Result<(), JwtFault> {
    let tokens: Vec<_> =
        locations(provider).flat_map(|at| tokens_at(at, head).into_iter().map(move |t| (at, t))).collect();
    let checked = if tokens.is_empty() {
        Err(JwtFault::Missing)
    } else {
        tokens.iter().try_for_each(|(location, text)| {
            let token = Token::parse(text)?;
            if !provider.issuer.is_empty() && token.issuer() != &*provider.issuer {
                return Err(JwtFault::UnknownIssuer);
            }
            verify(&token, provider, audiences.unwrap_or(&provider.audiences), now)?;
            found.accepted.push(Accepted { provider, location: *location, token });
            Ok(())
        })
    };
    if let Err(fault) = checked
        && !provider.failure_in_metadata.is_empty()
    {
        found.refused.push((provider, fault));
    }
    checked
}

/// All tokens wherever one of these providers has its own must be valid; there need be none. Envoy lets a bad one pass behind a good one.
fn of_all<'f>(
    filter: &'f JwtAuthn,
    among: &dyn Fn(usize) -> bool,
    head: &RequestHead,
    now: Duration,
    found: &mut Authenticated<'f>,
) -> Result<(), JwtFault> {
    let mut seen: Vec<Location<'f>> = Vec::new();
    let mut result = Ok(());
    let chosen = || filter.providers.iter().enumerate().filter(|(index, _)| among(*index)).map(|(_, p)| p);
    for location in chosen().flat_map(locations) {
        if seen.contains(&location) {
            continue;
        }
        seen.push(location);
        for text in tokens_at(location, head) {
            let checked = Token::parse(&text).and_then(|token| {
                let has = |p: &&JwtProvider| locations(p).any(|at| at == location);
                let issuer = |p: &&JwtProvider| !p.issuer.is_empty() && *p.issuer == *token.issuer();
                let provider = chosen()
                    .filter(has)
                    .find(issuer)
                    .or_else(|| chosen().filter(has).find(|p| p.issuer.is_empty()))
                    .ok_or(JwtFault::UnknownIssuer)?;
                verify(&token, provider, &provider.audiences, now)?;
                found.accepted.push(Accepted { provider, location, token });
                Ok(())
            });
            result = result.and(checked);
        }
    }
    result
}

fn locations(provider: &JwtProvider) -> impl Iterator<Item = Location<'_>> {
    let headers = provider.from_headers.iter().map(|(name, prefix)| Location::Header(name, prefix));
    let parameters = provider.from_params.iter().map(|name| Location::Parameter(name));
    headers.chain(parameters).chain(provider.from_cookies.iter().map(|name| Location::Cookie(name)))
}

/// The tokens there: each line of a header has its own.
fn tokens_at<'h>(location: Location<'_>, head: &'h RequestHead) -> SmallVec<[Cow<'h, str>; 1]> {
    let mut found: SmallVec<[Cow<'h, str>; 1]> = SmallVec::new();
    match location {
        Location::Header(name, prefix) => {
            let lines = head.headers.get_all(name).filter_map(|line| std::str::from_utf8(line).ok());
            for line in lines {
                match line.split_once(prefix).filter(|_| !prefix.is_empty()) {
                    Some((_, rest)) => found.push(Cow::Borrowed(characters(rest))),
                    None if prefix.is_empty() => found.push(Cow::Borrowed(characters(line))),
                    None => {}
                }
            }
        }
        Location::Parameter(name) => found.extend(in_query(name, head)),
        Location::Cookie(name) => {
            let value = matcher::cookie_value(head, name);
            found.extend(value.and_then(|v| std::str::from_utf8(v).ok()).map(Cow::Borrowed));
        }
    }
    found.retain(|text| !text.is_empty());
    found
}

fn in_query<'h>(name: &str, head: &'h RequestHead) -> Option<Cow<'h, str>> {
    Some(match percent_decoded(matcher::query_value(head.query(), name)?) {
        Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
    })
}

/// The first run of characters that a token may have; all of the text where there is none.
fn characters(text: &str) -> &str {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let Some(start) = text.find(allowed) else { return text };
    let rest = &text[start..];
    &rest[..rest.find(|c| !allowed(c)).unwrap_or(rest.len())]
}

/// Removes what clients must not say themselves: headers that the filter writes.
pub fn sanitize(filter: &JwtAuthn, head: &mut RequestHead) {
    for provider in &filter.providers {
        if let Some((name, _)) = &provider.payload_header {
            head.headers.remove(name);
        }
        for (name, _) in &provider.claim_headers {
            head.headers.remove(name);
        }
    }
}

/// Whether metadata is written.
pub fn writes_metadata(found: &Authenticated<'_>) -> bool {
    let keeps = |a: &Accepted<'_>| {
        !a.provider.payload_in_metadata.is_empty() || !a.provider.header_in_metadata.is_empty()
    };
    !found.refused.is_empty() || found.accepted.iter().any(keeps)
}

/// Writes what tokens say into metadata.
pub fn keep(found: &Authenticated<'_>, metadata: &mut Metadata) {
    let fields = metadata.entry(METADATA.into()).or_default();
    for (provider, fault) in &found.refused {
        let status: Fields = [
            ("code".into(), Value::Number(f64::from(fault.code()))),
            ("message".into(), Value::String(fault.text().into())),
        ]
        .into();
        fields.insert(Arc::clone(&provider.failure_in_metadata), Value::Struct(status));
    }
    for Accepted { provider, location: _, token } in &found.accepted {
        if !provider.header_in_metadata.is_empty() {
            fields.insert(Arc::clone(&provider.header_in_metadata), token::value(&token.header));
        }
        if !provider.payload_in_metadata.is_empty() {
            let mut payload = token::value(&token.payload);
            if let Value::Struct(claims) = &mut payload {
                provider.space_delimited.iter().for_each(|claim| split(claims, claim));
            }
            fields.insert(Arc::clone(&provider.payload_in_metadata), payload);
        }
    }
}

/// Makes a list of a text with spaces.
fn split(claims: &mut Fields, name: &str) {
    if let Some(claim) = claims.get_mut(name)
        && let Value::String(text) = claim
    {
        *claim =
            Value::List(text.split(' ').filter(|s| !s.is_empty()).map(|s| Value::String(s.into())).collect());
    }
}

/// Changes the request as the providers of its tokens want it. Whether its route is to be looked for again.
pub fn apply(found: &Authenticated<'_>, head: &mut RequestHead) -> bool {
    for Accepted { provider, location, token } in &found.accepted {
        if let Some((name, padded)) = &provider.payload_header {
            let mut text = token.payload_text.clone();
            while *padded && text.len() % 4 != 0 {
                text.push('=');
            }
            head.headers.append(name, text.as_bytes());
        }
        for (name, path) in &provider.claim_headers {
            if let Some(text) = claim_text(&token.payload, path) {
                head.headers.append(name, text.as_bytes());
            }
        }
        if !provider.forward {
            remove(*location, head);
        }
    }
    found.accepted.iter().any(|a| a.provider.clear_route_cache)
}

fn remove(location: Location<'_>, head: &mut RequestHead) {
    match location {
        Location::Header(name, _) => {
            head.headers.remove(name);
        }
        Location::Parameter(name) => {
            let keeps = |pair: &&str| pair.split('=').next() != Some(name);
            let query: Vec<&str> = head.query().unwrap_or_default().split('&').filter(keeps).collect();
            let query = query.join("&");
            let mut path = head.path_only().to_owned();
            if !query.is_empty() {
                path.push('?');
                path.push_str(&query);
            }
            head.path = path;
        }
        // Cookies stay: others share the header.
        Location::Cookie(_) => {}
    }
}

/// A claim as a header has it: texts as they are, whole numbers without fraction; lists and objects as JSON in base64url.
fn claim_text(payload: &serde_json::Value, path: &[Arc<str>]) -> Option<String> {
    let mut value = payload;
    for step in path {
        value = value.get(&**step)?;
    }
    match value {
        serde_json::Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        serde_json::Value::Number(number) => Some(match number.as_f64() {
            Some(float) if number.as_i64().is_none() && number.as_u64().is_none() => format!("{float:.6}"),
            _ => number.to_string(),
        }),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            Some(URL_SAFE.encode(value.to_string()))
        }
        serde_json::Value::Null => None,
    }
}

/// An audience without scheme and without a slash at its end, as they are compared.
pub fn bare_audience(audience: &str) -> &str {
    let bare =
        audience.strip_prefix("https://").or_else(|| audience.strip_prefix("http://")).unwrap_or(audience);
    bare.strip_suffix('/').unwrap_or(bare)
}

#[cfg(test)]
mod tests;
