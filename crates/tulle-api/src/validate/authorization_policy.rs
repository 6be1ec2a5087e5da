//! Rules about `AuthorizationPolicy`.

use super::common::{at_most, selector as check_selector, target_refs as check_targets};
use super::names;
use super::rules::Rules;
use crate::istio::{
    ActionDetail, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Condition, Operation,
    RuleFrom, RuleTo, Source,
};
use crate::schema::At;

/// Checks an AuthorizationPolicy.
pub(super) fn check(given: &AuthorizationPolicy, at: &At<'_>, rules: &mut Rules) {
    let AuthorizationPolicy { selector, target_ref, target_refs, rules: entries, action, action_detail } =
        given;
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
    let action = action.unwrap_or(AuthorizationAction::Allow);
    let provider = action_detail.as_ref().map(|ActionDetail::Provider(provider)| &provider.name);
    match (action, provider) {
        (AuthorizationAction::Custom, None) => {
            rules.error(&at.field("provider"), "is required for CUSTOM", "name an extension provider");
        }
        (AuthorizationAction::Custom, Some(name)) if name.is_empty() => {
            rules.error(
                &at.field("provider").field("name"),
                "is required for CUSTOM",
                "name an extension provider",
            );
        }
        (AuthorizationAction::Custom, _) | (_, None) => {}
        (other, Some(_)) => {
            rules.error(
                &at.field("provider"),
                format!("is for CUSTOM, not for {}", other.as_str()),
                "remove it",
            );
        }
    }
    let needs_rules = matches!(action, AuthorizationAction::Deny | AuthorizationAction::Custom);
    if needs_rules && entries.is_empty() {
        let message = format!("a {} policy without rules never does anything", action.as_str());
        rules.error(&at.field("rules"), message, "write rules: [{}] to match every request");
    }
    let list = at.field("rules");
    at_most(entries.len(), 512, &list, rules);
    for (i, rule) in entries.iter().enumerate() {
        check_rule(rule, action, &list.index(i), rules);
    }
}

fn check_rule(rule: &AuthorizationRule, action: AuthorizationAction, at: &At<'_>, rules: &mut Rules) {
    let AuthorizationRule { from, to, when } = rule;
    at_most(from.len(), 512, &at.field("from"), rules);
    for (i, RuleFrom { source }) in from.iter().enumerate() {
        let list = at.field("from");
        let one = list.index(i);
        let here = one.field("source");
        match source {
            None => rules.error(&here, "is required", "remove the entry to match every source"),
            Some(source) => check_source(source, action, &here, rules),
        }
    }
    for (i, RuleTo { operation }) in to.iter().enumerate() {
        let list = at.field("to");
        let one = list.index(i);
        let here = one.field("operation");
        match operation {
            None => rules.error(&here, "is required", "remove the entry to match every operation"),
            Some(operation) => check_operation(operation, &here, rules),
        }
    }
    for (i, condition) in when.iter().enumerate() {
        let list = at.field("when");
        check_condition(condition, action, &list.index(i), rules);
    }
    if action == AuthorizationAction::Deny && http_only(rule) {
        let message =
            "on TCP ports only the other parts of this rule hold, so that it denies all their traffic";
        rules.warn(at, message, "add operation.ports with the HTTP ports");
    }
}

/// Whether a rule has fields for HTTP and none that hold on TCP ports too.
fn http_only(rule: &AuthorizationRule) -> bool {
    let sources: Vec<&Source> = rule.from.iter().filter_map(|f| f.source.as_ref()).collect();
    let operations: Vec<&Operation> = rule.to.iter().filter_map(|t| t.operation.as_ref()).collect();
    let tcp_source = sources.iter().any(|s| {
        let request_only = Source {
            request_principals: s.request_principals.clone(),
            not_request_principals: s.not_request_principals.clone(),
            ..Source::default()
        };
        request_only != **s
    });
    let tcp_operation = operations.iter().any(|o| !o.ports.is_empty() || !o.not_ports.is_empty());
    (!sources.is_empty() && operations.is_empty() && !tcp_source)
        || (!operations.is_empty() && !tcp_operation)
}

