//! All workers together, as the main thread sees them.

use std::{collections::HashMap, io, net::SocketAddr, os::fd::OwnedFd, sync::Arc, thread::JoinHandle};

use tokio::sync::{mpsc, oneshot};
use tulle_base::drain::DrainState;
use tulle_engine::runtime::{
    Listener,
    net::{Address, ListenAddress},
};
use tulle_telemetry::metrics::{Idle, Snapshot};

use super::{
    Settings,
    query::{EndpointStatus, Query, Vitals},
    run,
    shared::SharedClusters,
    update::{Changes, Command, Update},
};
use crate::listener::bind::{ListenSocket, bind_shared, bind_unix, duplicate};
use crate::trace::kept::Observed;

/// The running workers. Dropping it stops them without waiting; [`Fleet::stop`] waits.
///
/// Belongs to the main thread, which alone binds sockets; everything it hands out is a message.
#[derive(Debug)]
pub struct Fleet {
    workers: Vec<Worker>,
    /// What is bound, under the listener's name.
    bound: HashMap<Arc<str>, Bound>,
    /// Clusters, and what workers share of them.
    clusters: SharedClusters,
    /// Host sockets that a listener with this address also accepts on.
    inherited: Vec<(SocketAddr, OwnedFd)>,
}

/// The addresses of one listener.
#[derive(Debug)]
struct Bound {
    /// As configured.
    wanted: Vec<ListenAddress>,
    /// As the kernel gave them, in the same order; those of the file system are not among them.
    actual: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// A listener whose socket could not be opened; everything else of the change is in force.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener}: cannot listen on {address}: {source}")]
pub struct BindError {
    /// Name of the listener.
    pub listener: Arc<str>,
    /// The address asked for.
    pub address: Address,
    /// What the kernel said.
    pub source: io::Error,
}

impl Fleet {
    /// Starts `settings.workers` threads (at least one). They have no configuration yet.
    ///
    /// # Errors
    /// When a thread or its event loop cannot be made.
    pub fn start(settings: Settings, inherited: Vec<(SocketAddr, OwnedFd)>) -> io::Result<Self> {
        let settings = Arc::new(settings);
        let mut fleet = Self {
            workers: Vec::new(),
            bound: HashMap::new(),
            clusters: SharedClusters::new(settings.started),
            inherited,
        };
        for id in 0..settings.workers.max(1) {
            let (commands, receiver) = mpsc::unbounded_channel();
            let settings = Arc::clone(&settings);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new()
                .name(format!("worker-{id}"))
                .spawn(move || run(id, &runtime, settings, receiver))?;
            fleet.workers.push(Worker { commands, thread: Some(thread) });
        }
        Ok(fleet)
    }

    /// How many workers there are.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Never: a fleet has at least one worker.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Puts a change in force on every worker, opening and closing sockets as listeners come and go. Returns at once; workers
    /// apply changes in the order of the calls.
    ///
    /// # Errors
    /// The listeners whose sockets could not be opened. Everything else is in force nevertheless.
    pub fn apply(&mut self, mut changes: Changes) -> Result<(), Vec<BindError>> {
        changes.tidy();
        let shared = self.clusters.update(&changes);
        let mut sockets: Vec<Vec<(Arc<str>, ListenSocket)>> =
            (0..self.workers.len()).map(|_| Vec::new()).collect();
        let mut rebound = Vec::new();
        let mut failed = Vec::new();
        for (name, listener) in &changes.listeners.changed {
            match self.open(name, listener) {
                Ok(Opened { per_worker, replaced }) => {
                    for (mine, opened) in sockets.iter_mut().zip(per_worker) {
                        mine.extend(opened.into_iter().map(|s| (Arc::clone(name), s)));
                    }
                    if replaced {
                        rebound.push(Arc::clone(name));
                    }
                }
                Err(error) => failed.push(error),
            }
        }
        for name in &changes.listeners.removed {
            self.bound.remove(name);
        }
        for (worker, sockets) in self.workers.iter().zip(sockets) {
            let update = Update {
                changes: changes.clone(),
                sockets,
                rebound: rebound.clone(),
                shared: shared.clone(),
            };
            worker.tell(Command::Update(Box::new(update)));
        }
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }

