//! `/certs`.

use std::time::SystemTime;

use serde_json::{Value, json};
use tulle_identity::CertInfo;

use super::http::Reply;
use crate::boot::Main;

/// The certificates and roots in force; never a key.
pub(super) fn certs(main: &Main) -> Reply {
    let now = SystemTime::now();
    let chains: Vec<Value> = main
        .secrets
        .certificates()
        .into_iter()
        .map(|(name, certificate)| json!({ "cert_chain": [describe(&name, certificate.info(), now)], "ca_cert": [] }))
        .collect();
    let roots: Vec<Value> = main
        .secrets
        .bundles()
        .into_iter()
        .map(|(name, bundle)| {
            let roots: Vec<Value> = bundle
                .roots()
                .iter()
                .filter_map(|der| CertInfo::read(der).ok())
                .map(|info| describe(&name, &info, now))
                .collect();
            json!({ "ca_cert": roots, "cert_chain": [] })
        })
        .collect();
    let rotation = main.rotation.as_ref().and_then(tulle_identity::Watched::get);
    let status =
        rotation.map(|s| json!({ "issued": s.issued, "failures": s.failures, "last_error": s.last_error }));
    let all: Vec<Value> = chains.into_iter().chain(roots).collect();
    Reply::json(&json!({ "certificates": all, "rotation": status }))
}

fn describe(name: &str, info: &CertInfo, now: SystemTime) -> Value {
    let CertInfo { serial, subject, uri_sans, dns_sans, not_before, not_after } = info;
    let mut sans: Vec<Value> = uri_sans.iter().map(|uri| json!({ "uri": uri })).collect();
    sans.extend(dns_sans.iter().map(|dns| json!({ "dns": dns })));
    json!({
        "path": name,
        "serial_number": serial,
        "subject": subject,
        "subject_alt_names": sans,
        "days_until_expiration": (info.seconds_left(now).max(0) / 86_400).to_string(),
        "valid_from": timestamp(*not_before),
        "expiration_time": timestamp(*not_after),
    })
}

fn timestamp(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}
