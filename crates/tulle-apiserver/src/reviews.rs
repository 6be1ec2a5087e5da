//! Questions about the caller: who am I (`kubectl auth whoami`), may I (`kubectl auth can-i`).

use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::access::Role;
use crate::call::Call;
use crate::error::ApiError;
use crate::respond::{self, Body};
use crate::write;

/// POST of a question; `plural` is one of [`crate::path::REVIEWS`].
pub(crate) fn answer(call: &Call, plural: &str) -> Result<Response<Body>, ApiError> {
    let question = if call.body.is_empty() { json!({}) } else { write::body(call)? };
    let identity = &call.identity;
    let answer = match plural {
        "selfsubjectreviews" => json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"creationTimestamp": null},
            "status": {"userInfo": {"username": identity.name, "groups": identity.groups()}}}),
        "selfsubjectaccessreviews" => access(call, &question)?,
        _ => {
            let (verbs, rules) = match identity.role {
                Role::Admin => ("*", json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}])),
                Role::Viewer => {
                    let mut rules: Vec<Value> = Vec::new();
                    for kind in tulle_api::Kind::ALL
                        .iter()
                        .map(|k| k.info())
                        .filter(|i| identity.may("get", i.plural))
                    {
                        rules.push(json!({"verbs": ["get", "list", "watch"], "apiGroups": [kind.group],
                            "resources": [kind.plural]}));
                    }
                    ("get", Value::from(rules))
                }
            };
            json!({"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1",
                "metadata": {"creationTimestamp": null}, "spec": {},
                "status": {"resourceRules": rules, "nonResourceRules": [{"verbs": [verbs], "nonResourceURLs": ["*"]}],
                    "incomplete": false}})
        }
    };
    Ok(respond::json(StatusCode::CREATED, &answer))
}

fn access(call: &Call, question: &Value) -> Result<Value, ApiError> {
    let spec = &question["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let allowed = if spec["resourceAttributes"].is_object() {
        let attributes = &spec["resourceAttributes"];
        call.identity.may(&text(&attributes["verb"]), &text(&attributes["resource"]))
    } else if spec["nonResourceAttributes"].is_object() {
        let verb = text(&spec["nonResourceAttributes"]["verb"]);
        call.identity.role == Role::Admin || verb == "get"
    } else {
        return Err(ApiError::bad_request("spec needs resourceAttributes or nonResourceAttributes"));
    };
    let reason = match call.identity.role {
        Role::Admin => "the admin token may do everything",
        Role::Viewer => "the viewer token may read everything but Secrets",
    };
    Ok(json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"creationTimestamp": null}, "spec": spec, "status": {"allowed": allowed, "reason": reason}}))
}
