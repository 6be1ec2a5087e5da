//! Certificates and roots: never a key.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tulle_identity::CertInfo;

use super::admin::{Kept, Workload};
use super::dump::{self, list, text};
use super::show::{Form, renamed, table};
use crate::outcome::Outcome;

const COLUMNS: [&str; 7] =
    ["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"];
/// Members that are never shown, whoever has written the dump.
const HIDDEN: [&str; 6] =
    ["private_key", "private_key_provider", "password", "session_ticket_keys", "pkcs12", "generic_secret"];

/// Show the certificates and roots of a workload's proxy. Private keys are never shown.
///
/// Example: tulle proxy-config secrets -n shop deploy/web
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    kept: Kept,
    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "short")]
    output: Form,
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
pub(super) fn run(args: &Args) -> Outcome {
    let said = args.workload.json(&args.kept, dump::PATH)?;
    let text = args.output.text(&shown(&said));
    print!("{}", text.unwrap_or_else(|| summary(&said, now())));
    Ok(ExitCode::SUCCESS)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The part of the dump that tells of secrets, without any key.
pub(super) fn shown(said: &Value) -> Value {
    let mut part = dump::part(said, "SecretsConfigDump").cloned().unwrap_or_default();
    hide(&mut part);
    renamed(&part)
}

/// Takes every key out.
pub(super) fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if HIDDEN.contains(&name.as_str()) {
                    *value = Value::String("[redacted]".to_owned());
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The table of them; `now` is in seconds since 1970.
pub(super) fn summary(said: &Value, now: i64) -> String {
    let part = dump::part(said, "SecretsConfigDump").unwrap_or(&Value::Null);
    let mut rows = Vec::new();
    for (member, state) in [("dynamic_warming_secrets", "WARMING"), ("dynamic_active_secrets", "ACTIVE")] {
        rows.extend(list(&part[member]).iter().flat_map(|entry| self::rows(entry, state, now)));
    }
    rows.extend(list(&part["static_secrets"]).iter().flat_map(|entry| self::rows(entry, "ACTIVE", now)));
    if rows.is_empty() {
        return "No active or warming secrets found.\n".to_owned();
    }
    table(COLUMNS, &rows)
}

/// One row for a certificate (the first of its chain), or for each root.
fn rows(entry: &Value, state: &str, now: i64) -> Vec<[String; 7]> {
    let (name, secret) = (text(&entry["name"]), &entry["secret"]);
    let chain = &secret["tls_certificate"]["certificate_chain"];
    let (kind, pem) = if chain.is_object() {
        ("Cert Chain", chain)
    } else {
        ("CA", &secret["validation_context"]["trusted_ca"])
    };
    let all = certificates(pem);
    let most = if kind == "CA" { all.len() } else { 1 };
    let row = |info: Option<&CertInfo>| {
        let valid = info.is_some_and(|i| (i.not_before..=i.not_after).contains(&now));
        let [name, kind, state] = [name, kind, state].map(str::to_owned);
        let serial = info.map(|i| i.serial.clone()).unwrap_or_default();
        let [until, since] = [info.map(|i| i.not_after), info.map(|i| i.not_before)].map(time);
        [name, kind, state, valid.to_string(), serial, until, since]
    };
    if all.is_empty() {
        return vec![row(None)];
    }
    all.iter().take(most).map(|info| row(Some(info))).collect()
}

fn certificates(source: &Value) -> Vec<CertInfo> {
    use base64::Engine as _;
    let pem = match (source["inline_string"].as_str(), source["inline_bytes"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(bytes)) => base64::engine::general_purpose::STANDARD.decode(bytes).unwrap_or_default(),
        (None, None) => return Vec::new(),
    };
    let all = CertificateDer::pem_slice_iter(&pem);
    all.filter_map(Result::ok).filter_map(|der| CertInfo::read(&der).ok()).collect()
}

fn time(seconds: Option<i64>) -> String {
    seconds.and_then(|s| Timestamp::from_second(s).ok()).map(|t| t.to_string()).unwrap_or_default()
}
