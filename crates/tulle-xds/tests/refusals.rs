//! What a server does with refusals: who is meant, what goes on, and how far a stream is.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use tulle_xds::server::{
    Catalog, Change, CoreEvent, Layers, Limits, Protocol, Refusal, Response, ServerCore, SetId, StreamId,
    StreamOptions, TypeConfig,
};
use tulle_xds::wire::{DeltaDiscoveryRequest, WireResource};
use tulle_xds::{Resource, nack};

const STREAM: StreamId = StreamId(1);

/// A client that refuses a whole response without naming anything when one of its resources is bad.
struct Mute {
    core: ServerCore,
    set: SetId,
    held: BTreeMap<String, String>,
    bad: Vec<&'static str>,
    refusals: Vec<Refusal>,
    responses: usize,
}

impl Mute {
    fn new(bad: &[&'static str]) -> Self {
        let catalog = Catalog::new(vec![TypeConfig::ordered("t", 0).with_full_state()]);
        let kind = catalog.find("t").unwrap();
        let mut core = ServerCore::new(catalog, Limits::default(), "test");
        let set = core.create_set(kind);
        let options = StreamOptions { protocol: Protocol::Delta, rewarm: false };
        core.open(STREAM, options, vec![Layers::from([set])]);
        Self { core, set, held: BTreeMap::new(), bad: bad.to_vec(), refusals: Vec::new(), responses: 0 }
    }

    fn put(&mut self, epoch: u64, names: &[&str], value: &str) {
        self.core.begin(epoch);
        let changes = names.iter().map(|name| {
            let body = Bytes::from(format!("{name}={value}"));
            Change::Put(Arc::new(Resource::new("t", *name, body)))
        });
        self.core.update(self.set, changes, Instant::now());
    }

    fn ask(&mut self, nonce: String, error: bool) {
        let request = DeltaDiscoveryRequest {
            type_url: "t".into(),
            response_nonce: nonce,
            error_detail: error.then(|| nack::whole("Proto constraint validation failed")),
            ..Default::default()
        };
        self.core.delta_request(STREAM, request, Instant::now()).unwrap();
    }

    fn settle(&mut self) {
        while let Some(out) = self.core.poll(Instant::now()) {
            let Response::Delta(response) = out.response else { panic!("asked for deltas") };
            self.responses += 1;
            let read: Vec<(String, String)> = response
                .resources
                .iter()
                .map(|bytes| {
                    let r = WireResource::decode(bytes.clone()).unwrap();
                    (r.name, String::from_utf8(r.resource.unwrap().value.to_vec()).unwrap())
                })
                .collect();
            let refuse = read.iter().any(|(_, body)| self.bad.contains(&body.as_str()));
            if !refuse {
                self.held.extend(read);
            }
            self.ask(response.nonce, refuse);
        }
        while let Some(event) = self.core.next_event() {
            if let CoreEvent::Refused { errors, .. } = event {
                self.refusals.extend(errors);
            }
        }
    }
}

#[test]
fn a_response_refused_as_a_whole_is_taken_apart_until_the_culprit_is_known() {
    let names: Vec<String> = (0..40).map(|i| format!("r{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut client = Mute::new(&["r07=1", "r31=1"]);
    client.put(1, &names, "1");
    client.ask(String::new(), false);
    client.settle();
    let culprits: Vec<&str> = client.refusals.iter().map(|r| r.error.name.as_str()).collect();
    assert_eq!(culprits, ["r07", "r31"]);
    assert_eq!(client.held.len(), 38, "everything else is in force");
    assert!(client.responses < 30, "{} responses for two culprits among 40", client.responses);
    assert!(client.refusals.iter().all(|r| r.since == 0), "nothing of them was ever accepted");
    assert_eq!(client.core.reached(STREAM), CoreEvent::SETTLED);
}

#[test]
fn a_refusal_says_since_when_the_resource_is_not_in_force() {
    let mut client = Mute::new(&["a=bad", "a=worse"]);
    client.put(1, &["a", "b"], "1");
    client.ask(String::new(), false);
    client.settle();
    client.put(5, &["a"], "bad");
    client.settle();
    client.put(9, &["a"], "worse");
    client.settle();
    let seen: Vec<u64> = client.refusals.iter().map(|r| r.since).collect();
    assert_eq!(seen, [5, 5], "the last good one is from before epoch 5");
    client.put(12, &["a"], "good");
    client.settle();
    assert_eq!(client.held["a"], "a=good");
    client.bad = vec!["a=again"];
    client.put(15, &["a"], "again");
    client.settle();
    assert_eq!(client.refusals.last().unwrap().since, 15);
}

#[test]
fn a_stream_tells_up_to_which_change_it_has_answered() {
    let mut client = Mute::new(&[]);
    client.put(3, &["a"], "1");
    assert_eq!(client.core.reached(STREAM), 0, "nothing was asked for");
    client.ask(String::new(), false);
    assert_eq!(client.core.reached(STREAM), 0, "nothing was answered");
    client.settle();
    assert_eq!(client.core.reached(STREAM), CoreEvent::SETTLED);
    client.put(7, &["a"], "2");
    client.put(8, &["b"], "2");
    assert_eq!(client.core.reached(STREAM), 6, "both are owed");
    let first = client.core.poll(Instant::now()).unwrap();
    client.put(9, &["a"], "3");
    assert_eq!(client.core.reached(STREAM), 6, "they are on their way");
    let Response::Delta(response) = first.response else { panic!("asked for deltas") };
    client.ask(response.nonce, false);
    assert_eq!(client.core.reached(STREAM), 8, "the last one is owed");
    client.settle();
    assert_eq!(client.core.reached(STREAM), CoreEvent::SETTLED);
}
