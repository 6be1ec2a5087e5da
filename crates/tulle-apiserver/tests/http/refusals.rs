//! Policies that are wrong by themselves: each malformed matcher is refused by its field, nothing of it is stored, and all of it is in the
//! audit log.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tulle_apiserver::Limits;
use tulle_store::Memory;
use tulle_telemetry::audit::{AuditLog, Sink};

use crate::support::Api;

const PATH: &str = "/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies";

/// What is malformed: a rule, and the field that the answer names.
fn malformed() -> Vec<(Value, &'static str)> {
    let from = |source: Value| json!({"from": [{"source": source}]});
    let to = |operation: Value| json!({"to": [{"operation": operation}]});
    let when = |key: &str, values: Value| json!({"when": [{"key": key, "values": values}]});
    vec![
        (from(json!({})), "from[0].source"),
        (from(json!({"principals": []})), "from[0].source"),
        (from(json!({"principals": [""]})), "principals"),
        (from(json!({"principals": "cluster.local/ns/a/sa/b"})), "principals"),
        (from(json!({"namespaces": [""]})), "namespaces"),
        (from(json!({"namespaces": [3]})), "namespaces"),
        (from(json!({"requestPrincipals": [""]})), "requestPrincipals"),
        (from(json!({"ipBlocks": ["10.0.0.0/33"]})), "ipBlocks"),
        (from(json!({"ipBlocks": ["10.0.0"]})), "ipBlocks"),
        (from(json!({"remoteIpBlocks": ["::1/129"]})), "remoteIpBlocks"),
        (from(json!({"notIpBlocks": ["all"]})), "notIpBlocks"),
        (from(json!({"serviceAccounts": ["a/b/c"]})), "serviceAccounts"),
        (from(json!({"serviceAccounts": ["a"], "principals": ["b"]})), "serviceAccounts"),
        (json!({"from": []}), "from"),
        (json!({"from": [{}]}), "from[0]"),
        (to(json!({})), "to[0].operation"),
        (to(json!({"ports": ["http"]})), "ports"),
        (to(json!({"ports": ["65536"]})), "ports"),
        (to(json!({"ports": ["-1"]})), "ports"),
        (to(json!({"notPorts": ["8o80"]})), "notPorts"),
        (to(json!({"methods": [""]})), "methods"),
        (to(json!({"paths": [""]})), "paths"),
        (to(json!({"paths": ["/a/{**}/{*}"]})), "paths"),
        (to(json!({"paths": ["/a/{x}"]})), "paths"),
        (to(json!({"hosts": [""]})), "hosts"),
        (json!({"to": []}), "to"),
        (when("", json!(["x"])), "key"),
        (when("request.headers", json!(["x"])), "key"),
        (when("request.headers[", json!(["x"])), "key"),
        (when("request.auth.claims[a", json!(["x"])), "key"),
        (when("source.colour", json!(["x"])), "key"),
        (when("source.ip", json!(["10.0.0.0/99"])), "values"),
        (when("destination.port", json!(["99999"])), "values"),
        (when("source.namespace", json!([])), "when[0]"),
        (json!({"wen": []}), "wen"),
    ]
}

#[test]
fn every_malformed_matcher_is_refused_by_its_field_and_audited() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.log");
    let audit = AuditLog::start("api", "test", &[Sink::File(file.clone())]).unwrap();
    let store = Memory::new();
    let api = Api::audited(store, Limits::default(), audit.clone());
    let headers = [("content-type", "application/json")];
    let (mut refused, mut wrong) = (Vec::new(), Vec::new());
    for action in ["ALLOW", "DENY", "AUDIT"] {
        for (rule, field) in malformed() {
            let policy = json!({
                "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
                "metadata": {"name": "wrong"}, "spec": {"action": action, "rules": [rule]},
            });
            let path = format!("{PATH}?fieldValidation=Strict");
            let answer = api.request("POST", &path, &headers, policy.to_string().as_bytes());
            let said = answer.body["message"].as_str().unwrap_or_default().to_owned();
            if !matches!(answer.code, 400 | 422) || !said.contains(field) {
                wrong.push(format!("{action} {rule}: {} {said:?} does not name {field}", answer.code));
            }
            refused.push(said);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(api.get(&format!("{PATH}/wrong")).code, 404, "nothing of it is there");
    let as_viewer = [("authorization", "Bearer viewer"), ("content-type", "application/json")];
    assert_eq!(api.request("DELETE", &format!("{PATH}/x"), &as_viewer, b"").code, 403);
    assert_eq!(api.request("POST", PATH, &[("authorization", "Bearer no")], b"{}").code, 401);

    let (mut lines, began): (Vec<Value>, _) = (Vec::new(), Instant::now());
    while lines.len() < refused.len() + 2 && began.elapsed() < Duration::from_secs(10) {
        let text = std::fs::read_to_string(&file).unwrap();
        lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    }
    assert_eq!((lines.len(), audit.lost()), (refused.len() + 2, 0));
    assert!(lines.iter().all(|l| l["event"] == "config.refused" && l["outcome"] == "refused"));
    for (line, said) in lines.iter().zip(&refused) {
        assert_eq!(line["actor"], "tulle:admin");
        assert_eq!(line["subject"], format!("POST {PATH}"));
        // Long texts are cut there.
        assert!(said.starts_with(line["reason"].as_str().unwrap()), "{line}");
    }
    let last: Vec<_> =
        lines[refused.len()..].iter().map(|l| (l["actor"].as_str(), l["details"]["code"].as_u64())).collect();
    assert_eq!(last, [(Some("tulle:viewer"), Some(403)), (Some(""), Some(401))]);
}
