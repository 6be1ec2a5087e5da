//! The task that owns a [`ServerCore`]: gRPC streams on one side, whoever makes the resources on the other.
//!
//! Changes are sent at once. Only a stream that has not answered yet collects them; nobody waits for a timer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::catalog::{Catalog, TypeId};
use super::core::ServerCore;
use super::ids::{Protocol, SetId, StreamId, StreamOptions};
use super::layers::Layers;
use super::report::{CoreEvent, Limits, Response, TypeStatus, Violation};
use super::set::Change;
use crate::wire::{DeltaDiscoveryRequest, DiscoveryRequest};

/// Requests that may wait for a stream to be admitted.
const STASH: usize = 64;
/// Messages taken at once before responses are made.
const BURST: usize = 256;
/// How often streams that wait for others are looked at.
const TICK: Duration = Duration::from_millis(500);

/// Who is at the other end of a connection, as the transport knows it. Put into the request's extensions by the acceptor.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The leaf of its verified certificate chain, DER; none if it presented none.
    pub certificate: Option<Bytes>,
}

/// What a hub tells its owner.
#[derive(Debug)]
pub enum HubEvent {
    /// A client wants a stream. Answer with [`Hub::admit`] or [`Hub::refuse`]; its requests wait meanwhile.
    Opening {
        /// The stream.
        stream: StreamId,
        /// The encoded `envoy.config.core.v3.Node` of its first request.
        node: Bytes,
        /// Who asks.
        peer: Peer,
        /// How it asks.
        protocol: Protocol,
    },
    /// A stream is gone. Sent for every stream that was announced.
    Closed {
        /// The stream.
        stream: StreamId,
    },
    /// Something happened on an admitted stream.
    Core(CoreEvent),
    /// Everything up to this epoch was taken in, and what it means for each stream was told.
    Marked {
        /// The epoch.
        epoch: u64,
    },
    /// A response was handed to the transport.
    Sent {
        /// The stream.
        stream: StreamId,
        /// The type.
        kind: TypeId,
        /// Bytes of the resources in it.
        bytes: usize,
    },
    /// A client broke the protocol or a limit, and its stream was ended.
    Expelled {
        /// The stream.
        stream: StreamId,
        /// What it did.
        violation: Violation,
    },
}

/// How one stream stands.
#[derive(Clone, Debug)]
pub struct StreamSnapshot {
    /// The stream.
    pub stream: StreamId,
    /// Type by type.
    pub types: Vec<TypeStatus>,
    /// How far it is; see [`CoreEvent::Reached`].
    pub reached: u64,
}

pub(super) enum Request {
    Delta(DeltaDiscoveryRequest),
    StateOfTheWorld(DiscoveryRequest),
}

pub(super) type Outbox = mpsc::Sender<Result<Response, Status>>;

pub(super) enum FromStream {
    Open { stream: StreamId, node: Bytes, peer: Peer, protocol: Protocol, outbox: Outbox },
    Request { stream: StreamId, request: Request },
    Closed { stream: StreamId },
}

enum Command {
    InsertSet(SetId, TypeId),
    DropSet(SetId),
    Update(SetId, Vec<Change>, Instant),
    Admit(StreamId, StreamOptions, Vec<Layers>),
    Refuse(StreamId, Status),
    Rebind(StreamId, Vec<Layers>),
    Begin(u64),
    Mark,
    Snapshot(oneshot::Sender<Vec<StreamSnapshot>>),
}

/// A handle to the task. The task ends when every handle and every stream is gone.
#[derive(Clone)]
pub struct Hub {
    catalog: Catalog,
    commands: mpsc::UnboundedSender<Command>,
    next_set: Arc<AtomicU32>,
    pub(super) shared: Arc<Shared>,
}

/// What gRPC streams need.
pub(super) struct Shared {
    pub(super) to_hub: mpsc::Sender<FromStream>,
    pub(super) next_stream: AtomicU64,
    pub(super) streams: AtomicUsize,
    pub(super) max_streams: usize,
    pub(super) outbox: usize,
}

