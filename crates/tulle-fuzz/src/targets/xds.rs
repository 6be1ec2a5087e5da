//! Resources as a control plane sends them, compiled for the data path.

use prost::Message as _;
use tulle_engine::compile::{self, NoFiles};
use tulle_proto::envoy::{
    bootstrap::Bootstrap, cluster::Cluster, endpoint::ClusterLoadAssignment, listener::Listener,
    route::RouteConfiguration, tls::Secret,
};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "xds",
    run,
    words: &["\u{0}", "(", "a{1000}", "*", "%", "\u{8}\u{1}", "type.googleapis.com/"],
};

fn run(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    match choice % 6 {
        0 => drop(Listener::decode(rest).map(|m| compile::listener(&m, &NoFiles).is_ok())),
        1 => drop(Cluster::decode(rest).map(|m| compile::cluster(&m, &NoFiles).is_ok())),
        2 => drop(RouteConfiguration::decode(rest).map(|m| compile::routes(&m, &NoFiles).is_ok())),
        3 => drop(ClusterLoadAssignment::decode(rest).map(|m| compile::endpoints(&m).is_ok())),
        4 => drop(Secret::decode(rest).map(|m| compile::secret(&m).is_ok())),
        _ => drop(Bootstrap::decode(rest).map(|m| compile::bootstrap(&m, &NoFiles).is_ok())),
    }
}
