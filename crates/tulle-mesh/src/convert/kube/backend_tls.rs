//! BackendTLSPolicy.

use tulle_api::gateway_api as api;
use tulle_base::Host;

use super::super::cx::Cx;
use crate::kube::{BackendTls, ObjectName};
use crate::meta::NsName;

/// The policy of a BackendTLSPolicy.
pub(in crate::convert) fn backend_tls(cx: &Cx<'_>, spec: &api::BackendTlsPolicySpec) -> BackendTls {
    let api::BackendTlsPolicySpec { target_refs, validation, options: _ } = spec; // the last is said by the reader
    let api::BackendTlsValidation {
        ca_certificate_refs,
        well_known_ca_certificates,
        hostname,
        subject_alt_names,
    } = validation;
    let namespace = cx.meta.namespace().to_owned();
    let object = |group: &Option<String>, kind: &str, name: &str| ObjectName {
        group: group.clone().unwrap_or_default(),
        kind: kind.to_owned(),
        name: NsName::new(namespace.clone(), name.to_owned()),
    };
    let (mut targets, mut other_targets) = (Vec::new(), Vec::new());
    for api::BackendPolicyTarget { group, kind, name, section_name } in target_refs {
        let target = object(group, kind, name);
        if target.group.is_empty() && target.kind == "Service" {
            let host = Host::new(&format!("{name}.{namespace}.svc.{}", cx.domain));
            targets.push((host, Some(section_name.clone()).filter(|s| !s.is_empty())));
        } else {
            other_targets.push(target);
        }
    }
    let names =
        subject_alt_names.iter().map(
            |api::BackendSubjectAltName { name_type, hostname, uri }| match name_type {
                Some(api::SubjectAltNameType::Uri) => uri.clone(),
                Some(api::SubjectAltNameType::Hostname) | None => hostname.clone(),
            },
        );
    let refs = ca_certificate_refs
        .iter()
        .map(|api::LocalObjectReference { group, kind, name }| object(group, kind, name));
    BackendTls {
        meta: cx.meta.clone(),
        targets,
        other_targets,
        hostname: hostname.clone(),
        names: names.collect(),
        authorities: (well_known_ca_certificates != "System").then(|| refs.collect()),
    }
}
