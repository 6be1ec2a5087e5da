//! Rules about `metadata`.

use super::common::labels;
use super::names;
use super::rules::Rules;
use crate::istio::AuthorizationAction;
use crate::kind::{Kind, Spec};
use crate::object::Object;
use crate::schema::At;

/// Annotations that only Istio's own code may write; on a user's object they would claim what it is not.
const INTERNAL: [&str; 3] = [
    "internal.istio.io/webhook-always-reject",
    "internal.istio.io/parent-namespace",
    "internal.istio.io/parents",
];
/// Says that an AuthorizationPolicy is only recorded.
const DRY_RUN: &str = "istio.io/dry-run";

/// Checks name, namespace, labels and annotations.
pub(super) fn check(object: &Object, rules: &mut Rules) {
    let at = At::ROOT.field("metadata");
    let meta = &object.meta;
    if !meta.name.is_empty() {
        let checked = match object.kind() {
            Kind::Namespace | Kind::Gateway => names::dns_label(&meta.name),
            Kind::Service => service_name(&meta.name),
            _ => names::object_name(&meta.name),
        };
        rules.check(&at.field("name"), checked);
    }
    if !meta.namespace.is_empty() {
        rules.check(&at.field("namespace"), names::dns_label(&meta.namespace));
    }
    labels(&meta.labels, &at.field("labels"), rules);
    let here = at.field("annotations");
    for key in meta.annotations.keys() {
        rules.check(&here.field(key), names::label_key(key));
    }
    if object.kind().info().group.ends_with("istio.io") {
        mesh_annotations(object, &here, rules);
    }
}

/// A Service is a host name of one label that begins with a letter (RFC 1035).
fn service_name(name: &str) -> Result<(), String> {
    names::dns_label(name)?;
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("{name:?} is not a name for a Service: it must begin with a letter"));
    }
    Ok(())
}

fn mesh_annotations(object: &Object, at: &At<'_>, rules: &mut Rules) {
    for key in INTERNAL.into_iter().filter(|k| object.meta.annotations.contains_key(*k)) {
        rules.error(&at.field(key), "may only be written by a control plane itself", "remove it");
    }
    let Some(value) = object.meta.annotations.get(DRY_RUN) else { return };
    let here = at.field(DRY_RUN);
    let Spec::AuthorizationPolicy(policy) = &object.spec else {
        let message = format!("a {} cannot be tried without effect", object.kind().info().kind);
        rules.error(&here, message, "remove it; it is for AuthorizationPolicy");
        return;
    };
    let action = policy.action.unwrap_or(AuthorizationAction::Allow);
    if !matches!(action, AuthorizationAction::Allow | AuthorizationAction::Deny) {
        let message = format!("is for ALLOW and DENY, not for {}", action.as_str());
        rules.error(&here, message, "remove it");
    } else if crate::meta::parse_bool(value).is_none() {
        rules.error(&here, format!("must be \"true\" or \"false\" but is {value:?}"), "");
    }
}
