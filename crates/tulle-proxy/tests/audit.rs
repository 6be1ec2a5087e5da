//! Denied requests in the audit log.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Backend, Proxy, any_host, cluster, get, http, listener};
use serde_json::{Value, json};
use tulle_proxy::worker::Settings;
use tulle_telemetry::audit::{AuditLog, Sink};

#[test]
fn what_is_denied_is_recorded_and_what_passes_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.log");
    let audit = AuditLog::start("proxy", "test", &[Sink::File(file.clone())]).unwrap();
    let app = Backend::text("ok");
    let filter = |name: &str, kind: &str, mut config: Value| {
        config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.filters.http.{kind}"));
        json!({ "name": name, "typed_config": config })
    };
    let rbac = filter(
        "envoy.filters.http.rbac",
        "rbac.v3.RBAC",
        json!({
            "rules": { "action": "DENY", "policies": { "ns[shop]-policy[no-admin]-rule[0]": {
                "permissions": [{ "url_path": { "path": { "prefix": "/admin" } } }],
                "principals": [{ "any": true }],
            } } },
        }),
    );
    let record = filter(
        "envoy.filters.http.rbac",
        "rbac.v3.RBAC",
        json!({
            "rules": { "action": "LOG", "policies": { "ns[shop]-policy[record]-rule[2]": {
                "permissions": [{ "url_path": { "path": { "prefix": "/a" } } }],
                "principals": [{ "any": true }],
            } } },
        }),
    );
    let router = filter("envoy.filters.http.router", "router.v3.Router", json!({}));
    let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }]));
    let listener = listener("in", http(routes, json!({ "http_filters": [record, rbac, router] })));
    let resources = json!({ "listeners": [listener], "clusters": [cluster("app", &[app.address])] });
    let proxy = Proxy::with(resources, Settings { audit: audit.clone(), ..Settings::default() });
    assert_eq!(get(proxy.address("in"), "/shop").status, 200);
    assert_eq!(get(proxy.address("in"), "/admin/x?access_token=secret").status, 403);
    assert_eq!(get(proxy.address("in"), "/a/y?access_token=secret").status, 200);
    let mut text = String::new();
    common::eventually("it is written", || {
        text = std::fs::read_to_string(&file).unwrap();
        text.lines().count() >= 2 && text.ends_with('\n')
    });
    assert_eq!((text.lines().count(), audit.lost()), (2, 0), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let admitted = &lines[1];
    assert_eq!(
        (admitted["event"].as_str(), admitted["outcome"].as_str()),
        (Some("request.audited"), Some("success"))
    );
    assert!(admitted["subject"].as_str().unwrap().ends_with("/a/y"), "{admitted}");
    assert_eq!(admitted["details"]["policy"], "ns[shop]-policy[record]-rule[2]");
    assert_eq!(admitted["details"]["status"], 200);
    let line = &lines[0];
    assert_eq!(line["event"], "request.denied");
    assert_eq!(line["outcome"], "refused");
    assert!(line["subject"].as_str().unwrap().ends_with("/admin/x"), "{line}");
    assert_eq!(line["details"]["policy"], "ns[shop]-policy[no-admin]-rule[0]");
    assert!(line["details"]["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
}
