//! Tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::Jwk;
use tulle_proto::envoy::{google, jwt_authn as pb};

use super::context::{At, Context, UNSUPPORTED};
use super::value::{data, text, texts};
use super::{matcher, route};
use crate::decide::jwt::bare_audience;
use crate::runtime::jwt::{JwtAuthn, JwtKey, JwtProvider, JwtRule, Requirement};
use crate::runtime::matcher::HeaderName;

pub(super) fn jwt_authn(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::JwtAuthentication,
) -> Option<JwtAuthn> {
    let pb::JwtAuthentication {
        providers,
        rules,
        filter_state_rules,
        bypass_cors_preflight,
        requirement_map,
        strip_failure_response,
        stat_prefix,
    } = message;
    refuse!(cx, at, filter_state_rules: UNSUPPORTED);
    no_effect!(cx, at, stat_prefix: "statistics are those of the metric contract");
    let found = cx.problems();
    let providers_at = at.field("providers");
    let mut names: Vec<&String> = providers.keys().collect();
    names.sort();
    let compiled: Vec<JwtProvider> = names
        .iter()
        .filter_map(|name| provider(cx, &providers_at.field(name), name, &providers[*name]))
        .collect();
    let map_at = at.field("requirement_map");
    let mut keys: Vec<&String> = requirement_map.keys().collect();
    keys.sort();
    let mut named = BTreeMap::new();
    for name in keys {
        if let Some(made) = requirement(cx, &map_at.field(name), &requirement_map[name], &names) {
            named.insert(text(name), made);
        }
    }
    let rules_at = at.field("rules");
    let rules = rules
        .iter()
        .enumerate()
        .filter_map(|(i, message)| rule(cx, &rules_at.index(i), message, &names, &named))
        .collect();
    (cx.problems() == found).then_some(JwtAuthn {
        providers: compiled,
        rules,
        named,
        bypass_cors_preflight: *bypass_cors_preflight,
        strip_failure: *strip_failure_response,
    })
}

