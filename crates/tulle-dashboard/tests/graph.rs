//! The graph of ticks that are known.

use std::collections::BTreeSet;

use tulle_dashboard::graph::{Homes, Routed, Rule, graph, to_json};
use tulle_dashboard::store::{Buckets, Description, Kind, Limits, SeriesRef, SourceRef, Store, Tick, Value};

const BEGIN: i64 = 1_700_000_000_000;

struct Proxy<'a> {
    store: &'a Store,
    source: SourceRef,
    pod: &'static str,
    up: SeriesRef,
}

impl<'a> Proxy<'a> {
    fn new(store: &'a Store, pod: &'static str) -> Self {
        let source = store.source(pod);
        let labels = [("namespace", "shop"), ("pod", pod)];
        let up = Description { name: "up", kind: Kind::Gauge, labels: &labels, bounds: &[] };
        let up = store.define(source, &up).expect("room");
        Self { store, source, pod, up }
    }

    fn series(&self, name: &str, kind: Kind, labels: &[(&str, &str)]) -> SeriesRef {
        let own = [("namespace", "shop"), ("pod", self.pod)];
        let labels: Vec<_> = own.into_iter().chain(labels.iter().copied()).collect();
        let bounds: &[f64] = if kind == Kind::Histogram { &[10.0, 100.0] } else { &[] };
        self.store.define(self.source, &Description { name, kind, labels: &labels, bounds }).expect("room")
    }

    fn tick(&self, time: i64, changed: &[(SeriesRef, f64)]) {
        let mut all = vec![(self.up, Value::Number(1.0))];
        all.extend(changed.iter().map(|(s, v)| (*s, Value::Number(*v))));
        self.store.tick(self.source, &Tick { time, changed: &all }).expect("in order");
    }
}

