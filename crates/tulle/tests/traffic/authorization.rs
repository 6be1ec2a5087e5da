//! Who may do what in a whole mesh: the mission's policies as they are written, providers that are asked, policies that record or are
//! on trial, policies of Gateways; by requests that pass and requests that do not.

use std::fs;
use std::time::Duration;

use crate::harness::{Mesh, Spec, http_get_with};
use crate::manifests::{bin, client, documents, echo, injected_default, mission, namespace, service, within};
use crate::tokens::{ISSUER, Signer};

const WITHIN: Duration = Duration::from_secs(30);

/// Asserts what a request from a workload gets: a status, 0 where the connection is refused.
#[track_caller]
fn check(mesh: &Mesh, from: &str, method: &str, url: &str, wanted: u16) {
    let (status, body) = mesh.fetch_from(from, url, &[], method);
    assert_eq!(status, wanted, "{from}: {method} {url}: {body}");
    if wanted == 403 {
        assert_eq!(body, "RBAC: access denied", "the client is told no more");
    }
}

/// A namespace with these resources in it.
fn of(name: &str, injected: bool, parts: &[String]) -> String {
    documents(&[namespace(name, injected), within(name, &documents(parts))])
}

#[test]
fn mission_policies_by_identity_method_path_and_namespace() {
    let account = [
        service("account-service", "http"),
        echo("account-service", "v1"),
        client("payment-service", "payment-service", ""),
        client("other", "other", ""),
    ];
    let own = [
        injected_default(),
        service("service-b", "http"),
        echo("service-b", "v1"),
        client("service-a", "service-a", ""),
        service("payment-service", "http"),
        echo("payment-service", "v1"),
        client("order-service", "order-service", ""),
    ];
    let production = [service("web", "http"), echo("web", "v1"), client("inside", "inside", "")];
    let manifests = [
        ("payments.yaml", of("payments", true, &account)),
        ("default.yaml", documents(&own)),
        ("production.yaml", of("production", true, &production)),
        ("plain.yaml", of("plain", false, &[client("outsider", "outsider", "")])),
        ("istio-architecture-01.yaml", mission("istio-architecture-01")),
        ("istio-architecture-08.yaml", mission("istio-architecture-08")),
        ("technical-01.yaml", mission("technical-01")),
        ("technical-07.yaml", mission("technical-07")),
        ("technical-08.yaml", mission("technical-08")),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });

    // STRICT in payments; only the payment service may call the account service.
    let accounts = "http://account-service.payments:9080/api/v1/accounts/7";
    mesh.eventually("the account service answers", WITHIN, || {
        mesh.get_from("payments/payment-service", accounts, &[]).0 == 200
    });
    let payer = "payments/payment-service";
    check(&mesh, payer, "POST", accounts, 200);
    check(&mesh, payer, "DELETE", accounts, 403);
    check(&mesh, payer, "GET", "http://account-service.payments:9080/api/v1/accounts", 403);
    check(&mesh, payer, "GET", "http://account-service.payments:9080/api/v2/accounts/7", 403);
    check(&mesh, payer, "GET", "http://account-service.payments:9080/api/v1/accounts/../../../x", 403);
    check(&mesh, "payments/other", "GET", accounts, 403);
    check(&mesh, "order-service", "GET", accounts, 403);
    check(&mesh, "plain/outsider", "GET", accounts, 0);

    // Only service-a may call service-b below /api.
    let api = "http://service-b.default:9080/api/x?y=/other";
    check(&mesh, "service-a", "GET", api, 200);
    check(&mesh, "service-a", "POST", api, 200);
    check(&mesh, "service-a", "PUT", api, 403);
    check(&mesh, "service-a", "GET", "http://service-b.default:9080/other?p=/api/x", 403);
    check(&mesh, "order-service", "GET", api, 403);
    // PERMISSIVE takes plain text, which has no identity.
    check(&mesh, "plain/outsider", "GET", api, 403);

    // Only the order service may pay, by one path and one method.
    let payment = "http://payment-service.default:9080/api/v1/payment";
    check(&mesh, "order-service", "POST", payment, 200);
    check(&mesh, "order-service", "GET", payment, 403);
    check(&mesh, "order-service", "POST", &format!("{payment}/x"), 403);
    check(&mesh, "service-a", "POST", payment, 403);

    // Everything is denied in production but what comes from production.
    let web = "http://web.production:9080/any";
    check(&mesh, "production/inside", "GET", web, 200);
    check(&mesh, "production/inside", "DELETE", web, 200);
    check(&mesh, "service-a", "GET", web, 403);
    check(&mesh, "plain/outsider", "GET", web, 403);
    fs::remove_file(mesh.manifest("technical-07.yaml")).unwrap();
    mesh.eventually("without the policies everybody passes", WITHIN, || {
        mesh.get_from("service-a", web, &[]).0 == 200
    });
    let deny_all = mission("technical-07").split("---").next().unwrap().to_owned();
    mesh.write("technical-07.yaml", &deny_all);
    mesh.eventually("`spec: {}` alone denies everything", WITHIN, || {
        mesh.get_from("production/inside", web, &[]).0 == 403
    });
}

