//! RequestAuthentication to the tokens that are accepted.

use std::time::Duration;

use tulle_api::istio as api;

use super::cx::Cx;
use super::policy::target;
use super::virtual_service::api_duration;
use crate::policy::{JwtRule, KeySource, RequestAuthentication, jwks};

/// How long fetching keys may take where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest that it may take.
const LONGEST: Duration = Duration::from_secs(60);

/// The rules of a RequestAuthentication.
pub(super) fn tokens(cx: &mut Cx<'_>, spec: &api::RequestAuthentication) -> RequestAuthentication {
    let api::RequestAuthentication { selector, target_ref, target_refs, jwt_rules } = spec;
    let target = target(cx, selector.as_ref(), target_ref.as_ref(), target_refs);
    let rules = jwt_rules.iter().enumerate().map(|(i, r)| rule(cx, i, r)).collect();
    RequestAuthentication { meta: cx.meta.clone(), target, rules }
}

fn rule(cx: &mut Cx<'_>, index: usize, r: &api::JwtRule) -> JwtRule {
    let api::JwtRule {
        issuer,
        audiences,
        jwks_uri,
        jwks: written,
        from_headers,
        from_params,
        output_payload_to_header,
        from_cookies,
        forward_original_token,
        output_claim_to_headers,
        timeout,
        space_delimited_claims,
    } = r;
    let keys = if !written.is_empty() {
        KeySource::Inline(jwks::usable(written).unwrap_or_else(|why| {
            let path = format!("spec.jwtRules[{index}].jwks");
            cx.warn(&path, format!("{why}: no token of {issuer} is accepted"), "write public keys");
            jwks::nobody()
        }))
    } else if !jwks_uri.is_empty() {
        KeySource::Address(jwks_uri.clone())
    } else {
        KeySource::Discovered(issuer.clone())
    };
    let mut space_delimited = vec!["scope".to_owned(), "permission".to_owned()];
    space_delimited.extend(
        space_delimited_claims.iter().filter(|c| !["scope", "permission"].contains(&c.as_str())).cloned(),
    );
    let timeout = timeout.as_ref().map_or(TIMEOUT, api_duration);
    if timeout > LONGEST {
        let message = format!("fetching keys takes no longer than {LONGEST:?}");
        cx.warn(&format!("spec.jwtRules[{index}].timeout"), message, "write 60s or less");
    }
    JwtRule {
        issuer: issuer.clone(),
        audiences: audiences.clone(),
        keys,
        timeout: timeout.clamp(Duration::from_millis(1), LONGEST),
        from_headers: from_headers
            .iter()
            .map(|api::JwtHeader { name, prefix }| (name.clone(), prefix.clone()))
            .collect(),
        from_params: from_params.clone(),
        from_cookies: from_cookies.clone(),
        payload_header: output_payload_to_header.clone(),
        forward: forward_original_token.unwrap_or(false),
        claim_headers: output_claim_to_headers
            .iter()
            .map(|api::ClaimToHeader { header, claim }| (header.clone(), claim.clone()))
            .collect(),
        space_delimited,
    }
}
