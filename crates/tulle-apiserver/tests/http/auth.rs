//! Who may come in, and what they may do.

use serde_json::{Value, json};

use crate::support::Api;

const PATH: &str = "/api/v1/namespaces/shop/configmaps";

#[test]
fn nobody_comes_in_without_a_token_but_to_ask_for_health_and_version() {
    let api = Api::start();
    for path in [PATH, "/api", "/apis", "/openapi/v3", "/", "/nothing"] {
        for token in ["", "Bearer wrong", "Basic admin", "bearer"] {
            let answer = api.request("GET", path, &[("authorization", token)], b"");
            assert_eq!((answer.code, answer.reason()), (401, "Unauthorized".into()), "{path} {token}");
            assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        }
    }
    while api.request("GET", "/readyz", &[("authorization", "")], b"").code != 200 {}
    for path in ["/livez", "/healthz", "/version"] {
        assert_eq!(api.request("GET", path, &[("authorization", "")], b"").code, 200);
    }
}

#[test]
fn viewers_read_and_no_more() {
    let api = Api::start();
    api.config_map("a", &json!({}), &json!({}));
    let ask = |method: &str, path: &str| {
        let headers = [("authorization", "Bearer viewer"), ("content-type", "application/json")];
        api.request(method, path, &headers, b"{}")
    };
    assert_eq!(ask("GET", PATH).code, 200);
    assert_eq!(ask("GET", "/apis").code, 200);
    for (method, path) in
        [("POST", PATH), ("DELETE", PATH), ("GET", "/api/v1/secrets"), ("GET", "/api/v1/secrets?watch=1")]
    {
        let answer = ask(method, path);
        assert_eq!((answer.code, answer.reason()), (403, "Forbidden".into()), "{method} {path}");
    }
    assert!(
        ask("DELETE", &format!("{PATH}/a")).text.contains("User \\\"tulle:viewer\\\" cannot delete resource")
    );
    let headers = [("impersonate-user", "root")];
    assert_eq!(api.request("GET", PATH, &headers, b"").code, 403);
}

#[test]
fn callers_can_ask_about_themselves() {
    let api = Api::start();
    let ask = |token: &str, group: &str, plural: &str, body: &Value| {
        let headers = [("authorization", token), ("content-type", "application/json")];
        let path = format!("/apis/{group}/v1/{plural}");
        api.request("POST", &path, &headers, body.to_string().as_bytes()).ok()
    };
    let who = ask("Bearer viewer", "authentication.k8s.io", "selfsubjectreviews", &json!({}));
    assert_eq!(who["status"]["userInfo"]["username"], "tulle:viewer");
    for (token, verb, allowed) in
        [("admin", "delete", true), ("viewer", "delete", false), ("viewer", "list", true)]
    {
        let question =
            json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "shop"}}});
        let plural = "selfsubjectaccessreviews";
        let answer = ask(&format!("Bearer {token}"), "authorization.k8s.io", plural, &question);
        assert_eq!(answer["status"]["allowed"], allowed, "{token} {verb}");
    }
}