    /// The sockets that `listener` needs and does not have yet, per worker.
    fn open(&mut self, name: &Arc<str>, listener: &Listener) -> Result<Opened, BindError> {
        let before = self.bound.get(name);
        if !listener.bind_to_port {
            let replaced = self.bound.remove(name).is_some();
            return Ok(Opened { per_worker: Vec::new(), replaced });
        }
        if before.is_some_and(|b| b.wanted == listener.addresses) {
            return Ok(Opened { per_worker: Vec::new(), replaced: false });
        }
        let replaced = before.is_some();
        let mut per_worker: Vec<Vec<ListenSocket>> = self.workers.iter().map(|_| Vec::new()).collect();
        let mut actual = Vec::new();
        for ListenAddress { address, ipv4_compat } in &listener.addresses {
            let fail = |source| BindError { listener: Arc::clone(name), address: address.clone(), source };
            let wanted = match address {
                Address::Ip(wanted) => *wanted,
                Address::Pipe(path) => {
                    let own = bind_unix(path, per_worker.len()).map_err(fail)?;
                    let own = own.into_iter().map(ListenSocket::Unix);
                    per_worker.iter_mut().zip(own).for_each(|(mine, socket)| mine.push(socket));
                    continue;
                }
                Address::Name(..) => {
                    let problem = "only IP addresses and sockets of the file system can be listened on";
                    return Err(fail(io::Error::new(io::ErrorKind::Unsupported, problem)));
                }
            };
            let own = bind_shared(wanted, *ipv4_compat, per_worker.len()).map_err(fail)?;
            if let Some(first) = own.first() {
                actual.push(first.local_addr().map_err(fail)?);
            }
            let inherited = self.inherited.iter().filter(|(address, _)| *address == wanted);
            let mut all = vec![own];
            for (_, fd) in inherited {
                all.push(duplicate(fd, per_worker.len()).map_err(fail)?);
            }
            for sockets in all {
                let sockets = sockets.into_iter().map(ListenSocket::Tcp);
                per_worker.iter_mut().zip(sockets).for_each(|(mine, socket)| mine.push(socket));
            }
        }
        self.bound.insert(Arc::clone(name), Bound { wanted: listener.addresses.clone(), actual });
        Ok(Opened { per_worker, replaced })
    }

    /// The address a listener is bound to: the free port it was given where it asked for port 0.
    pub fn address_of(&self, listener: &str) -> Option<SocketAddr> {
        self.bound.get(listener)?.actual.first().copied()
    }

    /// Moves every worker to `state`; see [`DrainState`] for what each means.
    pub fn drain(&self, state: DrainState) {
        for worker in &self.workers {
            worker.tell(Command::Drain(state));
        }
    }

    /// A handle for asking and draining from another task of the main thread.
    pub fn remote(&self) -> Remote {
        Remote { workers: self.workers.iter().map(|w| w.commands.clone()).collect() }
    }

    /// Stops every worker, open connections included, and waits for the threads.
    pub fn stop(mut self) {
        self.tell_stop();
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                let _ = thread.join();
            }
        }
    }

    fn tell_stop(&self) {
        for worker in &self.workers {
            worker.tell(Command::Stop);
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tell_stop();
    }
}

impl Worker {
    /// A worker that has ended is told nothing: its thread's end shows in `stop`.
    fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

/// What opening a listener's sockets came to.
struct Opened {
    per_worker: Vec<Vec<ListenSocket>>,
    /// Whether sockets at another address were there before.
    replaced: bool,
}

/// Asks every worker and puts the answers together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    workers: Vec<mpsc::UnboundedSender<Command>>,
}

impl Remote {
    /// Waits until every worker has obeyed what it was told before.
    pub async fn caught_up(&self) {
        self.ask(Query::CaughtUp).await;
    }

    /// The workers' gauges, summed.
    pub async fn vitals(&self) -> Vitals {
        let mut sum = Vitals::default();
        for answer in self.ask(Query::Vitals).await {
            sum.merge(&answer);
        }
        sum
    }

    /// Every endpoint as each worker sees it, worker by worker.
    pub async fn endpoints(&self) -> Vec<EndpointStatus> {
        self.ask(Query::Endpoints).await.into_iter().flatten().collect()
    }

    /// What all workers have counted, added up.
    pub async fn stats(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for answer in self.ask(Query::Stats).await {
            sum.merge(answer);
        }
        sum
    }

    /// Has every worker forget series that are idle. What is left is what some gave up while others counted in it again.
    pub async fn forget(&self, idle: Idle) -> Snapshot {
        let idle = Arc::new(idle);
        let mut gone = Snapshot::default();
        for answer in self.ask(|answer| Query::Forget(Arc::clone(&idle), answer)).await {
            gone.merge(answer);
        }
        gone
    }

    /// What the workers kept of requests since the last question.
    pub async fn observed(&self) -> Observed {
        let mut sum = Observed::default();
        for answer in self.ask(Query::Observed).await {
            sum.merge(answer);
        }
        sum
    }

    /// Lets the workers keep nothing of requests any more.
    pub fn keep_nothing(&self) {
        for worker in &self.workers {
            let _ = worker.send(Command::Query(Query::KeepNothing));
        }
    }

    /// Moves every worker to `state`.
    pub fn drain(&self, state: DrainState) {
        for worker in &self.workers {
            let _ = worker.send(Command::Drain(state));
        }
    }

    /// Sends one question to every worker; those that have ended do not answer.
    pub async fn ask<T>(&self, question: impl Fn(oneshot::Sender<T>) -> Query) -> Vec<T> {
        let mut pending = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let (sender, receiver) = oneshot::channel();
            if worker.send(Command::Query(question(sender))).is_ok() {
                pending.push(receiver);
            }
        }
        let mut answers = Vec::with_capacity(pending.len());
        for receiver in pending {
            answers.extend(receiver.await.ok());
        }
        answers
    }
}