fn rule(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::RequirementRule,
    providers: &[&String],
    named: &BTreeMap<Arc<str>, Requirement>,
) -> Option<JwtRule> {
    use pb::requirement_rule::RequirementType;
    let pb::RequirementRule { r#match, requirement_type } = message;
    let match_at = at.field("match");
    let matches = cx.required(&match_at, r#match.as_ref())?;
    let matches = route::route_match(cx, &match_at, matches)?;
    let requirement = match requirement_type {
        // An empty requirement asks for nothing.
        None | Some(RequirementType::Requires(pb::JwtRequirement { requires_type: None })) => None,
        Some(RequirementType::Requires(message)) => {
            Some(requirement(cx, &at.field("requires"), message, providers)?)
        }
        Some(RequirementType::RequirementName(name)) => {
            let found = named.get(name.as_str()).cloned();
            if found.is_none() {
                cx.refuse(&at.field("requirement_name"), format!("{name:?} is not in requirement_map"));
            }
            Some(found?)
        }
    };
    Some(JwtRule { matches, requirement })
}

fn requirement(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::JwtRequirement,
    providers: &[&String],
) -> Option<Requirement> {
    use pb::jwt_requirement::RequiresType as Kind;
    let pb::JwtRequirement { requires_type } = message;
    let index = |cx: &mut Context<'_>, at: &At<'_>, name: &str| {
        let index = providers.iter().position(|p| *p == name);
        if index.is_none() {
            cx.refuse(at, format!("{name:?} is not among the providers"));
        }
        index
    };
    cx.deeper(at, |cx| match requires_type {
        Some(Kind::ProviderName(name)) => {
            Some(Requirement::Provider(index(cx, &at.field("provider_name"), name)?, None))
        }
        Some(Kind::ProviderAndAudiences(pb::ProviderWithAudiences { provider_name, audiences })) => {
            let at = at.field("provider_and_audiences");
            let index = index(cx, &at.field("provider_name"), provider_name)?;
            Some(Requirement::Provider(index, Some(self::audiences(audiences))))
        }
        Some(Kind::RequiresAny(pb::JwtRequirementOrList { requirements })) => {
            list(cx, &at.field("requires_any").field("requirements"), requirements, providers)
                .map(Requirement::Any)
        }
        Some(Kind::RequiresAll(pb::JwtRequirementAndList { requirements })) => {
            list(cx, &at.field("requires_all").field("requirements"), requirements, providers)
                .map(Requirement::All)
        }
        Some(Kind::AllowMissing(google::Empty {})) => Some(Requirement::AllowMissing),
        Some(Kind::AllowMissingOrFailed(google::Empty {})) => Some(Requirement::AllowMissingOrFailed),
        Some(Kind::ExtractOnlyWithoutValidation(_)) => {
            cx.refuse(&at.field("extract_only_without_validation"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs a requirement, such as provider_name");
            None
        }
    })
}

fn list(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[pb::JwtRequirement],
    providers: &[&String],
) -> Option<Vec<Requirement>> {
    if list.len() < 2 {
        cx.refuse(at, "needs at least two");
    }
    list.iter().enumerate().map(|(i, message)| requirement(cx, &at.index(i), message, providers)).collect()
}

fn audiences(list: &[String]) -> Vec<Arc<str>> {
    list.iter().map(|audience| text(bare_audience(audience))).collect()
}

fn provider(cx: &mut Context<'_>, at: &At<'_>, name: &str, message: &pb::JwtProvider) -> Option<JwtProvider> {
    let pb::JwtProvider {
        issuer,
        audiences,
        subjects,
        require_expiration,
        max_lifetime,
        forward,
        from_headers,
        from_params,
        from_cookies,
        forward_payload_header,
        pad_forward_payload_header,
        payload_in_metadata,
        normalize_payload_in_metadata,
        header_in_metadata,
        failed_status_in_metadata,
        clock_skew_seconds,
        jwt_cache_config,
        claim_to_headers,
        clear_route_cache,
        jwks_source_specifier,
    } = message;
    no_effect!(cx, at, jwt_cache_config: "every token is checked");
    let keys = keys(cx, at, jwks_source_specifier.as_ref());
    let subjects = match subjects {
        Some(message) => Some(matcher::string(cx, &at.field("subjects"), message)?),
        None => None,
    };
    let payload_header = match forward_payload_header.as_str() {
        "" => None,
        name => {
            Some((own_header(cx, &at.field("forward_payload_header"), name)?, *pad_forward_payload_header))
        }
    };
    let claims_at = at.field("claim_to_headers");
    let mut claim_headers = Vec::with_capacity(claim_to_headers.len());
    for (i, message) in claim_to_headers.iter().enumerate() {
        let at = claims_at.index(i);
        let pb::JwtClaimToHeader { header_name, claim_name, claim_path } = message;
        let path: Vec<Arc<str>> = if claim_path.is_empty() {
            claim_name.split('.').map(text).collect()
        } else {
            claim_path.iter().map(|pb::jwt_claim_to_header::PathSegment { key }| text(key)).collect()
        };
        if claim_name.is_empty() == claim_path.is_empty() {
            cx.refuse(&at, "needs either claim_name or claim_path");
        }
        let name = own_header(cx, &at.field("header_name"), header_name)?;
        claim_headers.push((name, path));
    }
    let headers_at = at.field("from_headers");
    let mut headers = Vec::with_capacity(from_headers.len());
    for (i, pb::JwtHeader { name, value_prefix }) in from_headers.iter().enumerate() {
        headers.push((own_header(cx, &headers_at.index(i).field("name"), name)?, text(value_prefix)));
    }
    let mut params = texts(from_params);
    if headers.is_empty() && params.is_empty() && from_cookies.is_empty() {
        headers.push((HeaderName::new("authorization").ok()?, text("Bearer ")));
        params.push(text("access_token"));
    }
    let space_delimited = match normalize_payload_in_metadata {
        Some(pb::jwt_provider::NormalizePayload { space_delimited_claims }) => texts(space_delimited_claims),
        None => Vec::new(),
    };
    let max_at = at.field("max_lifetime");
    Some(JwtProvider {
        name: text(name),
        issuer: text(issuer),
        audiences: self::audiences(audiences),
        subjects,
        require_expiration: *require_expiration,
        max_lifetime: cx.duration(&max_at, max_lifetime.as_ref()),
        clock_skew: Duration::from_secs(if *clock_skew_seconds == 0 {
            60
        } else {
            u64::from(*clock_skew_seconds)
        }),
        from_headers: headers,
        from_params: params,
        from_cookies: texts(from_cookies),
        forward: *forward,
        payload_header,
        claim_headers,
        payload_in_metadata: text(payload_in_metadata),
        header_in_metadata: text(header_in_metadata),
        failure_in_metadata: text(failed_status_in_metadata),
        space_delimited,
        clear_route_cache: *clear_route_cache,
        keys: keys?,
    })
}

/// A header that is read, removed and written: no pseudo header, and not the host.
fn own_header(cx: &mut Context<'_>, at: &At<'_>, name: &str) -> Option<HeaderName> {
    if name.eq_ignore_ascii_case("host") {
        cx.refuse(at, "cannot be the host");
        return None;
    }
    matcher::header_name(cx, at, name)
}

fn keys(
    cx: &mut Context<'_>,
    at: &At<'_>,
    source: Option<&pb::jwt_provider::JwksSourceSpecifier>,
) -> Option<Vec<JwtKey>> {
    use pb::jwt_provider::JwksSourceSpecifier;
    let bytes = match source {
        Some(JwksSourceSpecifier::LocalJwks(message)) => data(cx, &at.field("local_jwks"), message)?,
        Some(JwksSourceSpecifier::RemoteJwks(_)) => {
            cx.refuse(&at.field("remote_jwks"), "is not supported: write the keys in local_jwks");
            return None;
        }
        None => {
            cx.refuse(at, "needs local_jwks");
            return None;
        }
    };
    match read_keys(&bytes) {
        Ok(keys) => Some(keys),
        Err(why) => {
            cx.refuse(&at.field("local_jwks"), why);
            None
        }
    }
}

/// The keys of a JSON Web Key Set (RFC 7517). Those of kinds that are not known are left out, as long as others stay.
fn read_keys(bytes: &[u8]) -> Result<Vec<JwtKey>, String> {
    let set: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| format!("is no JSON: {error}"))?;
    let list = set.get("keys").and_then(|keys| keys.as_array()).ok_or("has no list of keys")?;
    let read = |one: &serde_json::Value| {
        let text = |name: &str| one.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        let jwk: Jwk = serde_json::from_value(one.clone()).ok()?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(JwtKey { id: text("kid"), algorithm: text("alg"), family: key.family(), key })
    };
    let keys: Vec<JwtKey> = list.iter().filter_map(read).collect();
    if keys.is_empty() { Err("has no key that can be used".to_owned()) } else { Ok(keys) }
}

/// What a route requires, by name; `Some(None)` for nothing.
pub(super) fn per_route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::PerRouteConfig,
) -> Option<Option<Arc<str>>> {
    use pb::per_route_config::RequirementSpecifier;
    let pb::PerRouteConfig { requirement_specifier } = message;
    match requirement_specifier {
        Some(RequirementSpecifier::Disabled(true)) => Some(None),
        Some(RequirementSpecifier::Disabled(false)) => {
            cx.refuse(&at.field("disabled"), "must be true");
            None
        }
        Some(RequirementSpecifier::RequirementName(name)) if !name.is_empty() => Some(Some(text(name))),
        _ => {
            cx.refuse(at, "needs disabled or requirement_name");
            None
        }
    }
}
