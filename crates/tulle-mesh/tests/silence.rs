//! What a document says and the mesh does not do is told, by the document's name and the field's path: of every kind and
//! field that is not applied, here is one.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use tulle_base::Severity;
use tulle_mesh::{Change, MeshConfig, Snapshot};

/// Kind, what it says, and the field that must be named; empty for the document as a whole.
const SILENT: &[(&str, &str, &str)] = &[
    (
        "DestinationRule",
        "host: a.b, subsets: [{name: v1, trafficPolicy: {loadBalancer: {zoneAwareLbSetting: {enabled: true}}}}]",
        "spec.subsets[0].trafficPolicy.loadBalancer.zoneAwareLbSetting",
    ),
    (
        "DestinationRule",
        "host: a.b, trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {zoneAwareLbSetting: {enabled: true}}}]}",
        "spec.trafficPolicy.portLevelSettings[0].loadBalancer.zoneAwareLbSetting",
    ),
    (
        "Sidecar",
        "inboundConnectionPool: {http: {h2UpgradePolicy: UPGRADE}}",
        "spec.inboundConnectionPool.http.h2UpgradePolicy",
    ),
    (
        "Sidecar",
        "ingress: [{port: {number: 80, protocol: HTTP, name: http}, connectionPool: {http: {useClientProtocol: true}}}]",
        "spec.ingress[0].connectionPool.http.useClientProtocol",
    ),
    (
        "Sidecar",
        "ingress: [{port: {number: 80, protocol: HTTPS, name: https}, \
         tls: {mode: SIMPLE, serverCertificate: /a, privateKey: /b}}]",
        "spec.ingress[0].tls",
    ),
    (
        "Gateway",
        "servers: [{port: {number: 53, name: a, protocol: UDP}, hosts: ['*']}]",
        "spec.servers[0].port.protocol",
    ),
    (
        "AuthorizationPolicy",
        "action: DENY, targetRef: {kind: Service, name: web}, rules: [{}]",
        "spec.targetRef",
    ),
    ("AuthorizationPolicy", "targetRefs: [{kind: Service, name: web}], rules: [{}]", "spec.targetRefs[0]"),
    (
        "RequestAuthentication",
        "targetRefs: [{kind: Service, name: web}], jwtRules: [{issuer: a, jwksUri: 'https://a.b/keys'}]",
        "spec.targetRefs[0]",
    ),
];

#[test]
fn nothing_is_ignored_without_a_word() {
    for (kind, spec, field) in SILENT {
        let group = match *kind {
            "AuthorizationPolicy" | "RequestAuthentication" => "security",
            _ => "networking",
        };
        let text = format!(
            "apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: quiet, namespace: shop}}\nspec: {{{spec}}}\n"
        );
        let (objects, problems) = tulle_api::parse_manifests("f", text.as_bytes());
        assert!(problems.iter().all(|d| d.severity != Severity::Error), "{problems:?}");
        let changes: Vec<Change> = objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect();
        assert_eq!(changes.len(), 1, "{text}");
        let (snapshot, _) = Snapshot::new(MeshConfig::default()).apply(&changes);
        let said: Vec<String> = snapshot.diagnostics().map(ToString::to_string).collect();
        let named = snapshot.diagnostics().any(|d| {
            let resource = d.resource.as_ref().is_some_and(|r| r.kind == *kind && r.name == "quiet");
            let told = ["has no effect", "not in force yet"].iter().any(|t| d.message.contains(t));
            resource && d.field.as_str() == *field && told
        });
        assert!(named, "{kind} {field}: {said:#?}");
    }
}