fn check_source(source: &Source, action: AuthorizationAction, at: &At<'_>, rules: &mut Rules) {
    let lists = source_lists(source);
    if *source == Source::default() {
        rules.error(at, "says nothing", "remove it to match every source");
    }
    for (field, values) in lists {
        not_empty(values, &at.field(field), rules);
        if field.ends_with("pBlocks") {
            for (i, block) in values.iter().enumerate() {
                rules.check(&at.field(field).index(i), names::ip_or_cidr(block));
            }
        } else if field.ends_with("erviceAccounts") {
            service_accounts(values, &at.field(field), rules);
        } else if field.ends_with("rustDomains") {
            trust_domains(values, &at.field(field), rules);
        }
        let for_custom = field.ends_with("pBlocks");
        if action == AuthorizationAction::Custom && !for_custom && !values.is_empty() {
            rules.error(&at.field(field), "cannot be used with CUSTOM", "leave the decision to the provider");
        }
    }
    let identities = source.principals.len()
        + source.not_principals.len()
        + source.namespaces.len()
        + source.not_namespaces.len();
    if identities > 0 && source.service_accounts.len() + source.not_service_accounts.len() > 0 {
        let message = "cannot be set together with principals or namespaces";
        rules.error(&at.field("serviceAccounts"), message, "keep one of them");
    }
}

fn source_lists(source: &Source) -> [(&'static str, &Vec<String>); 14] {
    let Source {
        principals,
        not_principals,
        request_principals,
        not_request_principals,
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        ip_blocks,
        not_ip_blocks,
        remote_ip_blocks,
        not_remote_ip_blocks,
        trust_domains,
        not_trust_domains,
    } = source;
    [
        ("principals", principals),
        ("notPrincipals", not_principals),
        ("requestPrincipals", request_principals),
        ("notRequestPrincipals", not_request_principals),
        ("namespaces", namespaces),
        ("notNamespaces", not_namespaces),
        ("serviceAccounts", service_accounts),
        ("notServiceAccounts", not_service_accounts),
        ("ipBlocks", ip_blocks),
        ("notIpBlocks", not_ip_blocks),
        ("remoteIpBlocks", remote_ip_blocks),
        ("notRemoteIpBlocks", not_remote_ip_blocks),
        ("trustDomains", trust_domains),
        ("notTrustDomains", not_trust_domains),
    ]
}

fn not_empty(values: &[String], at: &At<'_>, rules: &mut Rules) {
    for (i, _) in values.iter().enumerate().filter(|(_, v)| v.is_empty()) {
        rules.error(&at.index(i), "is empty and matches nothing", "remove it or give it a value");
    }
}

fn service_accounts(values: &[String], at: &At<'_>, rules: &mut Rules) {
    if values.len() > 16 {
        rules.error(at, format!("has at most 16 entries, not {}", values.len()), "split the rule");
    }
    for (i, value) in values.iter().enumerate().filter(|(_, v)| !v.is_empty()) {
        let parts: Vec<&str> = value.split('/').collect();
        let shape = parts.len() <= 2 && parts.iter().all(|p| !p.is_empty()) && value.len() <= 320;
        if !shape || value.contains('*') {
            let message = format!("{value:?} is not of the form [NAMESPACE/]NAME without wildcard");
            rules.error(&at.index(i), message, "");
        }
    }
}

fn trust_domains(values: &[String], at: &At<'_>, rules: &mut Rules) {
    for (i, value) in values.iter().enumerate() {
        if value.contains('/') || inner_wildcard(value) {
            let message = format!("{value:?} is not a trust domain, with * at the beginning or the end");
            rules.error(&at.index(i), message, "");
        }
    }
}

fn inner_wildcard(value: &str) -> bool {
    match value.matches('*').count() {
        0 => false,
        1 => !value.starts_with('*') && !value.ends_with('*'),
        _ => true,
    }
}

fn check_operation(operation: &Operation, at: &At<'_>, rules: &mut Rules) {
    let Operation { hosts, not_hosts, ports, not_ports, methods, not_methods, paths, not_paths } = operation;
    if *operation == Operation::default() {
        rules.error(at, "says nothing", "remove it to match every operation");
    }
    let lists = [
        ("hosts", hosts),
        ("notHosts", not_hosts),
        ("ports", ports),
        ("notPorts", not_ports),
        ("methods", methods),
        ("notMethods", not_methods),
        ("paths", paths),
        ("notPaths", not_paths),
    ];
    for (field, values) in lists {
        not_empty(values, &at.field(field), rules);
    }
    for (field, values) in [("ports", ports), ("notPorts", not_ports)] {
        check_ports(values, &at.field(field), rules);
    }
    for (field, values) in [("paths", paths), ("notPaths", not_paths)] {
        for (i, path) in values.iter().enumerate() {
            check_path(path, &at.field(field).index(i), rules);
        }
    }
    for (field, values) in [("methods", methods), ("notMethods", not_methods)] {
        for (i, method) in
            values.iter().enumerate().filter(|(_, m)| m.chars().any(|c| c.is_ascii_lowercase()))
        {
            let message = format!("{method:?} matches no request: methods are written in capitals");
            rules.warn(&at.field(field).index(i), message, format!("write {}", method.to_ascii_uppercase()));
        }
    }
}

fn check_ports(values: &[String], at: &At<'_>, rules: &mut Rules) {
    for (i, port) in values.iter().enumerate() {
        if !port.is_empty() && port.parse::<u16>().is_err() {
            rules.error(&at.index(i), format!("{port:?} is not a port number"), "");
        }
    }
}

/// A path: text with `*` at one end, or a template of whole segments `{*}` and, at last, `{**}`.
fn check_path(path: &str, at: &At<'_>, rules: &mut Rules) {
    let template = path.contains("{*}") || path.contains("{**}");
    let mut any = false;
    for segment in path.trim_matches('/').split('/') {
        match segment {
            "{*}" | "{**}" if any => {
                rules.error(at, format!("{path:?}: {{**}} must be the last template"), "");
                return;
            }
            "{*}" => {}
            "{**}" => any = true,
            _ if segment.contains(['{', '}']) => {
                rules.error(at, format!("{path:?}: braces are for the segments {{*}} and {{**}} only"), "");
                return;
            }
            _ if template && (segment.is_empty() || !segment.bytes().all(is_path_byte)) => {
                rules.error(at, format!("{path:?}: {segment:?} cannot be part of a template"), "");
                return;
            }
            _ => {}
        }
    }
    if !template {
        check_stars(path, at, rules);
    }
}

/// A `*` that is neither the first nor the last character: one segment if it stands alone in it, else only itself.
fn check_stars(path: &str, at: &At<'_>, rules: &mut Rules) {
    let inner = path.strip_prefix('*').unwrap_or(path);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    if !inner.contains('*') {
        return;
    }
    if inner.split('/').all(|segment| segment == "*" || !segment.contains('*')) {
        let message =
            format!("{path:?}: an inner * stands for one path segment here, but Istio reads it literally");
        rules.note(at, message, "write {*} for one segment");
    } else {
        let message = format!("{path:?}: a * within a segment matches nothing but a *");
        rules.warn(at, message, "a wildcard is the whole path segment, or the first or last character");
    }
}

fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&b)
}

