//! A proxy that refuses something is told everything else, and the resource that is to blame says so.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use support::{Mesh, Proxy, accept_all, route, services, tagged};
use tulle_proto::type_url;

/// Refuses routes with poison in them.
fn picky(kind: &str, _: &str, payload: &[u8]) -> Option<&'static str> {
    let poison = kind == type_url::ROUTE_CONFIGURATION && String::from_utf8_lossy(payload).contains("poison");
    poison.then_some("a header value is poison")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_refuses_is_kept_from_it_and_the_rest_goes_on() {
    let mesh = Mesh::start(&services(&["cart", "pay"])).await;
    mesh.put(&tagged("cart", "cart", "cart-one"));
    mesh.put(&tagged("pay", "pay", "pay-one"));
    let picky = Proxy::connect(&mesh, "cart-0", picky);
    let other = Proxy::connect(&mesh, "pay-0", accept_all);
    picky.routes("both", |r| r.contains("cart-one") && r.contains("pay-one")).await;
    other.routes("both", |r| r.contains("cart-one") && r.contains("pay-one")).await;
    mesh.status(&route("cart"), |s| s.message("Programmed") == "2 of 2 proxies have it").await;

    mesh.put(&tagged("cart", "cart", "poison"));
    let status = mesh.status(&route("cart"), |s| s.reason("Programmed") == "Refused").await;
    let message = status.message("Programmed");
    for part in
        ["1 of 2 proxies", "shop/cart-0", "rds 80", "a header value is poison", "last good version stays"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(status.is("Accepted", "True"));
    other.routes("the poison", |r| r.contains("poison")).await;

    // The other resource is in the same xDS resource, and converges all the same.
    mesh.put(&tagged("pay", "pay", "pay-two"));
    picky.routes("the good change", |r| r.contains("pay-two") && r.contains("cart-one")).await;
    let status = mesh.status(&route("pay"), |s| s.message("Programmed") == "2 of 2 proxies have it").await;
    assert_eq!(status.0["observedGeneration"], 2);
    other.routes("both changes", |r| r.contains("pay-two") && r.contains("poison")).await;

    // Mended, it is given to everybody.
    mesh.put(&tagged("cart", "cart", "cart-three"));
    picky.routes("the cure", |r| r.contains("cart-three")).await;
    mesh.status(&route("cart"), |s| s.message("Programmed") == "2 of 2 proxies have it").await;
    mesh.control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_comes_later_finds_the_culprit_among_many() {
    let names: Vec<String> = (0..16).map(|i| format!("s{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mesh = Mesh::start(&services(&names)).await;
    for (i, name) in names.iter().enumerate() {
        let value = if i == 11 { "poison".to_owned() } else { format!("good-{i}-end") };
        mesh.put(&tagged(name, name, &value));
    }
    let proxy = Proxy::connect(&mesh, "cart-0", picky);
    let all_good = |r: &str| (0..16).filter(|i| *i != 11).all(|i| r.contains(&format!("good-{i}-end")));
    proxy.routes("everything but the poison", |r| all_good(r) && !r.contains("poison")).await;
    for (i, name) in names.iter().enumerate() {
        if i == 11 {
            let status = mesh.status(&route(name), |s| s.reason("Programmed") == "Refused").await;
            assert!(status.message("Programmed").contains("it is not in force there"), "{:#}", status.0);
        } else {
            mesh.status(&route(name), |s| s.message("Programmed") == "1 of 1 proxies have it").await;
        }
    }
    mesh.control.stop().await;
}

/// Refuses clusters with poison in them.
fn picky_of_clusters(kind: &str, name: &str, payload: &[u8]) -> Option<&'static str> {
    let poison = kind == type_url::CLUSTER
        && name.starts_with("outbound|")
        && String::from_utf8_lossy(payload).contains("poison");
    poison.then_some("alt_stat_name is poison")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envoy_filter_that_spoils_a_cluster_is_named_and_taken_out() {
    let mesh = Mesh::start(&services(&["cart"])).await;
    let filter = |value: &str| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: names, namespace: shop}}\n\
             spec: {{configPatches: [{{applyTo: CLUSTER, match: {{context: SIDECAR_OUTBOUND}}, \
             patch: {{operation: MERGE, value: {{alt_stat_name: {value}}}}}}}, \
             {{applyTo: CLUSTER, match: {{cluster: {{name: nobody}}}}, patch: {{operation: REMOVE}}}}]}}\n"
        )
    };
    let name = tulle_base::ResourceRef::new("networking.istio.io", "EnvoyFilter", "shop", "names");
    let proxy = Proxy::connect(&mesh, "cart-0", picky_of_clusters);
    mesh.put(&filter("fine"));
    let status = mesh.status(&name, |s| s.message("Programmed") == "1 of 1 proxies have it").await;
    let idle = status.0["validationMessages"].as_array().unwrap();
    assert_eq!(idle.len(), 1, "{:#}", status.0);
    let said = "spec.configPatches[1].match: matches nothing that the connected proxies are told";
    assert_eq!(idle[0]["message"], said);

    mesh.put(&filter("poison"));
    let status = mesh.status(&name, |s| s.reason("Programmed") == "Refused").await;
    let message = status.message("Programmed");
    for part in
        ["1 of 1 proxies", "shop/cart-0", "cds outbound|", "alt_stat_name is poison", "last good version"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
    // Everything else goes on there.
    mesh.put(&tagged("cart", "cart", "cart-one"));
    proxy.routes("the route", |r| r.contains("cart-one")).await;

    mesh.put(&filter("cured"));
    mesh.status(&name, |s| s.message("Programmed") == "1 of 1 proxies have it").await;
    mesh.control.stop().await;
}