impl Hub {
    /// Starts the task. Must be called within a tokio runtime. At most `max_streams` streams are open at a time.
    pub fn start(
        catalog: Catalog,
        limits: Limits,
        max_streams: usize,
        identifier: &str,
    ) -> (Self, mpsc::UnboundedReceiver<HubEvent>) {
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let (to_hub, from_streams) = mpsc::channel(1024);
        let (events, event_receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            to_hub,
            next_stream: AtomicU64::new(1),
            streams: AtomicUsize::new(0),
            max_streams,
            // One response per type can be under way, and one final status.
            outbox: usize::from(catalog.len()) + 1,
        };
        let task = Task {
            core: ServerCore::new(catalog.clone(), limits, identifier),
            streams: HashMap::new(),
            events,
            marked: false,
        };
        tokio::spawn(task.run(command_receiver, from_streams));
        let next_set = Arc::new(AtomicU32::new(0));
        (Self { catalog, commands, next_set, shared: Arc::new(shared) }, event_receiver)
    }

    /// The types.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A new, empty set.
    pub fn create_set(&self, kind: TypeId) -> SetId {
        let id = SetId(self.next_set.fetch_add(1, Ordering::Relaxed));
        self.send(Command::InsertSet(id, kind));
        id
    }

    /// Forgets a set; no stream may be bound to it any more.
    pub fn drop_set(&self, id: SetId) {
        self.send(Command::DropSet(id));
    }

    /// Changes a set. `at` is when the change was made, for the time it takes to converge.
    pub fn update(&self, id: SetId, changes: Vec<Change>, at: Instant) {
        if !changes.is_empty() {
            self.send(Command::Update(id, changes, at));
        }
    }

    /// Lets a stream in on these sets: for each type of the catalogue, in its order, those that together are its resources.
    pub fn admit(&self, stream: StreamId, options: StreamOptions, sets: Vec<Layers>) {
        self.send(Command::Admit(stream, options, sets));
    }

    /// Ends a stream with a status, before or after it was admitted.
    pub fn refuse(&self, stream: StreamId, status: Status) {
        self.send(Command::Refuse(stream, status));
    }

    /// Moves a stream to other sets.
    pub fn rebind(&self, stream: StreamId, sets: Vec<Layers>) {
        self.send(Command::Rebind(stream, sets));
    }

    /// What is changed from now on belongs to `epoch`, which grows.
    pub fn begin(&self, epoch: u64) {
        self.send(Command::Begin(epoch));
    }

    /// Asks for [`HubEvent::Marked`] once everything up to here was taken in.
    pub fn mark(&self) {
        self.send(Command::Mark);
    }

    /// How every admitted stream stands.
    pub async fn snapshot(&self) -> Vec<StreamSnapshot> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Snapshot(reply));
        answer.await.unwrap_or_default()
    }

    /// How many streams are open.
    pub fn stream_count(&self) -> usize {
        self.shared.streams.load(Ordering::Relaxed)
    }

    fn send(&self, command: Command) {
        // The task outlives every handle, unless the runtime is being shut down.
        let _ = self.commands.send(command);
    }
}

enum State {
    /// Announced; its requests wait.
    Waiting(Vec<Request>),
    Admitted,
}

struct Line {
    outbox: Outbox,
    state: State,
}

struct Task {
    core: ServerCore,
    streams: HashMap<StreamId, Line>,
    events: mpsc::UnboundedSender<HubEvent>,
    /// Whether the epoch is to be told once everything is sent.
    marked: bool,
}