fn check_condition(condition: &Condition, action: AuthorizationAction, at: &At<'_>, rules: &mut Rules) {
    let Condition { key, values, not_values } = condition;
    if values.is_empty() && not_values.is_empty() {
        rules.error(at, format!("says nothing about {key}"), "give values or notValues");
    }
    check_key(key, &at.field("key"), rules);
    let identity = matches!(
        key.as_str(),
        "source.namespace" | "source.serviceAccount" | "source.trustDomain" | "source.principal"
    );
    if action == AuthorizationAction::Custom && (identity || key.starts_with("request.auth.")) {
        rules.error(
            &at.field("key"),
            format!("{key} cannot be used with CUSTOM"),
            "leave the decision to the provider",
        );
    }
    for (field, list) in [("values", values), ("notValues", not_values)] {
        let here = at.field(field);
        not_empty(list, &here, rules);
        match key.as_str() {
            "source.ip" | "remote.ip" | "destination.ip" => {
                for (i, block) in list.iter().enumerate() {
                    rules.check(&here.index(i), names::ip_or_cidr(block));
                }
            }
            "destination.port" => check_ports(list, &here, rules),
            "source.serviceAccount" => service_accounts(list, &here, rules),
            "source.trustDomain" => trust_domains(list, &here, rules),
            _ => {}
        }
    }
}

/// Attributes that conditions may name (istio.io/latest/docs/reference/config/security/conditions).
fn check_key(key: &str, at: &At<'_>, rules: &mut Rules) {
    const PLAIN: [&str; 12] = [
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.serviceAccount",
        "source.principal",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
        "connection.sni",
    ];
    const MAPS: [&str; 3] = ["request.headers", "request.auth.claims", "experimental.envoy.filters."];
    if PLAIN.contains(&key) {
        return;
    }
    if MAPS.iter().any(|map| key.starts_with(map)) {
        let inner = key.find('[').map(|open| &key[open + 1..]).and_then(|rest| rest.strip_suffix(']'));
        if inner.is_none_or(str::is_empty) {
            rules.error(at, format!("{key:?} must name an entry"), "write it as in request.headers[x-id]");
        }
        return;
    }
    let near = tulle_base::nearest::nearest(key, PLAIN);
    let fix = near.map_or_else(
        || format!("known are {}, request.headers[NAME] and request.auth.claims[NAME]", PLAIN.join(", ")),
        |n| format!("did you mean {n}?"),
    );
    rules.error(at, format!("{key:?} is not a known attribute"), fix);
}
