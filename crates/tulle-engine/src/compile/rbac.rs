//! Authorization rules.

use std::sync::Arc;

use tulle_base::{Provenance, ResourceRef};
use tulle_proto::envoy::{http_rbac, kind, matcher as pbmatcher, network_rbac, rbac};

use super::context::{At, Context, UNSUPPORTED};
use super::matcher;
use super::net::cidr;
use super::value::text;
use crate::runtime::listener::{Enforcement, NetworkRbac};
use crate::runtime::matcher::StringMatcher;
use crate::runtime::rbac::{Permission, Policy, Principal, Rbac, RbacAction, RbacFilter, ShadowKeys};

pub(super) fn http(cx: &mut Context<'_>, at: &At<'_>, message: &http_rbac::Rbac) -> Option<RbacFilter> {
    let http_rbac::Rbac {
        rules,
        rules_stat_prefix,
        matcher,
        shadow_rules,
        shadow_matcher,
        shadow_rules_stat_prefix,
        track_per_rule_stats,
    } = message;
    refuse!(cx, at, matcher: UNSUPPORTED, shadow_matcher: UNSUPPORTED);
    Some(RbacFilter {
        rules: optional(cx, &at.field("rules"), rules.as_ref())?,
        shadow_rules: optional(cx, &at.field("shadow_rules"), shadow_rules.as_ref())?,
        stat_prefix: text(rules_stat_prefix),
        shadow_stat_prefix: text(shadow_rules_stat_prefix),
        shadow_keys: ShadowKeys::new(shadow_rules_stat_prefix),
        per_rule_stats: *track_per_rule_stats,
    })
}

/// Rules of a route: without `rbac`, the filter is off there.
pub(super) fn per_route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &http_rbac::RbacPerRoute,
) -> Option<RbacFilter> {
    let http_rbac::RbacPerRoute { rbac } = message;
    match rbac {
        Some(rbac) => http(cx, &at.field("rbac"), rbac),
        None => Some(RbacFilter::default()),
    }
}

pub(super) fn network(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &network_rbac::Rbac,
) -> Option<NetworkRbac> {
    use network_rbac::rbac::EnforcementType;
    let network_rbac::Rbac {
        rules,
        matcher,
        shadow_rules,
        shadow_matcher,
        shadow_rules_stat_prefix,
        stat_prefix,
        enforcement_type,
        delay_deny,
    } = message;
    refuse!(cx, at, matcher: UNSUPPORTED, shadow_matcher: UNSUPPORTED);
    let enforcement = match cx.choice(&at.field("enforcement_type"), *enforcement_type)? {
        EnforcementType::OneTimeOnFirstByte => Enforcement::OnFirstByte,
        EnforcementType::Continuous => Enforcement::Continuous,
    };
    Some(NetworkRbac {
        rules: RbacFilter {
            rules: optional(cx, &at.field("rules"), rules.as_ref())?,
            shadow_rules: optional(cx, &at.field("shadow_rules"), shadow_rules.as_ref())?,
            stat_prefix: text(stat_prefix),
            shadow_stat_prefix: text(shadow_rules_stat_prefix),
            shadow_keys: ShadowKeys::new(shadow_rules_stat_prefix),
            per_rule_stats: false,
        },
        enforcement,
        delay_deny: cx.limit(&at.field("delay_deny"), delay_deny.as_ref(), None),
    })
}

/// `None` is a problem, `Some(None)` no rules.
fn optional(cx: &mut Context<'_>, at: &At<'_>, message: Option<&rbac::Rbac>) -> Option<Option<Rbac>> {
    match message {
        Some(message) => rules(cx, at, message).map(Some),
        None => Some(None),
    }
}

fn rules(cx: &mut Context<'_>, at: &At<'_>, message: &rbac::Rbac) -> Option<Rbac> {
    use rbac::rbac::Action;
    let rbac::Rbac { action, policies, audit_logging_options } = message;
    refuse!(cx, at, audit_logging_options: UNSUPPORTED);
    let action = match cx.choice(&at.field("action"), *action)? {
        Action::Allow => RbacAction::Allow,
        Action::Deny => RbacAction::Deny,
        Action::Log => RbacAction::Log,
    };
    let at = at.field("policies");
    let mut names: Vec<&String> = policies.keys().collect();
    names.sort();
    let found = cx.problems();
    let policies: Vec<Policy> =
        names.into_iter().filter_map(|name| policy(cx, &at.field(name), name, &policies[name])).collect();
    (cx.problems() == found).then(|| Rbac::new(action, policies))
}

fn policy(cx: &mut Context<'_>, at: &At<'_>, name: &str, message: &rbac::Policy) -> Option<Policy> {
    let rbac::Policy { permissions, principals, condition, checked_condition, cel_config } = message;
    refuse!(cx, at,
        condition: "CEL conditions are not supported",
        checked_condition: "CEL conditions are not supported",
        cel_config: "CEL conditions are not supported",
    );
    if permissions.is_empty() {
        cx.refuse(&at.field("permissions"), "needs at least one");
    }
    if principals.is_empty() {
        cx.refuse(&at.field("principals"), "needs at least one");
    }
    Some(Policy {
        name: text(name),
        permissions: permission_list(cx, &at.field("permissions"), permissions)?,
        principals: principal_list(cx, &at.field("principals"), principals)?,
        provenance: provenance(name),
    })
}