const CART: [(&str, &str); 8] = [
    ("source_workload", "web"),
    ("source_workload_namespace", "shop"),
    ("destination_workload", "cart"),
    ("destination_workload_namespace", "shop"),
    ("destination_service", "cart.shop.svc.cluster.local"),
    ("destination_service_name", "cart"),
    ("destination_service_namespace", "shop"),
    ("request_protocol", "http"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    CART.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn rates_errors_and_security_of_an_edge() {
    let store = Store::new(Limits::default());
    let (web, cart) = (Proxy::new(&store, "web-1"), Proxy::new(&store, "cart-1"));
    let good = |proxy: &Proxy<'_>, reporter, policy| {
        let more = [
            ("reporter", reporter),
            ("response_code", "200"),
            ("response_flags", "-"),
            ("connection_security_policy", policy),
        ];
        proxy.series("istio_requests_total", Kind::Counter, &with(&more))
    };
    let (sent, came) = (good(&web, "source", "unknown"), good(&cart, "destination", "mutual_tls"));
    let more = [("reporter", "source"), ("response_code", "503"), ("response_flags", "UO")];
    let overflow = web.series("istio_requests_total", Kind::Counter, &with(&more));
    let duration =
        web.series("istio_request_duration_milliseconds", Kind::Histogram, &with(&[("reporter", "source")]));
    for i in 0..20_i32 {
        let time = BEGIN + i64::from(i) * 5_000;
        let mut changed = vec![(sent, f64::from(i) * 50.0)];
        // Refused by the breaker since the last minute's middle: these never came.
        if i > 13 {
            changed.push((overflow, f64::from(i - 13) * 10.0));
        }
        web.tick(time, &changed);
        let value = Value::Histogram(Buckets {
            counts: Box::new([u64::from(i.unsigned_abs()) * 50, 0, 0]),
            sum: 1.0,
        });
        // In the same tick as everything else, that is a moment later here.
        store.tick(web.source, &Tick { time: time + 1, changed: &[(duration, value)] }).expect("in order");
        cart.tick(time + 700, &[(came, f64::from(i) * 50.0)]);
    }
    let now = BEGIN + 97_000;
    let json = to_json(&graph(&store, now, 60_000, 1_000, &|_| None).expect("few"));
    let edge = &json["edges"][0];
    assert_eq!(json["edges"].as_array().map(Vec::len), Some(1), "{json}");
    let about = |name: &str, wanted: f64| {
        let got = edge[name].as_f64().unwrap_or(f64::NAN);
        assert!((got - wanted).abs() < 0.01 * wanted.max(0.1), "{name}: {got} for {wanted} in {edge}");
    };
    assert_eq!((&edge["source"], &edge["target"]), (&"shop/web".into(), &"shop/cart".into()));
    assert_eq!((&edge["service"], &edge["reporter"]), (&"service:shop/cart".into(), &"source".into()));
    about("rate", 11.0);
    about("errors", 1.0);
    about("errorRate", 1.0 / 11.0);
    about("mtls", 1.0);
    about("p50", 5.0);
    assert!((edge["flags"]["UO"].as_f64().unwrap_or(0.0) - 1.0).abs() < 0.01, "{edge}");
    let kinds: Vec<&str> =
        json["nodes"].as_array().into_iter().flatten().filter_map(|n| n["kind"].as_str()).collect();
    assert_eq!(kinds, ["service", "workload", "workload"]);
}

#[test]
fn a_young_proxy_is_measured_over_what_there_is_and_a_silent_one_is_gone() {
    let store = Store::new(Limits::default());
    let web = Proxy::new(&store, "web-1");
    web.tick(BEGIN, &[]);
    let more = [("reporter", "source"), ("response_code", "0"), ("destination_workload", "unknown")];
    let labels: Vec<_> = with(&more).into_iter().filter(|l| *l != ("destination_workload", "cart")).collect();
    let series = web.series("istio_requests_total", Kind::Counter, &labels);
    web.tick(BEGIN + 5_000, &[(series, 100.0)]);
    let json = to_json(&graph(&store, BEGIN + 6_000, 60_000, 1_000, &|_| None).expect("few"));
    let edge = &json["edges"][0];
    assert_eq!((edge["rate"].as_f64(), edge["errorRate"].as_f64()), (Some(20.0), Some(1.0)), "{json}");
    assert_eq!((&edge["target"], &edge["mtls"]), (&"service:shop/cart".into(), &serde_json::Value::Null));
    let later = graph(&store, BEGIN + 60_000, 60_000, 1_000, &|_| None).expect("few");
    assert!(later.edges.is_empty() && later.nodes.is_empty());
}

/// Calls of cart, half of which end in a fault before an endpoint is chosen, as `homes` and the versions that were reached say.
fn half_fail(homes: &Homes<'_>, reached: &[&'static str]) -> serde_json::Value {
    let store = Store::new(Limits::default());
    let web = Proxy::new(&store, "web-1");
    web.tick(BEGIN, &[]);
    let to = |workload: &'static str, code: &'static str, flags: &'static str| {
        let more = [("reporter", "source"), ("response_code", code), ("response_flags", flags)];
        let labels: Vec<_> = with(&more)
            .into_iter()
            .map(
                |(name, value)| if name == "destination_workload" { (name, workload) } else { (name, value) },
            )
            .collect();
        web.series("istio_requests_total", Kind::Counter, &labels)
    };
    let mut changed = vec![(to("unknown", "503", "FI"), 50.0)];
    changed.extend(reached.iter().map(|workload| (to(workload, "200", "-"), 50.0)));
    web.tick(BEGIN + 5_000, &changed);
    to_json(&graph(&store, BEGIN + 6_000, 60_000, 1_000, homes).expect("few"))
}

