//! The client's side of delta ADS, without I/O: what to ask, what came, what to answer.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::nack::{self, ResourceError};
use crate::wire::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, WireResource};

/// What is wanted of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Every resource that there is.
    Wildcard,
    /// These, besides what was asked for before.
    Names(Vec<String>),
}

/// One resource as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Name within its type.
    pub name: Arc<str>,
    /// Version as the server gave it.
    pub version: Box<str>,
    /// The encoded message, without its `Any`.
    pub payload: Bytes,
}

/// One response, to be applied and then answered with [`ClientCore::answer`].
#[derive(Debug)]
pub struct Update {
    /// Type of everything in it.
    pub type_url: Arc<str>,
    /// New and changed resources.
    pub changed: Vec<Received>,
    /// Names that are gone, or that were asked for and do not exist.
    pub removed: Vec<Arc<str>>,
    /// What the answer needs.
    pub ticket: Ticket,
}

/// Identifies a response while it waits for its answer.
#[derive(Debug)]
pub struct Ticket {
    session: u64,
    type_index: usize,
    nonce: String,
    changed: Vec<(Arc<str>, Box<str>)>,
    removed: Vec<Arc<str>>,
    /// Refusals that were found while decoding.
    broken: Vec<ResourceError>,
}

struct Type {
    url: Arc<str>,
    wildcard: bool,
    names: BTreeSet<Arc<str>>,
    /// What the application accepted.
    versions: HashMap<Arc<str>, Box<str>>,
    /// Whether the first request of this session went out.
    started: bool,
}

/// The state of one client over all its sessions.
pub struct ClientCore {
    node: Bytes,
    types: Vec<Type>,
    session: u64,
    connected: bool,
    node_sent: bool,
    requests: VecDeque<DeltaDiscoveryRequest>,
    /// What is told the server unasked, by type, and is told again on each new stream.
    reports: BTreeMap<String, Option<String>>,
}

impl ClientCore {
    /// A client that is not connected and wants nothing. `node` is the encoded `envoy.config.core.v3.Node`.
    pub fn new(node: Bytes) -> Self {
        Self {
            node,
            types: Vec::new(),
            session: 0,
            connected: false,
            node_sent: false,
            requests: VecDeque::new(),
            reports: BTreeMap::new(),
        }
    }

    /// Adds to what is wanted of a type. Types are asked for in the order in which they were first named.
    pub fn subscribe(&mut self, type_url: &str, interest: Interest) {
        let index = self.index_of(type_url);
        let kind = &mut self.types[index];
        let mut new: Vec<String> = Vec::new();
        match interest {
            Interest::Wildcard if kind.wildcard => {}
            Interest::Wildcard => {
                kind.wildcard = true;
                new.push("*".to_owned());
            }
            Interest::Names(names) => {
                for name in names {
                    let shared: Arc<str> = name.as_str().into();
                    if kind.names.insert(shared) {
                        new.push(name);
                    }
                }
            }
        }
        if !self.connected {
            return;
        }
        if !kind.started {
            self.first_request(index);
        } else if !new.is_empty() {
            let request = DeltaDiscoveryRequest { resource_names_subscribe: new, ..self.request(index) };
            self.push(request);
        }
    }

    /// Drops names of a type; what is known about them is forgotten.
    pub fn unsubscribe(&mut self, type_url: &str, names: &[String]) {
        let index = self.index_of(type_url);
        let kind = &mut self.types[index];
        let mut gone = Vec::new();
        for name in names {
            if kind.names.remove(name.as_str()) {
                if !kind.wildcard {
                    kind.versions.remove(name.as_str());
                }
                gone.push(name.clone());
            }
        }
        if self.connected && kind.started && !gone.is_empty() {
            let request = DeltaDiscoveryRequest { resource_names_unsubscribe: gone, ..self.request(index) };
            self.push(request);
        }
    }

    /// A new stream is open: queues the first request of every type, with the versions already held.
    pub fn connected(&mut self) {
        self.connected = true;
        for index in 0..self.types.len() {
            self.first_request(index);
        }
        for (type_url, problem) in self.reports.clone() {
            self.push_report(type_url, problem);
        }
    }

    /// Tells the server how something stands that it does not ask for, under a type of its own: well, or what is wrong. The last
    /// report of a type is repeated on each new stream.
    pub fn report(&mut self, type_url: &str, problem: Option<String>) {
        self.reports.insert(type_url.to_owned(), problem.clone());
        if self.connected {
            self.push_report(type_url.to_owned(), problem);
        }
    }

    fn push_report(&mut self, type_url: String, problem: Option<String>) {
        let error_detail = problem.map(nack::whole);
        self.push(DeltaDiscoveryRequest { type_url, error_detail, ..Default::default() });
    }

    /// The stream is gone. Nothing that was accepted is forgotten.
    pub fn disconnected(&mut self) {
        self.session += 1;
        self.connected = false;
        self.node_sent = false;
        self.requests.clear();
        for kind in &mut self.types {
            kind.started = false;
        }
    }

