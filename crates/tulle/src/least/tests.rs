//! Observations and policies in, suggestions and findings out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use tulle_mesh::NsName;

use super::gap::gaps;
use super::live::Live;
use super::observed::{Caller, Count, Observed};
use super::ready::{State, readiness};
use super::suggest::{Wanted, suggest};

const WEB: &str = "cluster.local/ns/shop/sa/web";
const JOB: &str = "cluster.local/ns/shop/sa/job";

/// Pods `app-version` of namespace `shop`, all with sidecars but `legacy`.
fn pods(apps: &[(&str, &str)]) -> String {
    let one = |(app, version): &(&str, &str)| {
        let proxy = if *app == "legacy" { "" } else { "\n    security.istio.io/tlsMode: istio" };
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {app}-{version}-0\n  namespace: shop\n  labels:\n    app: {app}\n    \
             version: {version}\n    service.istio.io/workload-name: {app}-{version}{proxy}\nspec:\n  containers:\n  - name: x\n    \
             image: x\nstatus:\n  podIP: 10.0.0.1\n"
        )
    };
    apps.iter().map(one).collect::<Vec<_>>().join("---\n")
}

fn live(parts: &[String]) -> Live {
    let (objects, problems) = tulle_api::parse_manifests("test.yaml", parts.join("---\n").as_bytes());
    assert!(problems.iter().all(|p| p.severity != tulle_base::Severity::Error), "{problems:?}");
    Live::of(&objects.into_iter().map(Arc::new).collect::<Vec<_>>())
}

fn shop(name: &str) -> NsName {
    NsName::new("shop", name)
}

/// Calls: to whom, by whom (empty: in the clear), passed or not.
fn seen(calls: &[(&str, &str, bool)], ports: &[(&str, &[u16])]) -> Observed {
    let mut all = Observed { until: 2_000_000_000, reach: 3600, ..Observed::default() };
    for (to, by, passed) in calls {
        let caller = Caller { principal: (*by).to_owned(), workload: None };
        let count: &mut Count = all.flows.entry(shop(to)).or_default().entry(caller).or_default();
        match (passed, by.is_empty()) {
            (false, _) => count.refused += 1.0,
            (true, true) => count.plain += 1.0,
            (true, false) => count.passed += 1.0,
        }
    }
    let ports = ports
        .iter()
        .map(|(name, ports)| (shop(name), Some(ports.iter().copied().collect::<BTreeSet<u16>>())));
    all.ports = ports.collect();
    all
}

#[test]
fn versions_of_an_application_share_the_smallest_policy() {
    let live = live(&[pods(&[("cart", "v1"), ("cart", "v2"), ("idle", "v1"), ("legacy", "v1")])]);
    let calls = [
        ("cart-v1", WEB, true),
        ("cart-v2", JOB, true),
        ("cart-v2", "x/ns/a/sa/b", false),
        ("cart-v1", "", true),
    ];
    let seen = seen(&calls, &[("cart-v1", &[8080]), ("cart-v2", &[8080, 9090])]);
    let all = suggest(&live, &seen, &Wanted::default());
    let [one] = &all.policies[..] else { panic!("{all:?}") };
    assert_eq!(
        one.policy,
        json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"namespace": "shop", "name": "allow-cart", "labels": {"tulle.dev/suggested": "true"}},
            "spec": {"action": "ALLOW", "selector": {"matchLabels": {"app": "cart"}}, "rules": [{
                "from": [{"source": {"principals": [JOB, WEB]}}],
                "to": [{"operation": {"ports": ["8080", "9090"]}}],
            }]},
        })
    );
    for said in
        ["x/ns/a/sa/b was only ever refused", "in the clear from unknown clients", "which of the ports"]
    {
        assert!(one.notes.iter().any(|n| n.contains(said)), "{said}: {:?}", one.notes);
    }
    assert!(
        all.notes.iter().any(|n| n.contains("without a sidecar") && n.contains("shop/legacy-v1")),
        "{all:?}"
    );
    assert!(all.notes.iter().any(|n| n.contains("nobody called") && n.contains("shop/idle")), "{all:?}");

    let wanted = Wanted { deny_unused: true, namespace: Some("shop".to_owned()) };
    let all = suggest(&live, &seen, &wanted);
    let idle = all.policies.iter().find(|s| s.policy["metadata"]["name"] == "allow-idle").unwrap();
    assert_eq!(idle.policy["spec"], json!({"action": "ALLOW", "selector": {"matchLabels": {"app": "idle"}}}));
    let other = Wanted { namespace: Some("other".to_owned()), ..Wanted::default() };
    assert!(suggest(&live, &seen, &other).policies.is_empty());
}