/// Who is called, how often, which share fails, and which share for a fault.
fn calls(json: &serde_json::Value) -> Vec<(String, f64, f64, f64)> {
    let edges = json["edges"].as_array().into_iter().flatten();
    let of = |edge: &serde_json::Value| {
        let number = |value: &serde_json::Value| value.as_f64().unwrap_or(0.0);
        let target = edge["target"].as_str().unwrap_or_default().to_owned();
        (target, number(&edge["rate"]), number(&edge["errorRate"]), number(&edge["flags"]["FI"]))
    };
    let mut all: Vec<_> = edges.map(of).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn what_fails_before_it_has_an_endpoint_is_a_call_of_the_only_workload() {
    let one = ("shop/cart".to_owned(), 20.0, 0.5, 10.0);
    let json = half_fail(&|_| None, &["cart"]);
    assert_eq!(calls(&json), std::slice::from_ref(&one));
    let node = json["nodes"].as_array().and_then(|all| all.iter().find(|n| n["id"] == "shop/cart"));
    assert_eq!(node.and_then(|n| n["inbound"].as_f64()), Some(20.0), "{json}");
    let home = |all: &[&str]| Some(all.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>());
    assert_eq!(calls(&half_fail(&|_| home(&["shop/cart"]), &["cart"])), [one]);
    // All of them: the service's only workload is known though nothing came to it.
    let json = half_fail(&|_| home(&["shop/cart"]), &[]);
    assert_eq!(calls(&json), [("shop/cart".to_owned(), 10.0, 1.0, 10.0)]);
    let kinds: Vec<_> = json["nodes"].as_array().into_iter().flatten().map(|n| &n["kind"]).collect();
    assert_eq!(kinds, ["service", "workload", "workload"], "{json}");
}

#[test]
fn whose_it_would_have_been_is_not_guessed() {
    let service = ("service:shop/cart".to_owned(), 10.0, 1.0, 10.0);
    let good = |workload: &str| (format!("shop/{workload}"), 10.0, 0.0, 0.0);
    // Two were reached; or one was, of two that there are; or nothing is known.
    let two = [service.clone(), good("cart-v1"), good("cart-v2")];
    assert_eq!(calls(&half_fail(&|_| None, &["cart-v1", "cart-v2"])), two);
    let home = |_: &str| Some(["shop/cart-v1", "shop/cart-v2"].map(str::to_owned).into());
    assert_eq!(calls(&half_fail(&home, &["cart-v1"])), [service.clone(), good("cart-v1")]);
    assert_eq!(calls(&half_fail(&|_| None, &[])), [service]);
}

#[test]
fn rules_of_routes_are_measured_over_all_who_route() {
    let store = Store::new(Limits::default());
    let proxies = [Proxy::new(&store, "web-1"), Proxy::new(&store, "gateway-1")];
    let own = [
        ("route_kind", "VirtualService"),
        ("route_namespace", "shop"),
        ("route_name", "cart"),
        ("route_rule", "http[1]"),
    ];
    proxies.iter().for_each(|proxy| proxy.tick(BEGIN, &[]));
    for proxy in &proxies {
        let of = |protocol: &'static str, result: &'static str| {
            let labels: Vec<_> =
                own.into_iter().chain([("request_protocol", protocol), ("result", result)]).collect();
            proxy.series("tulle_route_requests_total", Kind::Counter, &labels)
        };
        let counted = [
            (of("http", "ok"), 10.0),
            (of("http", "refused"), 5.0),
            (of("http", "failed"), 20.0),
            (of("grpc", "failed"), 15.0),
        ];
        let duration = proxy.series("tulle_route_duration_milliseconds", Kind::Histogram, &own);
        proxy.tick(BEGIN + 5_000, &counted);
        let value = Value::Histogram(Buckets { counts: Box::new([50, 0, 0]), sum: 1.0 });
        store
            .tick(proxy.source, &Tick { time: BEGIN + 5_001, changed: &[(duration, value)] })
            .expect("in order");
    }
    let graph = graph(&store, BEGIN + 6_000, 60_000, 1_000, &|_| None).expect("few");
    assert!(graph.edges.is_empty() && graph.nodes.is_empty(), "nobody called anybody by them");
    let [kind, namespace, name, rule] = own.map(|(_, value)| value.to_owned());
    let Routed { calls, grpc } = &graph.rules[&Rule { kind, namespace, name, rule }];
    let about = |got: f64, wanted: f64| {
        assert!((got - wanted).abs() < 0.01 * wanted, "{got} for {wanted}: {calls:?}")
    };
    about(calls.count, 100.0);
    about(calls.rate, 20.0);
    about(calls.errors, 14.0);
    about(calls.refused, 2.0);
    about(*grpc, 6.0);
    about(calls.quantile(0.5).expect("they took time"), 5.0);
}
