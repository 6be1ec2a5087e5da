//! RequestAuthentications as a filter that checks tokens: all of a workload's hold (traps 13).
//!
//! A request without token passes; one with a token that some rule looks for must have a good one. With several rules, a
//! request passes if some rule takes its token, or if every rule either takes it or finds none.

use std::collections::BTreeMap;

use tulle_mesh::Snapshot;
use tulle_mesh::policy::{JwtRule, RequestAuthentication};
use tulle_proto::envoy::core::{DataSource, data_source};
use tulle_proto::envoy::google::Empty;
use tulle_proto::envoy::http_connection_manager::HttpFilter;
use tulle_proto::envoy::jwt_authn::{
    JwtAuthentication, JwtClaimToHeader, JwtHeader, JwtProvider, JwtRequirement, JwtRequirementAndList,
    JwtRequirementOrList, RequirementRule, jwt_provider::JwksSourceSpecifier, jwt_provider::NormalizePayload,
    jwt_requirement::RequiresType, requirement_rule::RequirementType,
};
use tulle_proto::envoy::matcher::{
    ListMatcher, MetadataMatcher, StringMatcher, ValueMatcher, list_matcher, metadata_matcher, value_matcher,
};
use tulle_proto::envoy::route::{RouteMatch, route_match::PathSpecifier};

use crate::filters::http;

/// Name of the filter, under which it keeps metadata.
pub(crate) const FILTER: &str = "envoy.filters.http.jwt_authn";
/// Under which key the payload of a good token is kept there.
const PAYLOAD: &str = "payload";

/// The filter for these policies; none where there is none. `named` are policies that hold in place of them for routes that say
/// so by that name. `edge` looks for the route again once claims are known.
pub(crate) fn filter(
    snapshot: &Snapshot,
    policies: &[&RequestAuthentication],
    named: &BTreeMap<String, Vec<&RequestAuthentication>>,
    edge: bool,
) -> Option<HttpFilter> {
    let mut rules: Vec<&JwtRule> = Vec::new();
    for rule in policies.iter().chain(named.values().flatten()).flat_map(|p| &p.rules) {
        if !rules.iter().any(|known| std::ptr::eq(*known, rule)) {
            rules.push(rule);
        }
    }
    if rules.is_empty() {
        return None;
    }
    rules.sort_by(|a, b| a.issuer.cmp(&b.issuer));
    let providers = rules
        .iter()
        .enumerate()
        .map(|(i, rule)| (name(i), provider(rule, snapshot.keys_of(&rule.keys), edge)))
        .collect();
    let required = |policies: &[&RequestAuthentication]| {
        let of_policies = |rule: &&JwtRule| {
            policies.iter().flat_map(|p| &p.rules).any(|wanted| std::ptr::eq(wanted, *rule))
        };
        let chosen: Vec<usize> = (0..rules.len()).filter(|i| of_policies(&rules[*i])).collect();
        (!chosen.is_empty()).then(|| wanted(&chosen))
    };
    let everything =
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..RouteMatch::default() };
    let rule = required(policies).map(|requirement| RequirementRule {
        r#match: Some(everything),
        requirement_type: Some(RequirementType::Requires(requirement)),
    });
    Some(http(
        FILTER,
        &JwtAuthentication {
            providers,
            rules: rule.into_iter().collect(),
            requirement_map: named
                .iter()
                .filter_map(|(name, policies)| Some((name.clone(), required(policies)?)))
                .collect(),
            bypass_cors_preflight: true,
            ..JwtAuthentication::default()
        },
    ))
}

fn name(index: usize) -> String {
    format!("origins-{index}")
}

/// What the rules with these numbers want together.
fn wanted(rules: &[usize]) -> JwtRequirement {
    let by = |index: &usize| requirement(RequiresType::ProviderName(name(*index)));
    let or_none = |index: &usize| any(vec![by(index), requirement(RequiresType::AllowMissing(Empty {}))]);
    if let [single] = rules {
        return or_none(single);
    }
    let mut ways: Vec<JwtRequirement> = rules.iter().map(by).collect();
    let each = JwtRequirementAndList { requirements: rules.iter().map(or_none).collect() };
    ways.push(requirement(RequiresType::RequiresAll(each)));
    any(ways)
}

/// Asks of the payload of a good token what is at `path`.
pub(crate) fn claim<'a>(
    path: impl IntoIterator<Item = &'a str>,
    value: ValueMatcher,
    invert: bool,
) -> MetadataMatcher {
    let segment = |key: &str| metadata_matcher::PathSegment {
        segment: Some(metadata_matcher::path_segment::Segment::Key(key.to_owned())),
    };
    MetadataMatcher {
        filter: FILTER.to_owned(),
        path: std::iter::once(PAYLOAD).chain(path).map(segment).collect(),
        value: Some(value),
        invert,
    }
}

/// A claim that is this text.
pub(crate) fn is_text(text: StringMatcher) -> ValueMatcher {
    value_of(value_matcher::MatchPattern::StringMatch(text))
}

/// A claim that is a list with this text in it.
pub(crate) fn has_text(text: StringMatcher) -> ValueMatcher {
    let one_of = list_matcher::MatchPattern::OneOf(Box::new(is_text(text)));
    value_of(value_matcher::MatchPattern::ListMatch(Box::new(ListMatcher { match_pattern: Some(one_of) })))
}

pub(crate) fn value_of(pattern: value_matcher::MatchPattern) -> ValueMatcher {
    ValueMatcher { match_pattern: Some(pattern) }
}

fn requirement(kind: RequiresType) -> JwtRequirement {
    JwtRequirement { requires_type: Some(kind) }
}

fn any(requirements: Vec<JwtRequirement>) -> JwtRequirement {
    requirement(RequiresType::RequiresAny(JwtRequirementOrList { requirements }))
}

fn provider(rule: &JwtRule, keys: String, edge: bool) -> JwtProvider {
    let JwtRule {
        issuer,
        audiences,
        keys: _,
        timeout: _,
        from_headers,
        from_params,
        from_cookies,
        payload_header,
        forward,
        claim_headers,
        space_delimited,
    } = rule;
    JwtProvider {
        issuer: issuer.clone(),
        audiences: audiences.clone(),
        forward: *forward,
        from_headers: from_headers
            .iter()
            .map(|(name, prefix)| JwtHeader { name: name.clone(), value_prefix: prefix.clone() })
            .collect(),
        from_params: from_params.clone(),
        from_cookies: from_cookies.clone(),
        forward_payload_header: payload_header.clone(),
        payload_in_metadata: PAYLOAD.into(),
        normalize_payload_in_metadata: Some(NormalizePayload {
            space_delimited_claims: space_delimited.clone(),
        }),
        claim_to_headers: claim_headers
            .iter()
            .map(|(header, claim)| JwtClaimToHeader {
                header_name: header.clone(),
                claim_name: claim.clone(),
                ..JwtClaimToHeader::default()
            })
            .collect(),
        clear_route_cache: edge,
        jwks_source_specifier: Some(JwksSourceSpecifier::LocalJwks(DataSource {
            specifier: Some(data_source::Specifier::InlineString(keys)),
            ..DataSource::default()
        })),
        ..JwtProvider::default()
    }
}
