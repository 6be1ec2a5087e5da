//! RequestAuthentications as a filter that checks tokens: all of a workload's hold (traps 13).
//!
//! A request without token passes; one with a token that some rule looks for must have a good one. With several rules, a
//! request passes if some rule takes its token, or if every rule either takes it or finds none.

use tulle_base::Labels;
use tulle_mesh::Snapshot;
use tulle_mesh::policy::JwtRule;
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
use crate::sources::Sources;

/// Name of the filter, under which it keeps metadata.
const JWT: &str = "envoy.filters.http.jwt_authn";
/// Under which key the payload of a good token is kept there.
const PAYLOAD: &str = "payload";

/// The filter of a workload; none where no policy is for it. `edge` looks for the route again once claims are known.
pub(crate) fn filter(
    snapshot: &Snapshot,
    namespace: &str,
    labels: &Labels,
    edge: bool,
    sources: &mut Sources,
) -> Option<HttpFilter> {
    let policies = snapshot.tokens_of(namespace, labels);
    policies.iter().for_each(|p| sources.add(&p.meta));
    let mut rules: Vec<&JwtRule> = policies.iter().flat_map(|p| &p.rules).collect();
    if rules.is_empty() {
        return None;
    }
    rules.sort_by(|a, b| a.issuer.cmp(&b.issuer));
    let name = |index: usize| format!("origins-{index}");
    let providers = rules
        .iter()
        .enumerate()
        .map(|(i, rule)| (name(i), provider(rule, snapshot.keys_of(&rule.keys), edge)))
        .collect();
    let by = |index| requirement(RequiresType::ProviderName(name(index)));
    let or_none = |index| any(vec![by(index), requirement(RequiresType::AllowMissing(Empty {}))]);
    let wanted = if rules.len() == 1 {
        or_none(0)
    } else {
        let mut ways: Vec<JwtRequirement> = (0..rules.len()).map(by).collect();
        let each = JwtRequirementAndList { requirements: (0..rules.len()).map(or_none).collect() };
        ways.push(requirement(RequiresType::RequiresAll(each)));
        any(ways)
    };
    let everything =
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..RouteMatch::default() };
    let rule = RequirementRule {
        r#match: Some(everything),
        requirement_type: Some(RequirementType::Requires(wanted)),
    };
    Some(http(
        JWT,
        &JwtAuthentication {
            providers,
            rules: vec![rule],
            bypass_cors_preflight: true,
            ..JwtAuthentication::default()
        },
    ))
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
        filter: JWT.to_owned(),
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
