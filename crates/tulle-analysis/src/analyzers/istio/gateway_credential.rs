//! Secrets of gateways that are there, but hold no certificate or key.
//!
//! Whether a secret is there at all is IST0101's question; whether its certificate has expired takes a clock, which analysis
//! does not have.

use std::collections::HashMap;

use tulle_api::Object;
use tulle_api::istio::{Gateway, ServerTlsMode};
use tulle_api::kubernetes::Secret;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// The secret of a gateway holds no certificate, key or CA.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0161",
    name: "InvalidGatewayCredential",
    severity: Severity::Error,
    about: "The secret of a gateway holds no certificate, key or CA",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let secrets: HashMap<(&str, &str), &Secret> =
        whole.all::<Secret>().map(|(o, s)| ((o.meta.namespace.as_str(), o.meta.name.as_str()), s)).collect();
    for (object, spec) in whole.all::<Gateway>() {
        let namespaces = namespaces(whole, object, spec);
        for (i, server) in spec.servers.iter().enumerate() {
            let Some(tls) = &server.tls else { continue };
            let mutual = tls.mode == Some(ServerTlsMode::Mutual);
            let one = (!tls.credential_name.is_empty())
                .then(|| (&tls.credential_name, "credentialName".to_owned()));
            let many =
                tls.credential_names.iter().enumerate().map(|(j, n)| (n, format!("credentialNames[{j}]")));
            for (name, field) in one.into_iter().chain(many) {
                let found = namespaces.iter().find_map(|ns| Some((ns, secrets.get(&(ns, name.as_str()))?)));
                let Some((namespace, secret)) = found else { continue };
                let ca_elsewhere = !tls.ca_cert_credential_name.is_empty()
                    || namespaces
                        .iter()
                        .any(|ns| secrets.contains_key(&(*ns, format!("{name}-cacert").as_str())));
                if let Some(problem) = problem(secret, mutual && !ca_elsewhere) {
                    let path = FieldPath::from(format!("spec.servers[{i}].tls.{field}").as_str());
                    let message = format!("Secret {namespace}/{name} {problem}");
                    out.report(
                        object,
                        path,
                        message,
                        "make it with kubectl create secret tls, or write the keys as PEM",
                    );
                }
            }
        }
    }
}

/// The namespaces of the gateway's pods; its own when no pods are known.
fn namespaces<'s>(whole: &'s Whole<'_>, object: &'s Object, spec: &'s Gateway) -> Vec<&'s str> {
    let mut of_pods: Vec<&str> = match spec.selector.is_empty() {
        true => Vec::new(),
        false => whole.pods().select(None, &spec.selector).map(|p| p.namespace()).collect(),
    };
    of_pods.dedup();
    if of_pods.is_empty() { vec![&object.meta.namespace] } else { of_pods }
}

/// What is wrong with a secret.
fn problem(secret: &Secret, needs_ca: bool) -> Option<String> {
    let values = secret.values();
    let pem = |names: &[&str], what: &str| {
        let found = names.iter().find_map(|n| values.get(*n));
        match found {
            None => Some(format!("has no {}", names.join(" or "))),
            Some(bytes) if String::from_utf8_lossy(bytes).contains("-----BEGIN ") => None,
            Some(_) => Some(format!("has a {what} that is not PEM")),
        }
    };
    pem(&["tls.crt", "cert"], "certificate")
        .or_else(|| pem(&["tls.key", "key"], "key"))
        .or_else(|| pem(&["ca.crt", "cacert"], "CA").filter(|_| needs_ca))
}
