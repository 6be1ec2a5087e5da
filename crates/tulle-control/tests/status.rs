//! What resources are told about themselves: whether they are well written, who has them, and what is in their way.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may stop at the first surprise")]

mod support;

use std::time::Instant;

use serde_json::json;
use support::{Mesh, Proxy, accept_all, route, rule, services, subsets, tagged, to_subset};
use tulle_api::decode_object;
use tulle_base::ResourceRef;
use tulle_proto::type_url;
use tulle_store::{Event, Filter, Store};

const TWO: &str = "outbound|80|v2|cart.shop.svc.cluster.local";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_is_programmed_when_every_proxy_has_it() {
    let mesh = Mesh::start(&services(&["cart", "pay"])).await;
    mesh.put(&tagged("cart", "cart", "one"));
    let alone = mesh.programmed(&route("cart")).await;
    assert_eq!(alone.reason("Programmed"), "NoProxyConcerned");
    assert_eq!(alone.reason("Accepted"), "Accepted");
    assert!(alone.is("Conflicted", "False"));
    let first = Proxy::connect(&mesh, "cart-0", accept_all);
    first.routes("the routes", |r| r.contains("one")).await;
    let both = Proxy::connect(&mesh, "pay-0", accept_all);
    both.routes("the routes", |r| r.contains("one")).await;
    let status = mesh.status(&route("cart"), |s| s.message("Programmed") == "2 of 2 proxies have it").await;
    assert_eq!(status.condition("Programmed")["observedGeneration"], 1);
    let since = status.condition("Accepted")["lastTransitionTime"].clone();
    assert!(since.as_str().is_some_and(|t| t.ends_with('Z')), "{since}");
    mesh.put(&tagged("cart", "cart", "two"));
    let status = mesh.programmed(&route("cart")).await;
    assert_eq!(status.0["observedGeneration"], 2);
    assert_eq!(status.condition("Accepted")["lastTransitionTime"], since, "it was accepted all the time");
    // Policies concern the workloads that they select.
    mesh.put(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: pay, namespace: shop}\n\
         spec: {selector: {matchLabels: {app: pay}}, rules: [{}]}\n---\n\
         apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: all, namespace: shop}\n\
         spec: {mtls: {mode: STRICT}}\n",
    );
    for (kind, name, message) in [
        ("AuthorizationPolicy", "pay", "1 of 1 proxies have it"),
        ("PeerAuthentication", "all", "2 of 2 proxies have it"),
    ] {
        let resource = ResourceRef::new("security.istio.io", kind, "shop", name);
        mesh.status(&resource, |s| s.message("Programmed") == message).await;
    }
    drop(both);
    mesh.status(&route("cart"), |s| s.message("Programmed") == "1 of 1 proxies have it").await;
    mesh.control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_ended_is_told() {
    use tulle_api::value::Timestamp;
    let mesh = Mesh::start(&services(&["cart", "pay"])).await;
    let proxy = Proxy::connect(&mesh, "cart-0", accept_all);
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let fault = |name: &str, ends: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop, \
             annotations: {{tulle.io/fault-expires: '{ends}'}}}}\nspec: {{hosts: [{name}], http: [{{fault: {{abort: \
             {{httpStatus: 418, percentage: {{value: 100}}}}}}, headers: {{request: {{set: {{x-of: {name}-fault}}}}}}, \
             route: [{{destination: {{host: {name}}}}}]}}]}}\n"
        )
    };
    let soon = Timestamp::from_unix(i64::try_from(now.as_secs()).unwrap() + 4);
    mesh.put(&fault("cart", soon.as_str()));
    proxy.routes("the fault", |r| r.contains("HTTPFault")).await;
    let said = |status: &support::Status| status.0["validationMessages"].to_string();
    let message = "is not injected any more";
    assert!(!said(&mesh.programmed(&route("cart")).await).contains(message));
    proxy
        .routes("the same route without the fault", |r| r.contains("cart-fault") && !r.contains("HTTPFault"))
        .await;
    let told = mesh.status(&route("cart"), |s| said(s).contains(message)).await;
    assert!(said(&told).contains(&format!("ended at {soon}")), "{:#}", told.0);
    // One that had ended before it came does not begin.
    mesh.put(&fault("pay", "2020-01-01T00:00:00Z"));
    proxy.routes("its route", |r| r.contains("pay-fault") && !r.contains("HTTPFault")).await;
    mesh.status(&route("pay"), |s| said(s).contains(message)).await;
    mesh.control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_bad_among_a_hundred_good() {
    let names: Vec<String> = (0..100).map(|i| format!("s{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mesh = Mesh::start(&services(&names)).await;
    let proxy = Proxy::connect(&mesh, "cart-0", accept_all);
    proxy.routes("the first routes", |_| true).await;
    let mut bad = Vec::new();
    let began = Instant::now();
    for (i, name) in names.iter().enumerate() {
        mesh.put(&tagged(name, name, &format!("good-{i}-end")));
        let (object, field) = broken(i);
        let object = decode_object(&object).unwrap();
        bad.push((object.resource(), field));
        mesh.store.put_now(object).unwrap();
    }
    let written = began.elapsed();
    for (resource, field) in &bad {
        let status = mesh.status(resource, |s| s.is("Accepted", "False")).await;
        assert!(status.message("Accepted").contains(field), "{resource} wants {field}: {:#}", status.0);
    }
    let told = began.elapsed();
    for name in &names {
        let status = mesh.programmed(&route(name)).await;
        assert_eq!(status.message("Programmed"), "1 of 1 proxies have it");
    }
    proxy.routes("every good one", |r| (0..100).all(|i| r.contains(&format!("good-{i}-end")))).await;
    eprintln!(
        "written in {written:?}; every bad one told after {told:?}, every good one in force after {:?}",
        began.elapsed()
    );
    mesh.control.stop().await;
}

/// One of several kinds of mistakes, and the field that must be named.
fn broken(i: usize) -> (serde_json::Value, &'static str) {
    let object = |kind: &str, spec: serde_json::Value| {
        let group = if kind.ends_with("Policy") { "security" } else { "networking" };
        json!({
            "apiVersion": format!("{group}.istio.io/v1"), "kind": kind,
            "metadata": {"name": format!("bad-{i}"), "namespace": "shop"}, "spec": spec,
        })
    };
    let to = |destination: serde_json::Value| json!([{"route": [{"destination": destination}]}]);
    match i % 6 {
        0 => (
            object("VirtualService", json!({"http": to(json!({"host": "s1"})), "hosts": ["bad..host"]})),
            "spec.hosts",
        ),
        1 => (
            object(
                "VirtualService",
                json!({"hosts": [format!("x{i}.example")], "http": to(json!({"host": "nobody"}))}),
            ),
            "spec.http[0].route[0].destination.host",
        ),
        2 => (
            object(
                "VirtualService",
                json!({"hosts": [format!("x{i}.example")], "gateways": ["nowhere"], "http": to(json!({"host": "s1"}))}),
            ),
            "spec.gateways[0]",
        ),
        3 => (
            object(
                "VirtualService",
                json!({"hosts": [format!("x{i}.example")], "http": to(json!({"host": "s1", "subset": "v9"}))}),
            ),
            "spec.http[0].route[0].destination.subset",
        ),
        4 => (object("DestinationRule", json!({"host": format!("nobody{i}")})), "spec.host"),
        _ => (
            object("VirtualService", json!({"hosts": [format!("x{i}.example")], "http": [{"route": []}]})),
            "spec.http[0]",
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_wait_for_their_subsets_and_subsets_for_their_routes() {
    let mesh = Mesh::start(&services(&["cart"])).await;
    let proxy = Proxy::connect(&mesh, "cart-0", accept_all);
    proxy.routes("the first routes", |_| true).await;
    // The route comes first: it is not in force.
    mesh.put(&to_subset("cart", "v2"));
    let status = mesh.status(&route("cart"), |s| s.reason("Programmed") == "SubsetNotFound").await;
    assert!(
        status.message("Programmed").contains(
            "subset v2 of host cart.shop.svc.cluster.local is not defined by any DestinationRule; it is not in force"
        ),
        "{:#}",
        status.0
    );
    proxy.routes("nothing", |r| !r.contains(TWO)).await;
    // Its subset appears, and with it the route.
    mesh.put(&subsets("cart", &["v1", "v2"]));
    mesh.programmed(&route("cart")).await;
    proxy.routes("the route", |r| r.contains(TWO)).await;
    // A change to a subset that is not there keeps the last good route.
    mesh.put(&to_subset("cart", "v3"));
    let status = mesh.status(&route("cart"), |s| s.reason("Programmed") == "SubsetNotFound").await;
    assert!(status.message("Programmed").contains("its last good version stays in force"), "{:#}", status.0);
    proxy.routes("the last good route", |r| r.contains(TWO)).await;
    mesh.put(&subsets("cart", &["v1", "v2", "v3"]));
    mesh.programmed(&route("cart")).await;
    proxy.routes("the new route", |r| r.contains("|v3|")).await;
    // The subset goes first: it stays until the route is gone.
    let three = ("type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(), TWO.replace("v2", "v3"));
    mesh.put(&subsets("cart", &["v1"]));
    let status = mesh.status(&rule("cart"), |s| s.reason("Programmed") == "SubsetInUse").await;
    assert!(status.is("Accepted", "True"), "{:#}", status.0);
    proxy.until("the cluster", |held| held.contains_key(&three)).await;
    mesh.delete(&route("cart"));
    mesh.programmed(&rule("cart")).await;
    proxy.until("its end", |held| !held.contains_key(&three)).await;
    proxy.routes("no route", |r| !r.contains("|v3|")).await;
    assert!(three.0 == type_url::CLUSTER);
    mesh.control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_claims_the_same_is_told_who_wins() {
    let mesh = Mesh::start(&services(&["cart"])).await;
    let proxy = Proxy::connect(&mesh, "cart-0", accept_all);
    proxy.routes("the first routes", |_| true).await;
    mesh.put(&tagged("a", "cart", "first"));
    mesh.put(&tagged("b", "cart", "second"));
    let loser = mesh.status(&route("b"), |s| s.is("Conflicted", "True")).await;
    assert_eq!(loser.reason("Conflicted"), "Loses");
    assert!(loser.message("Conflicted").contains("VirtualService shop/a claims"), "{:#}", loser.0);
    assert_eq!(loser.reason("Programmed"), "Conflicted");
    let winner = mesh.status(&route("a"), |s| s.is("Conflicted", "True")).await;
    assert_eq!(winner.reason("Conflicted"), "Wins");
    assert!(winner.message("Conflicted").contains("VirtualService shop/b"), "{:#}", winner.0);
    assert!(winner.is("Programmed", "True"));
    proxy.routes("the winner", |r| r.contains("first") && !r.contains("second")).await;
    // The winner goes, and the other has what it wants.
    mesh.delete(&route("a"));
    let status = mesh.programmed(&route("b")).await;
    assert!(status.is("Conflicted", "False"));
    proxy.routes("the second", |r| r.contains("second")).await;
    mesh.control.stop().await;
}

/// What a change costs: with many proxies and many resources, only the resource that changed is written about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_written_to_what_changed_alone_and_at_most_once_a_second() {
    const PROXIES: usize = 40;
    const ROUTES: usize = 40;
    let names: Vec<String> = (0..ROUTES).map(|i| format!("s{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mesh = Mesh::start(&services(&names)).await;
    for name in &names {
        mesh.put(&tagged(name, name, "first"));
    }
    let proxies: Vec<Proxy> =
        (0..PROXIES).map(|i| Proxy::connect(&mesh, &format!("cart-{i}"), accept_all)).collect();
    let all = format!("{PROXIES} of {PROXIES} proxies have it");
    for name in &names {
        mesh.status(&route(name), |s| s.message("Programmed") == all).await;
    }
    let from = mesh.store.list_now(&Filter::default()).version;
    let mut changes = mesh.store.watch(Filter::default(), from).await.unwrap();
    let began = Instant::now();
    for round in 0..50 {
        mesh.put(&tagged("s7", "s7", &format!("round-{round}-end")));
        proxies[0].routes("the change", |r| r.contains(&format!("round-{round}-end"))).await;
    }
    mesh.status(&route("s7"), |s| s.message("Programmed") == all).await;
    let seconds = began.elapsed().as_secs_f64();
    let to = mesh.store.list_now(&Filter::default()).version;
    let (mut writes, mut at) = (0, from);
    let mut generation = 1;
    while at < to {
        let change = changes.next().await.unwrap();
        at = change.version;
        let Event::Put(object) = change.event else { continue };
        assert_eq!(object.resource(), route("s7"), "nobody else's status changes");
        let now = object.meta.generation.unwrap();
        if now == generation {
            writes += 1;
        }
        generation = now;
    }
    eprintln!("{writes} statuses written in {seconds:.2} s with 50 changes and {PROXIES} proxies");
    assert!(f64::from(writes) <= seconds + 2.0, "{writes} writes in {seconds} s");
    mesh.control.stop().await;
}
