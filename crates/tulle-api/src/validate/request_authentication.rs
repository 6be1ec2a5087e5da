//! Rules about `RequestAuthentication`.

use super::common::{self, duration, selector as check_selector, target_refs as check_targets};
use super::names;
use super::rules::Rules;
use crate::istio::{JwtRule, RequestAuthentication};
use crate::schema::At;

/// Checks a RequestAuthentication.
pub(super) fn check(given: &RequestAuthentication, at: &At<'_>, rules: &mut Rules) {
    let RequestAuthentication { selector, target_ref, target_refs, jwt_rules } = given;
    rules.exclusive(
        at,
        &[
            ("selector", selector.is_some()),
            ("targetRef", target_ref.is_some()),
            ("targetRefs", !target_refs.is_empty()),
        ],
    );
    check_selector(selector.as_ref(), &at.field("selector"), rules);
    check_targets(target_ref.as_ref(), target_refs, at, rules);
    let list = at.field("jwtRules");
    common::at_most(jwt_rules.len(), 4096, &list, rules);
    for (i, rule) in jwt_rules.iter().enumerate() {
        check_rule(rule, &list.index(i), rules);
    }
}

fn check_rule(rule: &JwtRule, at: &At<'_>, rules: &mut Rules) {
    let JwtRule {
        issuer: _,
        audiences,
        jwks_uri,
        jwks,
        from_headers: _,
        from_params,
        output_payload_to_header,
        from_cookies,
        forward_original_token: _,
        output_claim_to_headers,
        timeout,
        space_delimited_claims,
    } = rule;
    rules.exclusive(at, &[("jwks", !jwks.is_empty()), ("jwksUri", !jwks_uri.is_empty())]);
    common::at_most(space_delimited_claims.len(), 64, &at.field("spaceDelimitedClaims"), rules);
    for (field, values) in [
        ("audiences", audiences),
        ("fromParams", from_params),
        ("fromCookies", from_cookies),
        ("spaceDelimitedClaims", space_delimited_claims),
    ] {
        for (i, _) in values.iter().enumerate().filter(|(_, v)| v.is_empty()) {
            rules.error(&at.field(field).index(i), "is empty", "remove it or give it a value");
        }
    }
    if !jwks_uri.is_empty() {
        rules.check(&at.field("jwksUri"), names::web_address(jwks_uri));
    }
    if !jwks.is_empty() {
        check_keys(jwks, &at.field("jwks"), rules);
    }
    if !output_payload_to_header.is_empty() {
        rules.check(&at.field("outputPayloadToHeader"), names::header_name(output_payload_to_header));
    }
    for (i, output) in output_claim_to_headers.iter().enumerate() {
        let list = at.field("outputClaimToHeaders");
        rules.check(&list.index(i).field("header"), names::plain_header_name(&output.header));
    }
    duration(timeout.as_ref(), &at.field("timeout"), rules);
}

/// A key set is JSON with a list `keys` (RFC 7517 section 5); private parts do not belong there.
fn check_keys(text: &str, at: &At<'_>, rules: &mut Rules) {
    let parsed: Option<serde_json::Value> = serde_json::from_str(text).ok();
    match parsed.as_ref().and_then(|v| v.get("keys")).and_then(|k| k.as_array()) {
        None => rules.error(at, "is not a set of keys: JSON with a list named keys", ""),
        Some(keys)
            if keys.iter().any(|k| k.get("d").is_some() || k.get("kty").is_some_and(|t| t == "oct")) =>
        {
            rules.warn(
                at,
                "holds a private key, which is not needed to check tokens",
                "publish the public keys only",
            );
        }
        Some(_) => {}
    }
}