#[test]
fn mission_policies_of_a_whole_mesh_and_its_exception() {
    let label = |yaml: String| {
        let inner = "      labels: {app: payment-service, version: v1}";
        assert!(yaml.contains(inner));
        yaml.replace(
            inner,
            "      labels: {app: payment-service, version: v1, app.kubernetes.io/name: payment-service}",
        )
    };
    let payment = [service("payment-service", "http"), label(echo("payment-service", "v1"))];
    let legacy = [service("legacy", "http"), echo("legacy", "v1")];
    let manifests = [
        ("payment.yaml", of("payment-prod", true, &payment)),
        ("order.yaml", of("order-prod", true, &[client("order-service", "order-service", "")])),
        ("admin.yaml", of("admin-prod", true, &[client("admin-service", "admin-service", "")])),
        ("legacy.yaml", of("legacy-service", true, &legacy)),
        ("plain.yaml", of("plain", false, &[client("outsider", "outsider", "")])),
        ("standards-01.yaml", mission("standards-01")),
        ("standards-02.yaml", mission("standards-02")),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let at = |path: &str| format!("http://payment-service.payment-prod:9080{path}");
    let (order, admin) = ("order-prod/order-service", "admin-prod/admin-service");
    mesh.eventually("the payment service answers", WITHIN, || {
        mesh.fetch_from(order, &at("/v1/payments"), &[], "POST").0 == 200
    });
    check(&mesh, order, "POST", &at("/v1/payments/42/refund"), 200);
    check(&mesh, order, "POST", &at("/v1/payments/4/2/refund"), 403);
    check(&mesh, order, "POST", &at("/v1/payments//refund"), 403);
    check(&mesh, order, "POST", &at("/v1/payments/42"), 403);
    check(&mesh, order, "GET", &at("/v1/payments/42"), 403);
    check(&mesh, admin, "GET", &at("/v1/payments/42"), 200);
    check(&mesh, admin, "POST", &at("/v1/payments"), 403);
    check(&mesh, "plain/outsider", "POST", &at("/v1/payments"), 0);

    // Who has no sidecar yet reaches what is excepted from STRICT, and nothing else.
    let legacy = "http://legacy.legacy-service:9080/";
    check(&mesh, "plain/outsider", "GET", legacy, 200);
    let (status, body) = mesh.get_from(order, legacy, &[]);
    assert!(
        status == 200 && body.contains("URI=spiffe://cluster.local/ns/order-prod/sa/order-service"),
        "sidecars speak mutual TLS all the same: {status} {body}"
    );
    let policies: Vec<String> = mission("standards-01").split("---").map(str::to_owned).collect();
    mesh.write("standards-01.yaml", &policies[0]);
    mesh.eventually("without the exception it is STRICT", WITHIN, || {
        mesh.get_from("plain/outsider", legacy, &[]).0 == 0
    });
}

/// Providers, policies that record, and policies on trial, all for `web`.
const POLICIES: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    accessLogFile: /dev/stdout
    extensionProviders:
    - name: bin
      envoyExtAuthzHttp: {service: authz.default.svc.cluster.local, port: 8000, pathPrefix: /status}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: default}
