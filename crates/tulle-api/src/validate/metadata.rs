//! Rules about `metadata`.

use super::common::labels;
use super::names;
use super::rules::Rules;
use crate::kind::Kind;
use crate::object::Object;
use crate::schema::At;

/// Checks name, namespace, labels and annotation keys.
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
    for key in meta.annotations.keys() {
        rules.check(&at.field("annotations").field(key), names::label_key(key));
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
