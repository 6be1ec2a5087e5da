//! Endpoints of other networks: clients reach them through the gateways of those.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tulle_base::Locality;
use tulle_mesh::Snapshot;
use tulle_mesh::destination::{ClientTlsMode, Effective};
use tulle_mesh::endpoint::Endpoint;
use tulle_mesh::network::Entrance;
use tulle_mesh::service::Service;

/// The most by which weights are multiplied, so that they can be divided among gateways.
const MOST: u32 = 1000;

/// Whether clients speak the mesh's mutual TLS with endpoints of `service` that can. Nothing else passes through gateways: they go by its
/// server name.
pub(crate) fn may_pass(snapshot: &Snapshot, service: &Service, policy: &Effective<'_>) -> bool {
    match policy.tls {
        Some(tls) => tls.mode == ClientTlsMode::IstioMutual,
        None => snapshot.mesh().auto_mtls && !service.mesh_external,
    }
}

/// The endpoints as a client of `network` reaches them: those of a network with gateways at each of these, with its part of the weight;
/// without `pass`, and without mutual TLS, they are not reached.
pub(crate) fn reached<'a>(
    snapshot: &'a Snapshot,
    network: &str,
    pass: bool,
    endpoints: impl Iterator<Item = &'a Endpoint>,
) -> Vec<Cow<'a, Endpoint>> {
    if !snapshot.has_network_gateways() {
        return endpoints.filter(|e| !e.address.is_empty()).map(Cow::Borrowed).collect();
    }
    let with_entrances: Vec<(&Endpoint, Vec<Entrance>)> =
        endpoints.map(|e| (e, entrances(snapshot, network, e))).collect();
    let scale =
        with_entrances.iter().map(|(_, all)| u32::try_from(all.len()).unwrap_or(MOST)).fold(1, shared);
    let mut out = Vec::new();
    for (endpoint, entrances) in with_entrances {
        let weight = endpoint.weight.saturating_mul(scale);
        match u32::try_from(entrances.len()).unwrap_or(MOST) {
            // Reached directly, if it says where it is.
            0 if endpoint.address.is_empty() => {}
            0 if scale == 1 => out.push(Cow::Borrowed(endpoint)),
            0 => out.push(Cow::Owned(Endpoint { weight, ..endpoint.clone() })),
            ways if pass && endpoint.mtls_ready => {
                let share = (weight / ways).max(1);
                out.extend(entrances.into_iter().map(|at| Cow::Owned(behind(at, endpoint, share))));
            }
            _ => {}
        }
    }
    out
}

/// The ways to an endpoint; none where a client of `network` reaches it directly.
fn entrances(snapshot: &Snapshot, network: &str, endpoint: &Endpoint) -> Vec<Entrance> {
    let of = snapshot.network_of(
        &endpoint.network,
        &endpoint.labels,
        &endpoint.address,
        endpoint.workload.is_some(),
    );
    // Who says no network reaches everything, as in Istio.
    if of.is_empty() || network.is_empty() || of == network { Vec::new() } else { snapshot.entrances(of) }
}

/// The smallest number that both divide, but not more than [`MOST`].
fn shared(a: u32, b: u32) -> u32 {
    let (a, b) = (a.max(1), b.max(1));
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b).min(MOST)
}

/// An endpoint behind a gateway. What it is stays: subsets, priorities and identities go by that.
fn behind(at: Entrance, endpoint: &Endpoint, weight: u32) -> Endpoint {
    let Entrance { address, port, locality } = at;
    Endpoint {
        address,
        more: Vec::new(),
        port,
        weight,
        locality: if locality == Locality::default() { endpoint.locality.clone() } else { locality },
        // Which one takes a request is known behind the gateway alone.
        workload: None,
        ..endpoint.clone()
    }
}

/// Endpoints with their weights; those behind one gateway are one.
pub(crate) fn merged(endpoints: Vec<&Endpoint>) -> Vec<(&Endpoint, u32)> {
    let mut out: Vec<(&Endpoint, u32)> = Vec::with_capacity(endpoints.len());
    let mut places: HashMap<(&str, u16), usize> = HashMap::new();
    for endpoint in endpoints {
        if endpoint.workload.is_none() {
            match places.entry((&endpoint.address, endpoint.port)) {
                Entry::Occupied(at) => {
                    let weight = &mut out[*at.get()].1;
                    *weight = weight.saturating_add(endpoint.weight);
                    continue;
                }
                Entry::Vacant(at) => drop(at.insert(out.len())),
            }
        }
        out.push((endpoint, endpoint.weight));
    }
    out
}
