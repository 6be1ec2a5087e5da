//! Places of nodes: in order, apart, and still.

use std::collections::BTreeMap;
use std::time::Instant;

use tulle_dashboard::graph::{Edge, EdgeKey, Graph, Node, NodeKind};
use tulle_dashboard::layout::{Keeper, Layout, NODE};

fn graph(time: i64, calls: &[(&str, &str)]) -> Graph {
    let mut graph = Graph { time, window: 60_000, ..Graph::default() };
    for (from, to) in calls {
        for id in [from, to] {
            graph.nodes.insert((*id).to_owned(), node(id));
        }
        let key = EdgeKey {
            source: (*from).to_owned(),
            target: (*to).to_owned(),
            service: (*to).to_owned(),
            protocol: "http".to_owned(),
        };
        graph.edges.insert(key, Edge { rate: 1.0, ..Edge::default() });
    }
    graph
}

fn node(id: &str) -> Node {
    let (namespace, name) = id.split_once('/').unwrap_or(("", id));
    Node {
        kind: if namespace.is_empty() { NodeKind::External } else { NodeKind::Workload },
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        app: String::new(),
        version: String::new(),
        inbound: 0.0,
        outbound: 0.0,
    }
}

const BOOKS: [(&str, &str); 7] = [
    ("istio-system/ingress", "default/product"),
    ("default/product", "default/details"),
    ("default/product", "default/reviews-v1"),
    ("default/product", "default/reviews-v2"),
    ("default/product", "default/reviews-v3"),
    ("default/reviews-v2", "default/ratings"),
    ("default/reviews-v3", "default/ratings"),
];

fn apart(layout: &Layout) {
    let all: Vec<_> = layout.places.iter().collect();
    for (at, (a, pa)) in all.iter().enumerate() {
        for (b, pb) in &all[..at] {
            let free = (pa.0 - pb.0).abs() >= NODE.0 || (pa.1 - pb.1).abs() >= NODE.1;
            assert!(free, "{a} and {b} overlap: {pa:?} {pb:?}");
        }
    }
}

#[test]
fn calls_go_right_and_nodes_stand_in_the_frame_of_their_namespace() {
    let layout = Keeper::default().place(&graph(0, &BOOKS));
    let x = |id: &str| layout.places[id].0;
    assert!(
        x("istio-system/ingress") < x("default/product") && x("default/product") < x("default/reviews-v2")
    );
    assert!(x("default/reviews-v2") < x("default/ratings"));
    for (id, (x, y)) in &layout.places {
        let [left, top, width, height] = layout.frames[id.split('/').next().unwrap_or("")];
        assert!(*x - NODE.0 / 2.0 >= left && *x + NODE.0 / 2.0 <= left + width, "{id}");
        assert!(*y - NODE.1 / 2.0 >= top && *y + NODE.1 / 2.0 <= top + height, "{id}");
    }
    apart(&layout);
}

#[test]
fn the_same_calls_in_another_order_give_the_same_places() {
    let mut other = BOOKS;
    other.reverse();
    let (one, two) = (Keeper::default().place(&graph(0, &BOOKS)), Keeper::default().place(&graph(0, &other)));
    assert_eq!(one, two);
}

#[test]
fn a_small_change_moves_nothing() {
    let keeper = Keeper::default();
    let before = keeper.place(&graph(0, &BOOKS));
    // One call less: what stays, stays; and one that comes back is where it was.
    let fewer = keeper.place(&graph(5_000, &BOOKS[..6]));
    assert!(fewer.places.iter().all(|(id, place)| before.places[id] == *place));
    assert_eq!(keeper.place(&graph(10_000, &BOOKS)), before);
    // A new workload finds a place beside whom it calls.
    let mut more = BOOKS.to_vec();
    more.push(("default/batch", "default/ratings"));
    let grown = keeper.place(&graph(15_000, &more));
    assert!(before.places.iter().all(|(id, place)| grown.places[id] == *place));
    assert!(grown.places["default/batch"].0 < grown.places["default/ratings"].0);
    assert_eq!(grown.version, before.version);
    apart(&grown);
    // A whole new namespace is placed anew, and says so.
    more.push(("shop/web", "shop/cart"));
    assert!(keeper.place(&graph(20_000, &more)).version > grown.version);
}

#[test]
fn what_is_gone_for_long_is_forgotten() {
    let keeper = Keeper::default();
    keeper.place(&graph(0, &BOOKS));
    let later = keeper.place(&graph(3_600_000, &[("a/one", "a/two")]));
    assert_eq!(later.places.len(), 2);
    assert_eq!(later.frames.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_thousand_services_are_placed_apart() {
    let mut random = fastrand::Rng::with_seed(1);
    let names: Vec<String> = (0..1_000).map(|n| format!("ns{:02}/s{n}", n / 25)).collect();
    let mut calls: BTreeMap<(&str, &str), ()> = BTreeMap::new();
    for n in 0..1_000_usize {
        let room = n / 25 * 25;
        if n > room {
            calls.insert((&names[random.usize(room..n)], &names[n]), ());
        }
        let near = if n % 10 < 9 { Some(room + random.usize(0..25)) } else { None };
        let hub = (n % 10 < 3).then(|| random.usize(0..20) * 25);
        for to in near.into_iter().chain(hub).filter(|to| *to != n) {
            calls.insert((&names[n], &names[to]), ());
        }
    }
    let calls: Vec<_> = calls.into_keys().collect();
    let graph = graph(0, &calls);
    let began = Instant::now();
    let layout = Keeper::default().place(&graph);
    println!("{} nodes, {} calls: {:?}", layout.places.len(), calls.len(), began.elapsed());
    assert_eq!(layout.places.len(), 1_000);
    apart(&layout);
    let (right, bottom) =
        layout.frames.values().fold((0.0_f64, 0.0_f64), |(r, b), [x, y, w, h]| (r.max(x + w), b.max(y + h)));
    println!("picture of {right:.0} by {bottom:.0}");
    assert!((0.3..4.0).contains(&(right / bottom)), "{right} by {bottom}");
}
