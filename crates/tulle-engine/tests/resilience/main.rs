//! The state machines of resilience against simple models of them, over a day of virtual time: nobody sleeps.
//!
//! A model is written from Envoy's documentation, without regard to how the code does it, and is slow and plain. A seed
//! that fails is printed and replays exactly.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod breakers;
mod outlier;
mod panic;
mod retries;
mod timeouts;

use std::sync::Arc;

use tulle_base::Locality;
use tulle_engine::runtime::endpoint::{Endpoint, EndpointSet, Health, LocalityEndpoints};
use tulle_engine::runtime::net::Address;

/// Endpoints with these priorities and healths, each of weight 1, named by `first + index`.
pub(crate) fn endpoints(first: usize, list: &[(u32, Health)]) -> EndpointSet {
    let locality = Arc::new(Locality::default());
    let address = |i: usize| {
        let [.., b, c] = u64::try_from(first + i).unwrap().to_be_bytes();
        Address::Ip(([10, 0, b, c], 80).into())
    };
    let endpoints = list.iter().enumerate().map(|(i, (priority, health))| {
        Arc::new(Endpoint {
            address: address(i),
            additional_addresses: Vec::new(),
            hostname: "".into(),
            weight: 1,
            health: *health,
            locality: Arc::clone(&locality),
            priority: *priority,
            transport_socket_match: Default::default(),
            lb: Default::default(),
            workload: None,
            metadata: Default::default(),
            check: None,
        })
    });
    let priorities = list.iter().map(|(p, _)| p + 1).max().unwrap_or(0);
    let of = |priority| (0..).zip(list).filter(move |(_, e)| e.0 == priority).map(|(i, _)| i).collect();
    EndpointSet {
        name: "c".into(),
        endpoints: endpoints.collect(),
        localities: (0..priorities)
            .map(|priority| LocalityEndpoints {
                locality: Arc::clone(&locality),
                priority,
                weight: 1,
                endpoints: of(priority),
            })
            .collect(),
        priorities,
        overprovisioning_factor: 140,
        weighted_priority_health: false,
        drops: vec![],
        provenance: None,
    }
}
