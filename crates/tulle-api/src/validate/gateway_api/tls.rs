//! Rules about TLS towards backends.

use super::port;
use crate::gateway_api::{
    BackendTlsValidation, SubjectAltNameType, XBackendSpec, XBackendTlsMode, XBackendType,
};
use crate::schema::At;
use crate::validate::common::at_most;
use crate::validate::names;
use crate::validate::rules::Rules;

/// Checks how a backend's certificate is checked.
pub(super) fn validation(given: &BackendTlsValidation, at: &At<'_>, rules: &mut Rules) {
    let (refs, well_known) = (&given.ca_certificate_refs, &given.well_known_ca_certificates);
    at_most(refs.len(), 8, &at.field("caCertificateRefs"), rules);
    match (refs.is_empty(), well_known.is_empty()) {
        (true, true) => {
            let message = "names no trust anchors";
            rules.error(at, message, "give caCertificateRefs, or wellKnownCACertificates: System");
        }
        (false, false) => {
            let message = "cannot be set together with caCertificateRefs";
            rules.error(&at.field("wellKnownCACertificates"), message, "keep one of them");
        }
        _ => {}
    }
    rules.check(&at.field("hostname"), names::fqdn(&given.hostname));
    let list = at.field("subjectAltNames");
    at_most(given.subject_alt_names.len(), 5, &list, rules);
    for (i, name) in given.subject_alt_names.iter().enumerate() {
        let here = list.index(i);
        let host = name.name_type != Some(SubjectAltNameType::Uri);
        let (wanted, other) = if host { ("hostname", "uri") } else { ("uri", "hostname") };
        let value = |field| if field == "uri" { &name.uri } else { &name.hostname };
        if value(wanted).is_empty() {
            rules.error(&here.field(wanted), "is required for this type", "");
        }
        if !value(other).is_empty() {
            rules.error(&here.field(other), "does not go with this type", "remove it");
        }
    }
}

/// Checks an XBackend.
pub(super) fn backend(given: &XBackendSpec, at: &At<'_>, rules: &mut Rules) {
    port(Some(given.port.port), &at.field("port").field("port"), rules);
    if given.backend_type == Some(XBackendType::ExternalHostname) && given.external_hostname.is_none() {
        rules.error(&at.field("externalHostname"), "is required for type ExternalHostname", "");
    }
    let Some(tls) = &given.tls else { return };
    let here = at.field("tls");
    if let Some(check) = &tls.validation {
        validation(check, &here.field("validation"), rules);
    }
    if tls.mode == Some(XBackendTlsMode::ClientAndServer) && tls.client_certificate_ref.is_none() {
        rules.error(&here.field("clientCertificateRef"), "is required for mode ClientAndServer", "");
    }
}
