//! EnvoyFilters and RateLimits reach the proxies that they are for, and leave them again.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use support::{Mesh, Proxy, accept_all, services};
use tulle_base::ResourceRef;
use tulle_proto::envoy::http_connection_manager::{HttpConnectionManager, http_filter};
use tulle_proto::envoy::listener::{Listener, filter};
use tulle_proto::envoy::local_ratelimit::LocalRateLimit;
use tulle_proto::{type_url, unpack};

type Held = BTreeMap<(String, String), Bytes>;

fn has(held: &Held, cluster: &str) -> bool {
    held.contains_key(&(type_url::CLUSTER.to_owned(), cluster.to_owned()))
}

/// A filter that adds a cluster to what the workloads of `app` send to.
fn adding(name: &str, app: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  workloadSelector: {{labels: {{app: {app}}}}}\n  configPatches:\n  \
         - {{applyTo: CLUSTER, match: {{context: SIDECAR_OUTBOUND}}, patch: {{operation: ADD, value: {{name: {name}, type: STATIC}}}}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_filter_selects_may_change_at_any_time() {
    let mesh = Mesh::start(&services(&["cart", "pay"])).await;
    let carts = [Proxy::connect(&mesh, "cart-0", accept_all), Proxy::connect(&mesh, "cart-1", accept_all)];
    let pay = Proxy::connect(&mesh, "pay-0", accept_all);
    let outbound = "outbound|80||cart.shop.svc.cluster.local";
    pay.until("the first configuration", |h| has(h, outbound)).await;
    // Each proxy has what is for it and nothing else, whatever it shared with others before.
    let each = async |what: &str, one_for_carts: bool, two_for_carts: Option<bool>| {
        let right = |h: &Held, cart: bool| {
            has(h, outbound)
                && has(h, "one") == (cart == one_for_carts)
                && has(h, "two") == (two_for_carts == Some(cart))
        };
        for cart in &carts {
            cart.until(what, |h| right(h, true)).await;
        }
        pay.until(what, |h| right(h, false)).await;
    };
    mesh.put(&adding("one", "cart"));
    each("one for carts", true, None).await;
    mesh.put(&adding("two", "pay"));
    each("two for pay", true, Some(false)).await;
    mesh.put(&adding("one", "pay"));
    each("both for pay", false, Some(false)).await;
    mesh.put(&adding("two", "cart"));
    each("two for carts", false, Some(true)).await;
    let name = |name: &str| ResourceRef::new("networking.istio.io", "EnvoyFilter", "shop", name);
    let all_have = |n: u32| format!("{n} of {n} proxies have it");
    mesh.status(&name("two"), |s| s.message("Programmed") == all_have(2)).await;
    mesh.status(&name("one"), |s| s.message("Programmed") == all_have(1)).await;
    mesh.delete(&name("two"));
    each("two is gone", false, None).await;
    mesh.control.stop().await;
}

fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: cart, security.istio.io/tlsMode: istio}}}}\n\
         spec: {{containers: [{{name: a, image: x}}]}}\n\
         status: {{phase: Running, podIP: 10.244.0.{}, conditions: [{{type: Ready, status: 'True'}}]}}\n",
        name.len()
    )
}

/// The sizes of the buckets in what comes in.
fn bursts(held: &Held) -> Vec<u32> {
    let Some(bytes) = held.get(&(type_url::LISTENER.to_owned(), "virtualInbound".to_owned())) else {
        return Vec::new();
    };
    let listener = Listener::decode(bytes.clone()).unwrap();
    let network = listener.filter_chains.iter().flat_map(|c| &c.filters);
    let managers = network.filter_map(|f| match &f.config_type {
        Some(filter::ConfigType::TypedConfig(any)) => unpack::<HttpConnectionManager>(any).ok(),
        _ => None,
    });
    let configs = managers.flat_map(|m| m.http_filters).filter_map(|f| match f.config_type {
        Some(http_filter::ConfigType::TypedConfig(any)) => unpack::<LocalRateLimit>(&any).ok(),
        _ => None,
    });
    let mut all: Vec<u32> = configs.map(|c| c.token_bucket.unwrap().max_tokens).collect();
    all.dedup();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_limit_is_divided_again_as_pods_come_and_go() {
    let mesh = Mesh::start(&services(&["cart"])).await;
    mesh.put(&pod("cart-0"));
    let proxy = Proxy::connect(&mesh, "cart-0", accept_all);
    let other = Proxy::connect(&mesh, "pay-0", accept_all);
    mesh.put(
        "apiVersion: policy.tulle.dev/v1alpha1\nkind: RateLimit\nmetadata: {name: all, namespace: shop}\n\
         spec: {selector: {matchLabels: {app: cart}}, limits: [{name: all, requests: 100, burst: 12, scope: MESH}]}\n",
    );
    proxy.until("all of it", |h| bursts(h) == [12]).await;
    mesh.put(&pod("cart-11"));
    proxy.until("half", |h| bursts(h) == [6]).await;
    mesh.put(&pod("cart-222"));
    proxy.until("a third", |h| bursts(h) == [4]).await;
    mesh.delete(&ResourceRef::new("", "Pod", "shop", "cart-11"));
    proxy.until("half again", |h| bursts(h) == [6]).await;
    let name = ResourceRef::new("policy.tulle.dev", "RateLimit", "shop", "all");
    mesh.status(&name, |s| s.message("Programmed") == "1 of 1 proxies have it" && s.is("Accepted", "True"))
        .await;
    other.until("no limit for others", |h| !h.is_empty() && bursts(h).is_empty()).await;
    mesh.delete(&name);
    proxy.until("no limit", |h| bursts(h).is_empty()).await;
    mesh.control.stop().await;
}