    /// Reads a response. `None` when it needs no work of the application: a type that was never asked for (ignored), or
    /// one that cannot be decoded (refused).
    pub fn response(&mut self, response: DeltaDiscoveryResponse) -> Option<Update> {
        let type_index = self.types.iter().position(|t| *t.url == *response.type_url)?;
        let kind = &self.types[type_index];
        let mut changed: Vec<Received> = Vec::with_capacity(response.resources.len());
        let mut broken: Vec<ResourceError> = Vec::new();
        for bytes in response.resources {
            match read_resource(bytes, &kind.url) {
                Ok(received) if kind.wants(&received.name) => changed.push(received),
                Ok(_) => {}
                Err(Unreadable::Named(error)) => broken.push(error),
                Err(Unreadable::Whole(message)) => {
                    let refusal = DeltaDiscoveryRequest {
                        response_nonce: response.nonce,
                        error_detail: Some(nack::whole(message)),
                        ..self.request(type_index)
                    };
                    self.push(refusal);
                    return None;
                }
            }
        }
        let removed: Vec<Arc<str>> =
            response.removed_resources.iter().map(|n| Arc::from(n.as_str())).collect();
        let ticket = Ticket {
            session: self.session,
            type_index,
            nonce: response.nonce,
            changed: changed.iter().map(|r| (r.name.clone(), r.version.clone())).collect(),
            removed: removed.clone(),
            broken,
        };
        Some(Update { type_url: kind.url.clone(), changed, removed, ticket })
    }

    /// Answers a response: with no errors it is accepted, otherwise the resources named are refused and the others accepted.
    ///
    /// An answer that comes after its stream has ended is remembered, so that the next stream begins with it.
    pub fn answer(&mut self, ticket: Ticket, mut errors: Vec<ResourceError>) {
        let Ticket { session, type_index, nonce, changed, removed, broken } = ticket;
        errors.extend(broken);
        let kind = &mut self.types[type_index];
        for name in removed {
            kind.versions.remove(&name);
        }
        for (name, version) in changed {
            if !errors.iter().any(|e| *e.name == *name) && kind.wants(&name) {
                kind.versions.insert(name, version);
            }
        }
        if session != self.session {
            return;
        }
        let request = DeltaDiscoveryRequest {
            response_nonce: nonce,
            error_detail: (!errors.is_empty()).then(|| nack::status(&errors)),
            ..self.request(type_index)
        };
        self.push(request);
    }

    /// The next request to send.
    pub fn next_request(&mut self) -> Option<DeltaDiscoveryRequest> {
        self.requests.pop_front()
    }

    /// The version of a resource that was last accepted.
    pub fn version(&self, type_url: &str, name: &str) -> Option<&str> {
        let kind = self.types.iter().find(|t| *t.url == *type_url)?;
        kind.versions.get(name).map(AsRef::as_ref)
    }

    /// Starts out with a resource that was accepted in an earlier life of this process (the last good configuration): it
    /// is offered to the server, which then sends only what has changed.
    pub fn remember(&mut self, type_url: &str, name: &str, version: &str) {
        let index = self.index_of(type_url);
        self.types[index].versions.insert(name.into(), version.into());
    }

    fn index_of(&mut self, type_url: &str) -> usize {
        if let Some(index) = self.types.iter().position(|t| *t.url == *type_url) {
            return index;
        }
        self.types.push(Type {
            url: type_url.into(),
            wildcard: false,
            names: BTreeSet::new(),
            versions: HashMap::new(),
            started: false,
        });
        self.types.len() - 1
    }

    fn first_request(&mut self, index: usize) {
        let kind = &mut self.types[index];
        if !kind.wildcard && kind.names.is_empty() {
            return;
        }
        kind.started = true;
        let mut subscribe: Vec<String> = kind.names.iter().map(|n| n.as_ref().to_owned()).collect();
        if kind.wildcard && !subscribe.is_empty() {
            // An empty list says the same, in the way that every server knows.
            subscribe.push("*".to_owned());
        }
        let held = kind.versions.iter().filter(|(name, _)| kind.wants(name));
        let initial_resource_versions: BTreeMap<String, String> =
            held.map(|(name, version)| (name.as_ref().to_owned(), version.as_ref().to_owned())).collect();
        let request = DeltaDiscoveryRequest {
            resource_names_subscribe: subscribe,
            initial_resource_versions,
            ..self.request(index)
        };
        self.push(request);
    }

    fn request(&self, index: usize) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest { type_url: self.types[index].url.as_ref().to_owned(), ..Default::default() }
    }

    fn push(&mut self, mut request: DeltaDiscoveryRequest) {
        if !self.node_sent {
            request.node = Some(self.node.clone());
            self.node_sent = true;
        }
        self.requests.push_back(request);
    }
}

impl Type {
    fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }
}

enum Unreadable {
    Named(ResourceError),
    Whole(String),
}

