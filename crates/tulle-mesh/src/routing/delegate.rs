//! Delegation: rules of another document in place of one rule.
//!
//! Each match of a delegate is merged with every match of the root that it does not contradict. A delegate rule one of
//! whose matches contradicts all of the root's is dropped. What the delegate sets wins, what it leaves out comes from the
//! root, and names join as `ROOT-DELEGATE` (traps 6).

use std::sync::Arc;

use super::{Forward, HttpAction, HttpMatch, HttpRoute, RouteSet, StringMatch};
use crate::meta::NsName;

/// `root` with the rules of its delegates in place. Delegates that `find` does not know, and delegates of delegates, add
/// no rules.
pub fn expand(root: &RouteSet, find: impl Fn(&NsName) -> Option<Arc<RouteSet>>) -> RouteSet {
    let mut out = root.clone();
    out.http = Vec::new();
    for rule in &root.http {
        let HttpAction::Delegate { to, defaults } = &rule.action else {
            out.http.push(rule.clone());
            continue;
        };
        let delegate =
            find(to).filter(|d| d.hosts.is_empty() && d.export_to.visible_to(root.meta.namespace()));
        for theirs in delegate.iter().flat_map(|d| &d.http) {
            out.http.extend(merge(rule, defaults, to, theirs));
        }
    }
    out
}

fn merge(root: &HttpRoute, defaults: &Forward, to: &NsName, theirs: &HttpRoute) -> Option<HttpRoute> {
    let mut out = theirs.clone();
    out.matches = matches(&root.matches, &theirs.matches)?;
    out.name = match (root.name.is_empty(), theirs.name.is_empty()) {
        (false, false) => format!("{}-{}", root.name, theirs.name),
        (false, true) => root.name.clone(),
        (true, _) => theirs.name.clone(),
    };
    out.rule = format!("{}.delegate({to}).{}", root.rule, theirs.rule);
    out.fault = out.fault.or_else(|| root.fault.clone());
    out.cors = out.cors.or_else(|| root.cors.clone());
    if out.headers == Default::default() {
        out.headers = root.headers.clone();
    }
    match &mut out.action {
        HttpAction::Forward(f) => {
            f.timeout = f.timeout.or(defaults.timeout);
            f.retries = f.retries.take().or_else(|| defaults.retries.clone());
            f.rewrite = f.rewrite.take().or_else(|| defaults.rewrite.clone());
            if f.mirrors.is_empty() {
                f.mirrors.clone_from(&defaults.mirrors);
            }
        }
        HttpAction::Delegate { .. } => return None,
        HttpAction::Redirect(_) | HttpAction::Direct(_) => {}
    }
    Some(out)
}

/// The merged matches; `None` when some match of the delegate contradicts all of the root's.
fn matches(root: &[HttpMatch], theirs: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    match (root.is_empty(), theirs.is_empty()) {
        (true, _) => return Some(theirs.to_vec()),
        (false, true) => return Some(root.to_vec()),
        (false, false) => {}
    }
    let mut out = Vec::new();
    for leaf in theirs {
        let merged: Vec<HttpMatch> = root.iter().filter(|r| agree(r, leaf)).map(|r| both(r, leaf)).collect();
        if merged.is_empty() {
            return None;
        }
        out.extend(merged);
    }
    Some(out)
}

/// Whether a delegate's match narrows the root's.
fn agree(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let texts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let maps = [
        (&root.headers, &leaf.headers),
        (&root.without_headers, &leaf.without_headers),
        (&root.query, &leaf.query),
    ];
    texts.iter().all(|(r, l)| match (r, l) {
        (Some(r), Some(l)) => narrows(r, l),
        _ => true,
    }) && maps.iter().all(|(r, l)| {
        r.iter().all(|(name, r)| l.iter().filter(|(n, _)| n == name).all(|(_, l)| narrows(r, l)))
    }) && root.ignore_uri_case == leaf.ignore_uri_case
        && same_or_unset(&root.port, &leaf.port)
        && same_or_unset(&root.source_namespace, &leaf.source_namespace)
        && root.source_labels.iter().all(|(k, v)| leaf.source_labels.get(k).is_none_or(|l| l == v))
        && leaf.gateways.iter().all(|g| root.gateways.is_empty() || root.gateways.contains(g))
}

fn same_or_unset<T: PartialEq>(root: &Option<T>, leaf: &Option<T>) -> bool {
    match (root, leaf) {
        (Some(r), Some(l)) => r == l,
        _ => true,
    }
}

fn narrows(root: &StringMatch, leaf: &StringMatch) -> bool {
    match (root, leaf) {
        (StringMatch::Prefix(r), StringMatch::Exact(l) | StringMatch::Prefix(l)) => l.starts_with(r.as_str()),
        (StringMatch::Present, _) => true,
        (r, l) => r == l,
    }
}

fn both(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    let named = |root: &[(String, StringMatch)], leaf: &[(String, StringMatch)]| {
        let mut all = leaf.to_vec();
        all.extend(root.iter().filter(|(name, _)| !leaf.iter().any(|(n, _)| n == name)).cloned());
        all
    };
    let mut labels = root.source_labels.clone();
    labels.extend(leaf.source_labels.clone());
    HttpMatch {
        name: match (root.name.is_empty(), leaf.name.is_empty()) {
            (false, false) => format!("{}-{}", root.name, leaf.name),
            (false, true) => root.name.clone(),
            (true, _) => leaf.name.clone(),
        },
        uri: leaf.uri.clone().or_else(|| root.uri.clone()),
        ignore_uri_case: root.ignore_uri_case,
        scheme: leaf.scheme.clone().or_else(|| root.scheme.clone()),
        method: leaf.method.clone().or_else(|| root.method.clone()),
        authority: leaf.authority.clone().or_else(|| root.authority.clone()),
        headers: named(&root.headers, &leaf.headers),
        without_headers: named(&root.without_headers, &leaf.without_headers),
        query: named(&root.query, &leaf.query),
        port: leaf.port.or(root.port),
        source_labels: labels,
        source_namespace: leaf.source_namespace.clone().or_else(|| root.source_namespace.clone()),
        gateways: if leaf.gateways.is_empty() { root.gateways.clone() } else { leaf.gateways.clone() },
        stat_prefix: if leaf.stat_prefix.is_empty() {
            root.stat_prefix.clone()
        } else {
            leaf.stat_prefix.clone()
        },
    }
}
