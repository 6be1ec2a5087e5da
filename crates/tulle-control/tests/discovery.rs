//! Only namespaces that are selected are read.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[allow(dead_code, reason = "shared with tests that need more of it")]
mod one_proxy;

use std::sync::Arc;

use tulle_control::ControlPlane;
use tulle_proto::type_url;
use tulle_store::Memory;

use one_proxy::{CART, MESH, Proxy, config, node, put, slice};

fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n")
}

fn settings(mesh: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata: {{mesh: '{mesh}'}}\n"
    )
}

const OTHER: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: other, namespace: elsewhere}\nspec:\n  \
    clusterIP: 10.96.0.11\n  selector: {app: other}\n  ports: [{name: http, port: 80}]\n";
const OTHER_CLUSTER: &str = "outbound|80||other.elsewhere.svc.cluster.local";

fn knows(proxy: &Proxy, cluster: &str) -> bool {
    proxy.has(type_url::CLUSTER, cluster)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_that_are_not_selected_do_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Memory::new());
    let labelled = |ns: &str| "discoverySelectors: [{matchLabels: {team: NS}}]".replace("NS", ns);
    for yaml in
        [MESH, &slice(&["10.244.0.5"]), &namespace("shop", "team: a"), &namespace("elsewhere", ""), OTHER]
    {
        put(&store, yaml).await;
    }
    put(&store, &settings(&labelled("a"))).await;
    let control = ControlPlane::start(config(dir.path()), store.clone()).await.unwrap();
    let mut proxy = Proxy::connect(control.plain, node("cart-0", "tulle"));
    proxy.until("the first configuration", |p| p.endpoints() == 1).await;
    assert!(!knows(&proxy, OTHER_CLUSTER), "it is in a namespace without the label");
    // A namespace comes with its label, and goes with it.
    put(&store, &namespace("elsewhere", "team: a")).await;
    proxy.until("the other service", |p| knows(p, OTHER_CLUSTER)).await;
    put(&store, &namespace("elsewhere", "team: b")).await;
    proxy.until("its end", |p| !knows(p, OTHER_CLUSTER)).await;
    // What is written there meanwhile does not count, and is there when it does.
    put(&store, &OTHER.replace("port: 80", "port: 81")).await;
    // Other selectors, by expression: one namespace comes, the other one goes.
    let expression = "discoverySelectors: [{matchExpressions: [{key: team, operator: In, values: [b]}]}]";
    put(&store, &settings(expression)).await;
    let at_81 = OTHER_CLUSTER.replace("|80|", "|81|");
    proxy.until("another choice", |p| knows(p, &at_81) && !knows(p, CART)).await;
    // Without selectors all of them are read.
    put(&store, &settings("connectTimeout: 7s")).await;
    proxy.until("everything", |p| knows(p, &at_81) && knows(p, CART) && p.endpoints() == 1).await;
    control.stop().await;
}