fn read_resource(bytes: Bytes, type_url: &str) -> Result<Received, Unreadable> {
    let wire = WireResource::decode(bytes)
        .map_err(|e| Unreadable::Whole(format!("a resource of type {type_url} cannot be decoded: {e}")))?;
    let Some(any) = wire.resource else {
        return Err(Unreadable::Named(ResourceError::new(wire.name, "the resource has no content")));
    };
    if any.type_url != type_url {
        let message = format!("the resource is of type {}, not {type_url}", any.type_url);
        return Err(Unreadable::Named(ResourceError::new(wire.name, message)));
    }
    Ok(Received { name: wire.name.into(), version: wire.version.into(), payload: any.value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resource;

    const T: &str = "type.googleapis.com/t";

    fn drain(core: &mut ClientCore) -> Vec<DeltaDiscoveryRequest> {
        std::iter::from_fn(|| core.next_request()).collect()
    }

    fn response(nonce: &str, resources: &[(&str, &str)], removed: &[&str]) -> DeltaDiscoveryResponse {
        DeltaDiscoveryResponse {
            type_url: T.into(),
            nonce: nonce.into(),
            resources: resources
                .iter()
                .map(|(n, v)| Resource::new(T, *n, Bytes::copy_from_slice(v.as_bytes())).encoded().clone())
                .collect(),
            removed_resources: removed.iter().map(|n| (*n).to_owned()).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_session_and_the_next() {
        let mut core = ClientCore::new(Bytes::from_static(b"n"));
        core.subscribe(T, Interest::Wildcard);
        assert!(core.next_request().is_none());
        core.connected();
        let first = drain(&mut core);
        assert_eq!(first.len(), 1);
        assert!(first[0].node.is_some() && first[0].resource_names_subscribe.is_empty());

        let update = core.response(response("1", &[("a", "1"), ("b", "1")], &[])).unwrap();
        assert_eq!(update.changed.len(), 2);
        core.answer(update.ticket, vec![ResourceError::new("b", "bad")]);
        let answer = drain(&mut core).remove(0);
        assert_eq!(answer.response_nonce, "1");
        assert!(answer.error_detail.unwrap().message.contains("b: bad"));
        assert!(answer.node.is_none());

        // An answer after the stream's end still counts.
        let late = core.response(response("2", &[("c", "1")], &[])).unwrap();
        core.disconnected();
        core.answer(late.ticket, vec![]);
        assert!(core.next_request().is_none());
        core.connected();
        let again = drain(&mut core).remove(0);
        let names: Vec<_> = again.initial_resource_versions.keys().cloned().collect();
        assert_eq!(names, ["a", "c"]);
        assert!(again.node.is_some());
    }

    #[test]
    fn reports_are_repeated_on_each_new_stream() {
        let mut core = ClientCore::new(Bytes::from_static(b"n"));
        core.report("health", Some("down".into()));
        assert!(core.next_request().is_none());
        core.connected();
        let told = drain(&mut core);
        assert_eq!((told.len(), told[0].type_url.as_str(), told[0].node.is_some()), (1, "health", true));
        assert_eq!(told[0].error_detail.as_ref().unwrap().message, "down");
        core.report("health", None);
        assert!(drain(&mut core)[0].error_detail.is_none());
        core.disconnected();
        core.connected();
        assert_eq!(drain(&mut core).len(), 1);
    }

    #[test]
    fn only_differences_of_names_are_sent() {
        let mut core = ClientCore::new(Bytes::new());
        core.connected();
        core.subscribe(T, Interest::Names(vec!["a".into()]));
        core.subscribe(T, Interest::Names(vec!["a".into(), "b".into()]));
        core.unsubscribe(T, &["a".into(), "z".into()]);
        let requests = drain(&mut core);
        let lists: Vec<_> = requests
            .iter()
            .map(|r| (r.resource_names_subscribe.clone(), r.resource_names_unsubscribe.clone()))
            .collect();
        let s = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(lists, [(s(&["a"]), s(&[])), (s(&["b"]), s(&[])), (s(&[]), s(&["a"]))]);
        // What nobody asked for is left aside, and is not an error.
        let update = core.response(response("1", &[("a", "1"), ("b", "1")], &[])).unwrap();
        assert_eq!(update.changed.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let mut core = ClientCore::new(Bytes::new());
        core.connected();
        core.subscribe(T, Interest::Wildcard);
        drain(&mut core);
        let mut garbage = response("1", &[], &[]);
        garbage.resources.push(Bytes::from_static(b"\xff\xff\xff"));
        assert!(core.response(garbage).is_none());
        assert!(drain(&mut core)[0].error_detail.is_some());

        let mut foreign = response("2", &[("good", "1")], &[]);
        foreign
            .resources
            .push(Resource::new("type.googleapis.com/other", "odd", Bytes::new()).encoded().clone());
        let update = core.response(foreign).unwrap();
        core.answer(update.ticket, vec![]);
        assert!(drain(&mut core)[0].error_detail.as_ref().unwrap().message.contains("odd"));
        assert!(core.version(T, "good").is_some());

        let unknown = DeltaDiscoveryResponse { type_url: "x".into(), ..Default::default() };
        assert!(core.response(unknown).is_none());
        assert!(core.next_request().is_none());
    }
}