/// Istio names policies `ns[NAMESPACE]-policy[NAME]-rule[INDEX]`, with `istio-ext-authz-PROVIDER-` before it for CUSTOM and maybe
/// something after it where the provider cannot be asked.
fn provenance(name: &str) -> Option<Arc<Provenance>> {
    let name = match name.strip_prefix("istio-ext-authz-") {
        Some(rest) => &rest[rest.find("ns[")?..],
        None => name,
    };
    let (namespace, rest) = name.strip_prefix("ns[")?.split_once("]-policy[")?;
    let (policy, rest) = rest.split_once("]-rule[")?;
    let (rule, _) = rest.split_once(']')?;
    Some(Arc::new(Provenance {
        resource: ResourceRef::new("security.istio.io", "AuthorizationPolicy", namespace, policy),
        version: "v1".to_owned(),
        rule: format!("rules[{rule}]"),
    }))
}

fn permission_list(cx: &mut Context<'_>, at: &At<'_>, list: &[rbac::Permission]) -> Option<Vec<Permission>> {
    list.iter().enumerate().map(|(i, message)| permission(cx, &at.index(i), message)).collect()
}

fn permission(cx: &mut Context<'_>, at: &At<'_>, message: &rbac::Permission) -> Option<Permission> {
    use rbac::permission::{Rule, Set};
    let rbac::Permission { rule } = message;
    cx.deeper(at, |cx| match rule {
        Some(Rule::Any(true)) => Some(Permission::Any),
        Some(Rule::Any(false)) => {
            cx.refuse(&at.field("any"), "must be true");
            None
        }
        Some(Rule::AndRules(Set { rules })) => {
            permission_list(cx, &at.field("and_rules").field("rules"), rules).map(Permission::And)
        }
        Some(Rule::OrRules(Set { rules })) => {
            permission_list(cx, &at.field("or_rules").field("rules"), rules).map(Permission::Or)
        }
        Some(Rule::NotRule(inner)) => {
            permission(cx, &at.field("not_rule"), inner).map(|p| Permission::Not(Box::new(p)))
        }
        Some(Rule::Header(header)) => {
            matcher::header(cx, &at.field("header"), header).map(Permission::Header)
        }
        Some(Rule::UrlPath(path)) => url_path(cx, &at.field("url_path"), path).map(Permission::UrlPath),
        Some(Rule::DestinationIp(range)) => {
            cidr(cx, &at.field("destination_ip"), range).map(Permission::DestinationIp)
        }
        Some(Rule::DestinationPort(port)) => {
            cx.port(&at.field("destination_port"), *port).map(Permission::DestinationPort)
        }
        Some(Rule::DestinationPortRange(kind::Int32Range { start, end })) => {
            Some(Permission::DestinationPortRange { start: *start, end: *end })
        }
        Some(Rule::Metadata(m)) => matcher::metadata(cx, &at.field("metadata"), m).map(Permission::Metadata),
        Some(Rule::RequestedServerName(m)) => {
            matcher::string(cx, &at.field("requested_server_name"), m).map(Permission::RequestedServerName)
        }
        Some(Rule::UriTemplate(extension)) => {
            let at = at.field("uri_template");
            let any = cx.required(&at.field("typed_config"), extension.typed_config.as_ref())?;
            uri_template(cx, &at.field("typed_config"), any).map(Permission::UrlPath)
        }
        Some(Rule::SourcedMetadata(m)) => {
            sourced(cx, &at.field("sourced_metadata"), m).map(Permission::Metadata)
        }
        Some(Rule::Matcher(_)) => {
            cx.refuse(&at.field("matcher"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs a rule");
            None
        }
    })
}

fn principal_list(cx: &mut Context<'_>, at: &At<'_>, list: &[rbac::Principal]) -> Option<Vec<Principal>> {
    list.iter().enumerate().map(|(i, message)| principal(cx, &at.index(i), message)).collect()
}

fn principal(cx: &mut Context<'_>, at: &At<'_>, message: &rbac::Principal) -> Option<Principal> {
    use rbac::principal::{Authenticated, Identifier, Set};
    let rbac::Principal { identifier } = message;
    cx.deeper(at, |cx| match identifier {
        Some(Identifier::Any(true)) => Some(Principal::Any),
        Some(Identifier::Any(false)) => {
            cx.refuse(&at.field("any"), "must be true");
            None
        }
        Some(Identifier::AndIds(Set { ids })) => {
            principal_list(cx, &at.field("and_ids").field("ids"), ids).map(Principal::And)
        }
        Some(Identifier::OrIds(Set { ids })) => {
            principal_list(cx, &at.field("or_ids").field("ids"), ids).map(Principal::Or)
        }
        Some(Identifier::NotId(inner)) => {
            principal(cx, &at.field("not_id"), inner).map(|p| Principal::Not(Box::new(p)))
        }
        Some(Identifier::Authenticated(Authenticated { principal_name })) => {
            let at = at.field("authenticated");
            let at = at.field("principal_name");
            match principal_name {
                Some(name) => matcher::string(cx, &at, name).map(|m| Principal::Authenticated(Some(m))),
                None => Some(Principal::Authenticated(None)),
            }
        }
        Some(Identifier::SourceIp(range)) => {
            cidr(cx, &at.field("source_ip"), range).map(Principal::DirectRemoteIp)
        }
        Some(Identifier::DirectRemoteIp(range)) => {
            cidr(cx, &at.field("direct_remote_ip"), range).map(Principal::DirectRemoteIp)
        }
        Some(Identifier::RemoteIp(range)) => cidr(cx, &at.field("remote_ip"), range).map(Principal::RemoteIp),
        Some(Identifier::Header(header)) => {
            matcher::header(cx, &at.field("header"), header).map(Principal::Header)
        }
        Some(Identifier::UrlPath(path)) => url_path(cx, &at.field("url_path"), path).map(Principal::UrlPath),
        Some(Identifier::Metadata(m)) => {
            matcher::metadata(cx, &at.field("metadata"), m).map(Principal::Metadata)
        }
        Some(Identifier::SourcedMetadata(m)) => {
            sourced(cx, &at.field("sourced_metadata"), m).map(Principal::Metadata)
        }
        Some(Identifier::FilterState(m)) => filter_state(cx, &at.field("filter_state"), m),
        Some(Identifier::Custom(_)) => {
            cx.refuse(&at.field("custom"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs an identifier");
            None
        }
    })
}

fn filter_state(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pbmatcher::FilterStateMatcher,
) -> Option<Principal> {
    use pbmatcher::filter_state_matcher::Matcher;
    let pbmatcher::FilterStateMatcher { key, matcher } = message;
    match matcher {
        Some(Matcher::StringMatch(m)) => {
            let value = matcher::string(cx, &at.field("string_match"), m)?;
            Some(Principal::FilterState { key: text(key), value })
        }
        Some(Matcher::AddressMatch(_)) => {
            cx.refuse(&at.field("address_match"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs string_match");
            None
        }
    }
}

fn sourced(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &rbac::SourcedMetadata,
) -> Option<crate::runtime::matcher::MetadataMatcher> {
    let rbac::SourcedMetadata { metadata_matcher, metadata_source } = message;
    if cx.choice::<rbac::MetadataSource>(&at.field("metadata_source"), *metadata_source)?
        == rbac::MetadataSource::Route
    {
        cx.refuse(&at.field("metadata_source"), "ROUTE is not supported");
        return None;
    }
    let at = at.field("metadata_matcher");
    let inner = cx.required(&at, metadata_matcher.as_ref())?;
    matcher::metadata(cx, &at, inner)
}

fn url_path(cx: &mut Context<'_>, at: &At<'_>, message: &pbmatcher::PathMatcher) -> Option<StringMatcher> {
    let pbmatcher::PathMatcher { rule } = message;
    match rule {
        Some(pbmatcher::path_matcher::Rule::Path(path)) => matcher::string(cx, &at.field("path"), path),
        None => {
            cx.refuse(at, "needs a path");
            None
        }
    }
}

/// `envoy.path.match.uri_template`: literals, `*` (within a segment), `**` (any number of segments, last), and
/// `{name}` or `{name=pattern}`.
fn uri_template(cx: &mut Context<'_>, at: &At<'_>, any: &tulle_proto::Any) -> Option<StringMatcher> {
    let message: tulle_proto::envoy::UriTemplateMatchConfig = cx.unpack(at, any)?;
    let tulle_proto::envoy::UriTemplateMatchConfig { path_template } = &message;
    let at = at.field("path_template");
    if !path_template.starts_with('/') {
        cx.refuse(&at, "must begin with a slash");
        return None;
    }
    let mut pattern = String::new();
    let mut rest = path_template.as_str();
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**") {
            pattern.push_str(".*");
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            pattern.push_str("[^/]+");
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some((variable, after)) = after.split_once('}') else {
                cx.refuse(&at, "has a { without its }");
                return None;
            };
            let inner = variable.split_once('=').map_or("*", |(_, inner)| inner);
            let inner = if variable.starts_with('*') { variable } else { inner };
            for (i, piece) in inner.split("**").enumerate() {
                pattern.push_str(if i > 0 { ".*" } else { "" });
                for (j, literal) in piece.split('*').enumerate() {
                    pattern.push_str(if j > 0 { "[^/]+" } else { "" });
                    pattern.push_str(&regex::escape(literal));
                }
            }
            rest = after;
        } else {
            pattern.push_str(&regex::escape(&rest[..c.len_utf8()]));
            rest = &rest[c.len_utf8()..];
        }
    }
    matcher::full(cx, &at, &pattern).map(StringMatcher::Regex)
}
