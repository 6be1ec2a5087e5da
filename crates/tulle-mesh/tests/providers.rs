//! What is said of policies that ask a provider: that there is none, that it cannot be asked, that it is not asked about everything.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use tulle_base::Severity;
use tulle_mesh::{Change, MeshConfig, Snapshot};

const SETTINGS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: opa
      envoyExtAuthzGrpc: {service: policy/opa.policy.svc.cluster.local, port: 9191}
    - name: web
      envoyExtAuthzHttp: {service: policy/opa.policy.svc.cluster.local, port: 9191}
    - name: traces
      zipkin: {service: zipkin.policy.svc.cluster.local, port: 9411}
";

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: opa, namespace: policy}
spec: {clusterIP: 10.96.0.40, selector: {app: opa}, ports: [{port: 9191, name: grpc}]}
";

fn policy(provider: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: ask, namespace: shop}}\n\
         spec: {{action: CUSTOM, provider: {{name: {provider}}}, rules: [{{}}]}}\n"
    )
}

fn put(snapshot: &Snapshot, yaml: &str) -> Snapshot {
    let (objects, problems) = tulle_api::parse_manifests("f", yaml.as_bytes());
    assert!(problems.iter().all(|p| p.severity != Severity::Error), "{problems:?}");
    let changes: Vec<Change> = objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect();
    snapshot.apply(&changes).0
}

/// What is said of the policy: severity, field, and a part of the words.
#[track_caller]
fn check(snapshot: &Snapshot, wanted: Option<(Severity, &str, &str)>) {
    let said: Vec<_> =
        snapshot.diagnostics().filter(|d| d.resource.as_ref().is_some_and(|r| r.name == "ask")).collect();
    match wanted {
        None => assert!(said.is_empty(), "{said:?}"),
        Some((severity, field, words)) => {
            let [one] = said[..] else { panic!("{said:?}") };
            assert_eq!((one.severity, one.field.as_str()), (severity, field));
            let told = format!("{}; {}", one.message, one.fix);
            assert!(told.contains(words), "{told}");
        }
    }
}

#[test]
fn a_provider_that_cannot_be_asked_is_told_as_long_as_it_is_so() {
    let name = "spec.provider.name";
    let none = put(&Snapshot::new(MeshConfig::default()), &policy("opa"));
    check(&none, Some((Severity::Warning, name, "no extension provider \"opa\"")));
    let settings = put(&none, SETTINGS);
    check(
        &settings,
        Some((Severity::Warning, name, "no service opa.policy.svc.cluster.local with port 9191")),
    );
    let there = put(&settings, SERVICE);
    check(&there, None);
    check(&put(&there, &policy("opas")), Some((Severity::Warning, name, "did you mean opa?")));
    check(&put(&there, &policy("traces")), Some((Severity::Warning, name, "which does not decide")));
    check(&put(&there, &policy("web")), Some((Severity::Info, "spec.provider", "not asked about TCP")));
    check(&put(&there, &SERVICE.replace("9191", "9192")), Some((Severity::Warning, name, "with port 9191")));
    let without = SETTINGS.replace("name: opa", "name: other");
    check(&put(&there, &without), Some((Severity::Warning, name, "is denied")));
}
