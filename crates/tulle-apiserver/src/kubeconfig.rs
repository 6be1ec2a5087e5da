//! The file that kubectl and client libraries find the API with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// A kubeconfig for the API at `server` (such as `https://127.0.0.1:6443`), with the PEM certificate of its authority and a
/// bearer token. It is JSON, which is YAML.
pub fn kubeconfig(server: &str, authority: &str, user: &str, token: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tulle", "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(authority)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "tulle", "context": {"cluster": "tulle", "user": user, "namespace": "default"}}],
        "current-context": "tulle",
    });
    format!("{config:#}\n")
}
