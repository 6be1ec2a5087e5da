//! What every conversion needs: who the document is, and where problems go.

use std::sync::{Arc, OnceLock};

use tulle_api::Kind;
use tulle_api::schema::Notice;
use tulle_base::{Diagnostic, Diagnostics, FieldPath, Host, Severity};
use tulle_proto::json::Json;

use crate::meta::{Meta, NsName};
use crate::routing::GatewayRef;

/// Descriptors of Envoy's messages, loaded when the first document needs them and dropped with the last clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Descriptors(Arc<OnceLock<Result<Json, String>>>);

impl Descriptors {
    /// The descriptors, or why there are none.
    pub(crate) fn get(&self) -> Result<&Json, &str> {
        let loaded = self.0.get_or_init(|| Json::load().map_err(|error| error.to_string()));
        loaded.as_ref().map_err(String::as_str)
    }
}

/// The document being converted, and what was found wrong with it.
pub(crate) struct Cx<'a> {
    /// The document.
    pub(crate) meta: &'a Meta,
    /// DNS domain of the cluster.
    pub(crate) domain: &'a str,
    /// Findings so far.
    pub(crate) notes: Diagnostics,
    /// Envoy's messages.
    pub(crate) json: Descriptors,
}

impl Cx<'_> {
    /// The fully qualified form of `name`: a name without a dot is a service of the document's namespace.
    pub(crate) fn fqdn(&self, name: &str) -> Host {
        if name.contains('.') || name.contains('*') || name.is_empty() {
            Host::new(name)
        } else {
            Host::new(&format!("{name}.{}.svc.{}", self.meta.namespace(), self.domain))
        }
    }

    /// A gateway by name as routes write it.
    pub(crate) fn gateway(&self, name: &str) -> GatewayRef {
        match name.split_once('/') {
            None if name == "mesh" => GatewayRef::Mesh,
            None => GatewayRef::Named(NsName::new(self.meta.namespace(), name)),
            Some((".", name)) => GatewayRef::Named(NsName::new(self.meta.namespace(), name)),
            Some((ns, name)) => GatewayRef::Named(NsName::new(ns, name)),
        }
    }

    /// A port number; 0 and what is over 65535 is reported and left out.
    pub(crate) fn port(&mut self, number: Option<u32>, path: &str) -> Option<u16> {
        let number = number?;
        match u16::try_from(number) {
            Ok(port) if port > 0 => Some(port),
            _ => {
                self.warn(path, format!("{number} is not a port"), "write a number from 1 to 65535");
                None
            }
        }
    }

    /// Reports something that is wrong but leaves the rest of the document in force.
    pub(crate) fn warn(&mut self, path: &str, message: impl Into<String>, fix: &str) {
        let resource = self.meta.resource.clone();
        self.notes
            .push(Diagnostic::warning(FieldPath::from(path), message).with_fix(fix).with_resource(resource));
    }

    /// Reports something that cannot be done, which is left out; the rest of the document is in force.
    pub(crate) fn refuse(&mut self, path: &str, message: &str, fix: &str) {
        let resource = self.meta.resource.clone();
        self.notes
            .push(Diagnostic::error(FieldPath::from(path), message).with_fix(fix).with_resource(resource));
    }

    /// Reports a document of a kind that is kept but not in force yet.
    pub(crate) fn not_in_force(&mut self, kind: Kind) {
        match kind.info().notice {
            Notice::Planned(missing) => self.warn("", format!("kept, not in force yet: {missing}"), ""),
            Notice::NoEffect(reason) => self.warn("", format!("has no effect: {reason}"), ""),
            _ => {}
        }
    }

    /// Says something that is worth knowing of the document as a whole.
    pub(crate) fn inform(&mut self, message: &str) {
        let resource = self.meta.resource.clone();
        let note = Diagnostic::new(Severity::Info, FieldPath::root(), message);
        self.notes.push(note.with_resource(resource));
    }

    /// Reports a field that is written (`yes`) but not applied.
    pub(crate) fn not_applied(&mut self, yes: bool, path: &str, reason: &str) {
        if yes {
            self.warn(path, format!("has no effect: {reason}"), "");
        }
    }
}

/// A count as documents write it: negative ones are nothing.
pub(crate) fn count(value: Option<i32>) -> Option<u32> {
    value.and_then(|v| u32::try_from(v).ok())
}

/// A limit: zero and negative ones are not set.
pub(crate) fn limit(value: Option<i32>) -> Option<u32> {
    count(value).filter(|v| *v > 0)
}