spec: {selector: {matchLabels: {app: web}}, action: CUSTOM, provider: {name: bin}, rules: [{to: [{operation: {paths: ['/200', '/401', '/5*']}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask-nobody, namespace: default}
spec: {selector: {matchLabels: {app: web}}, action: CUSTOM, provider: {name: nobody}, rules: [{to: [{operation: {paths: [/nobody]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: record, namespace: default}
spec: {selector: {matchLabels: {app: web}}, action: AUDIT, rules: [{to: [{operation: {methods: [PUT]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, namespace: default, annotations: {istio.io/dry-run: 'true'}}
spec: {selector: {matchLabels: {app: web}}, action: DENY, rules: [{}, {to: [{operation: {methods: [PUT]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec: {action: DENY, rules: [{from: [{source: {principals: ['*/sa/nobody']}}]}, {to: [{operation: {paths: [/secret]}}]}]}
";

#[test]
fn providers_records_trials_and_who_denied() {
    let own = [
        injected_default(),
        service("web", "http"),
        echo("web", "v1"),
        client("client", "client", ""),
        bin("authz", 1, 8000),
    ];
    let manifests = [("base.yaml", documents(&own)), ("policies.yaml", POLICIES.to_owned())];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let at = |path: &str| format!("http://web.default:9080{path}");
    let get = |path: &str| mesh.get_from("client", &at(path), &[]).0;
    mesh.eventually("the provider lets pass", WITHIN, || get("/200") == 200);
    assert_eq!(get("/401"), 401, "the provider's no, as it says it");
    assert_eq!(get("/500"), 403, "a provider that fails lets nobody pass");
    assert_eq!(get("/free"), 200, "it is not asked about anything else");
    check(&mesh, "client", "GET", &at("/nobody"), 403);
    check(&mesh, "client", "PUT", &at("/x"), 200);
    check(&mesh, "client", "GET", &at("/secret"), 403);

    // Who decided is in the metrics and in the access log of the workload.
    let command = [mesh.binary(), "lab", "curl", "-s", "-m", "20", "http://127.0.0.1:15020/stats/prometheus"];
    let metrics = || {
        let output = mesh.exec("default", "web-v1", &command).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (namespace, policy, rule, result) in [
        ("istio-system", "deny", 1, "denied"),
        ("default", "ask", 0, "asked"),
        ("default", "ask-nobody", 0, "denied"),
        ("default", "record", 0, "audited"),
        ("default", "trial", 0, "dry_run_denied"),
    ] {
        let line = format!(
            "tulle_authorization_total{{policy_namespace=\"{namespace}\",policy=\"{policy}\",rule=\"{rule}\",result=\"{result}\"}} "
        );
        assert!(metrics().contains(&line), "{line}\n{}", metrics());
    }
    let reason = "rbac_access_denied_matched_policy[ns[istio-system]-policy[deny]-rule[1]]";
    mesh.eventually("the access log names the policy and the rule", WITHIN, || logs(&mesh).contains(reason));
}

/// The end of every log of the mesh.
fn logs(mesh: &Mesh) -> String {
    let (mut open, mut out) = (vec![mesh.dir.path().join("state/logs")], String::new());
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                out.push_str(&fs::read_to_string(entry.path()).unwrap_or_default());
            }
        }
    }
    out
}

/// Two Gateways of the Gateway API at one port of the mesh's gateway.
const GATEWAYS: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: open, namespace: default}
spec: {gatewayClassName: tulle, listeners: [{name: http, port: 80, protocol: HTTP, hostname: open.example.com}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: guarded, namespace: default}
spec: {gatewayClassName: tulle, listeners: [{name: http, port: 80, protocol: HTTP, hostname: guarded.example.com}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec: {parentRefs: [{name: open}, {name: guarded}], rules: [{backendRefs: [{name: web, port: 9080}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guarded, namespace: default}
spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: guarded}], rules: [{to: [{operation: {paths: ['/public/*']}}]}]}
";

/// Tokens of `signer` at the Gateway `guarded`, which wants one for one path.
fn tokens_of_guarded(signer: &Signer) -> String {
    let target = "targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: guarded}";
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: guarded, namespace: default}}\nspec:\n  \
         {target}\n  jwtRules:\n  - issuer: {ISSUER}\n    jwks: '{{\"keys\": [{}]}}'\n---\n\
         apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: token, namespace: default}}\nspec:\n  \
         {target}\n  action: DENY\n  rules: [{{from: [{{source: {{notRequestPrincipals: ['*']}}}}], to: [{{operation: {{paths: [/public/token]}}}}]}}]\n",
        signer.public()
    )
}

#[test]
fn a_policy_of_one_gateway_leaves_others_alone() {
    let own = [injected_default(), service("web", "http"), echo("web", "v1")];
    let (known, unknown) = (Signer::new("known"), Signer::new("unknown"));
    let tokens = tokens_of_guarded(&known);
    let manifests =
        [("base.yaml", documents(&own)), ("gateways.yaml", GATEWAYS.to_owned()), ("tokens.yaml", tokens)];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let gateway = mesh.ready["gateway"].as_str().unwrap().to_owned();
    let get = |host: &str, path: &str| http_get_with(&format!("{gateway}{path}"), &[("host", host)]);
    let with = |host: &str, path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        http_get_with(&format!("{gateway}{path}"), &[("host", host), ("authorization", &bearer)]).0
    };
    mesh.eventually("routes are there", WITHIN, || get("open.example.com", "/").0 == 200);
    mesh.eventually("what is allowed passes", WITHIN, || get("guarded.example.com", "/public/x").0 == 200);
    assert_eq!(get("guarded.example.com", "/private"), (403, "RBAC: access denied".to_owned()));
    assert_eq!(get("open.example.com", "/private").0, 200);
    // Tokens, too: where nothing says that they are looked at, they are not.
    assert_eq!(with("guarded.example.com", "/public/x", &unknown.good("")), 401);
    assert_eq!(with("open.example.com", "/public/x", &unknown.good("")), 200);
    assert_eq!(get("guarded.example.com", "/public/token").0, 403);
    assert_eq!(with("guarded.example.com", "/public/token", &known.good("")), 200);
    assert_eq!(get("open.example.com", "/public/token").0, 200);
    let opened = GATEWAYS.replace("/public/*", "/*");
    mesh.write("gateways.yaml", &opened);
    mesh.eventually("a change of the policy is in force", WITHIN, || {
        get("guarded.example.com", "/private").0 == 200
    });
}

/// An AuthorizationPolicy `tcp` for `polite` with this action and these rules.
fn of_connections(action: &str, rules: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: tcp, namespace: default}}\nspec:\n  \
         selector: {{matchLabels: {{app: polite}}}}\n  action: {action}\n  rules: {rules}\n"
    )
}

#[test]
fn policies_of_connections() {
    let greeting = echo("polite", "v1")
        .replace("        env:", "        args: [--greeting, 'hello from the server']\n        env:");
    let own = [
        injected_default(),
        service("polite", "tcp").replace("targetPort: 8080", "targetPort: 9000"),
        greeting,
        client("client", "client", ""),
        client("other", "other", ""),
    ];
    let by_name = "[{from: [{source: {principals: [cluster.local/ns/default/sa/client]}}], to: [{operation: {ports: ['9000']}}]}]";
    let manifests = [("base.yaml", documents(&own)), ("policy.yaml", of_connections("ALLOW", by_name))];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let greets = |workload: &str| {
        let bash = "exec 3<>/dev/tcp/polite/9080 && head -c 21 <&3";
        let output = mesh.exec("default", workload, &["bash", "-c", bash]).output().unwrap();
        output.stdout == b"hello from the server"
    };
    mesh.eventually("who is allowed connects", WITHIN, || greets("client"));
    assert!(!greets("other"), "nobody else does");
    mesh.write("policy.yaml", &of_connections("ALLOW", "[{to: [{operation: {methods: [GET]}}]}]"));
    mesh.eventually("a rule about HTTP allows no connection", WITHIN, || !greets("client"));
    mesh.write(
        "policy.yaml",
        &of_connections("DENY", "[{to: [{operation: {methods: [GET], ports: ['80']}}]}]"),
    );
    mesh.eventually("a rule about another port denies nothing", WITHIN, || {
        greets("client") && greets("other")
    });
    mesh.write("policy.yaml", &of_connections("DENY", "[{to: [{operation: {methods: [GET]}}]}]"));
    mesh.eventually("of a rule that denies, the rest holds", WITHIN, || {
        !greets("client") && !greets("other")
    });
}
