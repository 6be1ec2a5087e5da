//! One certificate for several Gateways of the same pods.
//!
//! A browser that has an HTTP/2 connection for one host uses it for every host that the certificate names; requests for hosts
//! of the other Gateway arrive where they have no route, and get 404.

use std::collections::{BTreeMap, BTreeSet};

use tulle_api::Object;
use tulle_api::istio::Gateway;
use tulle_base::{FieldPath, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// Several Gateways of the same pods show one certificate: reused HTTP/2 connections may get 404.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0138",
    name: "GatewayDuplicateCertificate",
    severity: Severity::Warning,
    about: "Several Gateways of the same pods show one certificate: reused HTTP/2 connections may get 404",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut of_certificate: BTreeMap<(&Labels, &str), Vec<(&Object, FieldPath)>> = BTreeMap::new();
    for (object, spec) in whole.all::<Gateway>() {
        for (i, server) in spec.servers.iter().enumerate() {
            let Some(tls) = &server.tls else { continue };
            let field = if tls.credential_name.is_empty() { "serverCertificate" } else { "credentialName" };
            let shown =
                if tls.credential_name.is_empty() { &tls.server_certificate } else { &tls.credential_name };
            if !shown.is_empty() {
                let path = FieldPath::from(format!("spec.servers[{i}].tls.{field}").as_str());
                of_certificate.entry((&spec.selector, shown)).or_default().push((object, path));
            }
        }
    }
    for ((_, shown), all) in of_certificate {
        for (object, path) in &all {
            let others: BTreeSet<String> = all
                .iter()
                .filter(|(o, _)| !std::ptr::eq(*o, *object))
                .map(|(o, _)| o.resource().to_string())
                .collect();
            if others.is_empty() {
                continue;
            }
            let others: Vec<String> = others.into_iter().collect();
            let message = format!(
                "{} shows the certificate {shown} too: HTTP/2 connections for its hosts may be used for these",
                some_of(&others)
            );
            let fix = "serve all hosts of the certificate from one Gateway, or give each its own certificate";
            out.report(object, path.clone(), message, fix);
        }
    }
}