impl Task {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut from_streams: mpsc::Receiver<FromStream>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                message = from_streams.recv() => if let Some(message) = message { self.hear(message) },
                _ = tick.tick(), if self.core.has_blocked() => self.core.tick(Instant::now()),
            }
            for _ in 0..BURST {
                if let Ok(command) = commands.try_recv() {
                    self.obey(command);
                } else if let Ok(message) = from_streams.try_recv() {
                    self.hear(message);
                } else {
                    break;
                }
            }
            self.pump();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::InsertSet(id, kind) => self.core.insert_set(id, kind),
            Command::DropSet(id) => self.core.drop_set(id),
            Command::Update(id, changes, at) => self.core.update(id, changes, at),
            Command::Admit(stream, options, sets) => self.admit(stream, options, sets),
            Command::Refuse(stream, status) => self.end(stream, Some(status)),
            Command::Rebind(stream, sets) => self.core.rebind(stream, &sets, Instant::now()),
            Command::Begin(epoch) => self.core.begin(epoch),
            Command::Mark => self.marked = true,
            Command::Snapshot(reply) => {
                let admitted = self.streams.iter().filter(|(_, l)| matches!(l.state, State::Admitted));
                let snapshot = admitted
                    .map(|(id, _)| StreamSnapshot {
                        stream: *id,
                        types: self.core.status(*id),
                        reached: self.core.reached(*id),
                    })
                    .collect();
                // Whoever asked may have gone.
                let _ = reply.send(snapshot);
            }
        }
    }

    fn hear(&mut self, message: FromStream) {
        match message {
            FromStream::Open { stream, node, peer, protocol, outbox } => {
                self.streams.insert(stream, Line { outbox, state: State::Waiting(Vec::new()) });
                self.tell(HubEvent::Opening { stream, node, peer, protocol });
            }
            FromStream::Request { stream, request } => match self.streams.get_mut(&stream) {
                Some(Line { state: State::Waiting(stash), .. }) if stash.len() < STASH => stash.push(request),
                Some(Line { state: State::Waiting(_), .. }) => {
                    self.end(
                        stream,
                        Some(Status::resource_exhausted("too many requests before the first answer")),
                    );
                }
                Some(Line { state: State::Admitted, .. }) => self.request(stream, request),
                None => {}
            },
            FromStream::Closed { stream } => self.end(stream, None),
        }
    }

    fn admit(&mut self, stream: StreamId, options: StreamOptions, sets: Vec<Layers>) {
        let Some(line) = self.streams.get_mut(&stream) else { return };
        let State::Waiting(stash) = std::mem::replace(&mut line.state, State::Admitted) else { return };
        self.core.open(stream, options, sets);
        for request in stash {
            self.request(stream, request);
        }
    }

    fn request(&mut self, stream: StreamId, request: Request) {
        let now = Instant::now();
        let read = match request {
            Request::Delta(request) => self.core.delta_request(stream, request, now),
            Request::StateOfTheWorld(request) => self.core.sotw_request(stream, request, now),
        };
        if let Err(violation) = read {
            if violation != Violation::NotOpen {
                self.tell(HubEvent::Expelled { stream, violation: violation.clone() });
            }
            self.end(stream, Some(Status::resource_exhausted(violation.to_string())));
        }
    }

    fn end(&mut self, stream: StreamId, status: Option<Status>) {
        let Some(line) = self.streams.remove(&stream) else { return };
        self.core.close(stream);
        if let Some(status) = status {
            // Full only if the peer reads nothing; dropping the outbox then ends the stream without a reason.
            let _ = line.outbox.try_send(Err(status));
        }
        self.tell(HubEvent::Closed { stream });
    }

    fn pump(&mut self) {
        let now = Instant::now();
        while let Some(out) = self.core.poll(now) {
            let Some(line) = self.streams.get(&out.stream) else { continue };
            let bytes = out.response.payload_bytes();
            match line.outbox.try_send(Ok(out.response)) {
                Ok(()) => self.tell(HubEvent::Sent { stream: out.stream, kind: out.kind, bytes }),
                Err(_) => self.end(out.stream, None),
            }
        }
        while let Some(event) = self.core.next_event() {
            self.tell(HubEvent::Core(event));
        }
        if std::mem::take(&mut self.marked) {
            self.tell(HubEvent::Marked { epoch: self.core.epoch() });
        }
    }

    fn tell(&self, event: HubEvent) {
        // Nobody listens any more only while everything is being shut down.
        let _ = self.events.send(event);
    }
}
