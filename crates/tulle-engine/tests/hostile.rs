//! No bytes make the compilation panic: arbitrary ones, and realistic messages with bytes changed.

mod support;

use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message as _;
use serde_json::Value;
use tulle_engine::compile::{self, NoFiles};
use tulle_proto::envoy::{
    bootstrap::Bootstrap, cluster::Cluster, endpoint::ClusterLoadAssignment, listener::Listener,
    route::RouteConfiguration, tls::Secret,
};

static BOOTSTRAP: LazyLock<Bootstrap> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(include_str!("golden/benchmark.json")).expect("it is JSON");
    support::message(&document)
});

fn compile_all(bytes: &[u8]) {
    if let Ok(message) = Bootstrap::decode(bytes) {
        let _ = compile::bootstrap(&message, &NoFiles);
    }
    if let Ok(message) = Listener::decode(bytes) {
        let _ = compile::listener(&message, &NoFiles);
    }
    if let Ok(message) = Cluster::decode(bytes) {
        let _ = compile::cluster(&message, &NoFiles);
    }
    if let Ok(message) = RouteConfiguration::decode(bytes) {
        let _ = compile::routes(&message, &NoFiles);
    }
    if let Ok(message) = ClusterLoadAssignment::decode(bytes) {
        let _ = compile::endpoints(&message);
    }
    if let Ok(message) = Secret::decode(bytes) {
        let _ = compile::secret(&message);
    }
}

/// Changes bytes, or cuts and repeats a part.
fn mutate(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)], cut: Option<(usize, usize)>) -> Vec<u8> {
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    if let Some((from, len)) = cut {
        let from = from % bytes.len();
        let to = (from + len).min(bytes.len());
        let part = bytes[from..to].to_vec();
        bytes.splice(from..from, part);
    }
    bytes
}

/// Bytes to change, and a part to repeat.
type Changes = (Vec<(prop::sample::Index, u8)>, Option<(usize, usize)>);

fn changes() -> impl Strategy<Value = Changes> {
    (
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        prop::option::of((0..4096usize, 0..256usize)),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..Default::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        compile_all(&bytes);
    }

    #[test]
    fn listeners_with_changes(which in 0..3usize, (changes, cut) in changes()) {
        let listener = &BOOTSTRAP.static_resources.as_ref().expect("it has some").listeners[which];
        compile_all(&mutate(listener.encode_to_vec(), &changes, cut));
    }

    #[test]
    fn clusters_with_changes(which in 0..2usize, (changes, cut) in changes()) {
        let cluster = &BOOTSTRAP.static_resources.as_ref().expect("it has some").clusters[which];
        compile_all(&mutate(cluster.encode_to_vec(), &changes, cut));
    }

    #[test]
    fn bootstraps_with_changes((changes, cut) in changes()) {
        compile_all(&mutate(BOOTSTRAP.encode_to_vec(), &changes, cut));
    }
}