fn policy(name: &str, labels: &str, rules: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: {name}\n  namespace: shop\n  labels: {{{labels}}}\nspec:\n  \
         selector: {{matchLabels: {{app: cart}}}}\n{rules}"
    )
}

#[test]
fn policies_of_others_keep_their_names_and_are_told() {
    let rules = "  rules: [{}]\n";
    let seen = seen(&[("cart-v1", WEB, true)], &[]);
    let own = live(&[pods(&[("cart", "v1")]), policy("allow-cart", "", rules)]);
    let all = suggest(&own, &seen, &Wanted::default());
    assert_eq!(all.policies[0].policy["metadata"]["name"], "allow-cart-suggested");
    assert!(all.policies[0].notes.iter().any(|n| n.contains("shop/allow-cart allows")), "{all:?}");
    assert_eq!(all.policies[0].policy["spec"]["rules"][0]["to"], json!(null), "ports are not known");
    let earlier =
        live(&[pods(&[("cart", "v1")]), policy("allow-cart", "tulle.dev/suggested: 'true'", rules)]);
    let all = suggest(&earlier, &seen, &Wanted::default());
    assert_eq!(all.policies[0].policy["metadata"]["name"], "allow-cart");
    assert!(all.policies[0].notes.is_empty(), "{all:?}");
}

#[test]
fn grants_that_nobody_used_are_found_and_what_is_not_known_is_said() {
    let rules = "  rules:\n  - from: [{source: {principals: [cluster.local/ns/shop/sa/web, cluster.local/ns/shop/sa/gone, '*/sa/job']}}]\n    \
                 to: [{operation: {ports: ['8080', '9090'], paths: [/a]}}]\n  - from: [{source: {namespaces: [pay]}}]\n  \
                 - from: [{source: {serviceAccounts: [web, none]}}]\n";
    let live = live(&[pods(&[("cart", "v1")]), policy("callers", "", rules)]);
    let mut seen = seen(&[("cart-v1", WEB, true), ("cart-v1", JOB, true)], &[("cart-v1", &[8080])]);
    seen.rules = BTreeMap::from([((shop("callers"), 0), 5.0), ((shop("callers"), 2), 1.0)]);
    let found = gaps(&live, &seen, Some("shop"));
    let unused: Vec<_> = found.unused.iter().map(|g| (g.rule, g.field, g.value.as_str())).collect();
    assert_eq!(
        unused,
        [
            (0, "principals", "cluster.local/ns/shop/sa/gone"),
            (0, "ports", "9090"),
            (1, "", ""),
            (2, "serviceAccounts", "shop/none")
        ]
    );
    assert!(
        found.notes.iter().any(|n| n.contains("rule 0 speaks of hosts, methods, paths")),
        "{:?}",
        found.notes
    );
    assert!(gaps(&live, &seen, Some("pay")).unused.is_empty());
}

#[test]
fn who_speaks_in_the_clear_is_named_before_strict_is_turned_on() {
    let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: pay, namespace: shop}\nspec:\n  \
                  selector: {matchLabels: {app: pay}}\n  mtls: {mode: STRICT}\n  portLevelMtls: {9090: {mode: PERMISSIVE}}\n";
    let apps = [("cart", "v1"), ("good", "v1"), ("idle", "v1"), ("legacy", "v1"), ("pay", "v1")];
    let live = live(&[pods(&apps), strict.to_owned()]);
    let calls =
        [("cart-v1", WEB, true), ("cart-v1", "", true), ("good-v1", WEB, true), ("pay-v1", "", false)];
    let mut seen = seen(&calls, &[]);
    seen.plain_clients = BTreeMap::from([(shop("cart-v1"), BTreeMap::from([(shop("web"), 3.0)]))]);
    let all = readiness(&live, &seen, None);
    let states: Vec<_> = all.iter().map(|r| (r.workload.name.as_str(), r.state, r.mode.as_str())).collect();
    assert_eq!(
        states,
        [
            ("cart-v1", State::Plaintext, "PERMISSIVE"),
            ("good-v1", State::Ready, "PERMISSIVE"),
            ("idle-v1", State::Silent, "PERMISSIVE"),
            ("legacy-v1", State::NoSidecar, "PERMISSIVE"),
            ("pay-v1", State::Plaintext, "STRICT, 9090 PERMISSIVE"),
        ]
    );
    let clear: Vec<_> = all[0].plain.iter().map(|(who, n)| (who.as_str(), *n)).collect();
    assert_eq!(clear, [("shop/web", 3.0), ("unknown clients", 1.0)]);
}
