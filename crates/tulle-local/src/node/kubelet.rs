//! Keeps running pods in step with pod objects.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tulle_api::kubernetes::{ConfigMap, PodSpec, Secret};
use tulle_api::mesh::InterceptionMode;
use tulle_api::{Object, Resource as _};

use super::build::{Built, Cluster, Files, build, volume_files};
use super::images::Images;
use super::paths::Paths;
use super::running::Running;
use super::token::TokenSigner;
use super::volumes::has_token;
use super::{files, status};
use crate::cluster::admission::Admitting;
use crate::cluster::inject::{DECIDED, PROXY};
use crate::cluster::pod_facts;
use crate::cluster::view::View;
use crate::net::ipam::Ipam;
use crate::net::{Addresses, Family, Ips, NetError, Network, NodeNet, PodNet};
use crate::pod::run::{RunningPod, Stop};
use crate::pod::state::Phase;
use crate::redirect::Capture;
use crate::services::ServicePort;
use crate::sys::reaper::Reaper;

/// A pod that takes traffic and must go gets its signal this much later than its peers get the news.
const LINGER: Duration = Duration::from_secs(1);
/// When the whole mesh stops, a sidecar has nobody left to serve once its applications have ended.
const SIDECARS_AT_THE_END: Duration = Duration::from_secs(2);

/// What the node is made of.
pub struct Machine {
    /// Where pod objects are and statuses go.
    pub store: Arc<Admitting>,
    /// The network.
    pub net: Arc<NodeNet>,
    /// Its addresses.
    pub addresses: Addresses,
    /// Starts processes.
    pub reaper: Arc<Reaper>,
    /// The state directory.
    pub paths: Paths,
    /// Built-in programs.
    pub images: Arc<dyn Images>,
    /// Signs service account tokens.
    pub signer: TokenSigner,
    /// Environment that every container starts from.
    pub base_env: Vec<(String, String)>,
    /// Listening sockets of the host, with the address of the gateway's listener that they are for.
    pub gateway_sockets: Vec<(SocketAddr, Arc<OwnedFd>)>,
    /// Life of workload certificates.
    pub cert_ttl: Duration,
}

/// Namespace and name of a pod.
pub type Key = (String, String);

/// Something happened to a pod; to be handed to [`Kubelet::handle`].
#[derive(Debug)]
pub enum Event {
    /// Its network is there, or could not be made.
    Net(Key, String, Box<Result<PodNet, NetError>>),
    /// Its state is another.
    Changed(Key, String),
    /// Its last process has ended.
    Ended(Key, String),
}

enum Stage {
    /// Something that it needs is missing.
    Waiting,
    /// Its network is being made.
    Network,
    /// It runs, as `generation` of its object says.
    Running { pod: Box<RunningPod>, generation: Option<i64>, stopping: bool },
    /// It has ended for good.
    Done,
}

struct Entry {
    uid: String,
    ips: Option<Ips>,
    stage: Stage,
}

/// The node's view of its pods. It owns them all: dropping it ends the processes only with the agent itself.
pub struct Kubelet {
    machine: Machine,
    pods: HashMap<Key, Entry>,
    /// Free addresses, family by family.
    pools: Vec<Ipam>,
    events: mpsc::UnboundedSender<Event>,
    services: Vec<ServicePort>,
    /// Version of the newest ConfigMap or Secret that volumes were written from.
    config_version: u64,
}

impl Kubelet {
    /// A node without pods. Events come out of the receiver.
    pub fn new(machine: Machine) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let pools = machine.addresses.all().map(Network::pod_addresses).collect();
        let kubelet =
            Self { machine, pods: HashMap::new(), pools, events, services: Vec::new(), config_version: 0 };
        (kubelet, receiver)
    }

    /// What the node is made of.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// A pod that runs.
    pub fn running(&self, namespace: &str, name: &str) -> Option<&RunningPod> {
        match &self.pods.get(&(namespace.to_owned(), name.to_owned()))?.stage {
            Stage::Running { pod, .. } => Some(pod),
            _ => None,
        }
    }

    /// Starts what should run and stops what should not.
    pub fn sync(&mut self, view: &View) {
        let mut seen = std::collections::HashSet::new();
        for (object, spec) in view.all::<PodSpec>() {
            if object.meta.annotations.contains_key(DECIDED) {
                let key = (object.meta.namespace.clone(), object.meta.name.clone());
                self.sync_pod(&key, object, spec, view);
                seen.insert(key);
            }
        }
        let gone: Vec<Key> = self.pods.keys().filter(|k| !seen.contains(*k)).cloned().collect();
        for key in gone {
            self.let_go(&key);
        }
        self.refresh_volumes(view, false);
    }

    fn sync_pod(&mut self, key: &Key, object: &Object, spec: &PodSpec, view: &View) {
        let facts = pod_facts(object);
        if self.pods.get(key).is_some_and(|e| e.uid != object.meta.uid) {
            // Another pod of the same name: the old one must be gone first.
            self.let_go(key);
            return;
        }
        if facts.terminating {
            self.let_go(key);
            if !self.pods.contains_key(key) {
                self.delete(object);
            }
            return;
        }
        match self.pods.get(key).map(|e| &e.stage) {
            None if facts.succeeded || facts.failed => {}
            None | Some(Stage::Waiting) => self.begin(key, object, spec, view),
            Some(Stage::Running { generation, stopping: false, .. })
                if *generation != object.meta.generation =>
            {
                tracing::info!(pod = %object.resource(), "the pod's specification changed: it is started again");
                self.let_go(key);
            }
            Some(_) => {}
        }
    }

    /// Checks that the pod can be run and has its network made.
    fn begin(&mut self, key: &Key, object: &Object, spec: &PodSpec, view: &View) {
        let known = self.pods.get(key).and_then(|e| e.ips);
        let Some(ips) = known.or_else(|| Ips::allocate(&mut self.pools)) else {
            self.report(object, status::refused("OutOfAddresses", "no pod addresses are left"));
            return;
        };
        let mut entry = Entry { uid: object.meta.uid.clone(), ips: Some(ips), stage: Stage::Waiting };
        let capture = match capture_of(object, spec, &Running::of(view, object)) {
            Ok(capture) => capture,
            Err(message) => {
                self.report(object, status::refused("InvalidAnnotation", &message));
                self.pods.insert(key.clone(), entry);
                return;
            }
        };
        if let Err(e) = build(object, spec, ips, &self.cluster(view)) {
            let reason = if e.waits() { "ContainerCreating" } else { "CreateContainerConfigError" };
            self.report(object, status::refused(reason, &e.to_string()));
            self.pods.insert(key.clone(), entry);
            return;
        }
        entry.stage = Stage::Network;
        self.pods.insert(key.clone(), entry);
        let (net, events) = (Arc::clone(&self.machine.net), self.events.clone());
        let (key, uid) = (key.clone(), object.meta.uid.clone());
        tokio::task::spawn_blocking(move || {
            let result = net.add_pod(ips, capture.as_ref());
            // Without a receiver the agent is ending.
            let _ = events.send(Event::Net(key, uid, Box::new(result)));
        });
    }

    /// Takes note of an event. `view` is what is wanted now.
    pub fn handle(&mut self, event: Event, view: &View) {
        match event {
            Event::Net(key, uid, result) => self.network_made(&key, &uid, *result, view),
            Event::Changed(key, uid) => self.changed(&key, &uid, view),
            Event::Ended(key, uid) => self.ended(&key, &uid, view),
        }
    }

    fn network_made(&mut self, key: &Key, uid: &str, result: Result<PodNet, NetError>, view: &View) {
        let object = view.get::<PodSpec>(&key.0, &key.1).filter(|(o, _)| o.meta.uid == uid);
        let (net, (object, spec)) = match (result, object) {
            (Ok(net), Some(found)) => (net, found),
            (Ok(net), None) => {
                self.machine.net.remove_pod(&net);
                self.forget(key);
                return;
            }
            (Err(e), found) => {
                tracing::error!(pod = %key.1, error = %e, "the pod's network could not be made");
                if let Some((object, _)) = found {
                    self.report(object, status::refused("NetworkFailed", &e.to_string()));
                }
                self.forget(key);
                return;
            }
        };
        for network in self.machine.addresses.all() {
            if let Err(e) = net.set_services(network.family(), &self.services) {
                tracing::error!(pod = %key.1, error = %e, "service addresses could not be set");
            }
        }
        let started = build(object, spec, net.ips, &self.cluster(view)).map_err(|e| e.to_string()).and_then(
            |Built { plan, files }| write_files(&files).map(|()| plan).map_err(|e| format!("volumes: {e}")),
        );
        let plan = match started {
            Ok(plan) => plan,
            Err(message) => {
                self.report(object, status::refused("CreateContainerConfigError", &message));
                self.machine.net.remove_pod(&net);
                if let Some(entry) = self.pods.get_mut(key) {
                    entry.stage = Stage::Waiting;
                }
                return;
            }
        };
        let (reaper, logs) = (Arc::clone(&self.machine.reaper), self.machine.paths.logs());
        let pod = RunningPod::start(plan, Arc::new(net), reaper, logs);
        tokio::spawn(relay(key.clone(), uid.to_owned(), pod.watch(), self.events.clone()));
        if let Some(entry) = self.pods.get_mut(key) {
            let generation = object.meta.generation;
            entry.stage = Stage::Running { pod: Box::new(pod), generation, stopping: false };
        }
        self.changed(key, uid, view);
    }

    fn changed(&self, key: &Key, uid: &str, view: &View) {
        let Some(Entry { uid: own, stage: Stage::Running { pod, .. }, .. }) = self.pods.get(key) else {
            return;
        };
        let object = view.get::<PodSpec>(&key.0, &key.1).filter(|(o, _)| o.meta.uid == uid && own == uid);
        if let Some((object, _)) = object {
            let now = status::unix(SystemTime::now());
            let host = Ips::of_node(self.machine.addresses);
            let value = status::pod_status(&pod.state(), host, object.status.as_ref(), now);
            self.report(object, value);
        }
    }

    fn ended(&mut self, key: &Key, uid: &str, view: &View) {
        self.changed(key, uid, view);
        let Some(entry) = self.pods.get_mut(key).filter(|e| e.uid == uid) else { return };
        let Stage::Running { pod, stopping, .. } = &entry.stage else { return };
        let (final_, stopping) =
            (matches!(pod.state().phase, Phase::Succeeded | Phase::Failed) && !stopping, *stopping);
        self.machine.net.remove_pod(&pod.net);
        remove_dir(self.machine.paths.pod(uid));
        if final_ {
            entry.stage = Stage::Done;
            if let Some(ips) = entry.ips.take() {
                ips.release(&mut self.pools);
            }
            return;
        }
        tracing::debug!(pod = %key.1, stopping, "pod is gone");
        self.forget(key);
        let object = view.get::<PodSpec>(&key.0, &key.1).filter(|(o, _)| o.meta.uid == uid);
        if let Some((object, _)) = object.filter(|(o, _)| o.meta.deletion_timestamp.is_some()) {
            self.delete(object);
        }
    }

    /// Asks a pod to stop, or forgets one that does not run.
    fn let_go(&mut self, key: &Key) {
        let Some(entry) = self.pods.get_mut(key) else { return };
        match &mut entry.stage {
            Stage::Waiting | Stage::Done => self.forget(key),
            // It is looked at again when the network is there.
            Stage::Network => {}
            Stage::Running { pod, stopping, .. } => {
                if !*stopping {
                    *stopping = true;
                    let linger = if pod.state().ready() { LINGER } else { Duration::ZERO };
                    pod.stop(Stop { grace: pod.plan.grace + linger, linger, sidecars: None });
                }
            }
        }
    }

    /// Deletes the object of a pod that has stopped.
    fn delete(&self, object: &Object) {
        if let Err(e) = self.machine.store.delete_now(&object.resource()) {
            tracing::warn!(pod = %object.resource(), error = %e, "a pod that has stopped was not deleted");
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(Entry { ips: Some(ips), .. }) = self.pods.remove(key) {
            ips.release(&mut self.pools);
        }
    }

    /// Replaces what service addresses lead to, in every pod.
    pub fn set_services(&mut self, services: Vec<ServicePort>) {
        let of = |all: &[ServicePort], family: Family| -> Vec<ServicePort> {
            all.iter().filter(|p| p.family() == family).cloned().collect()
        };
        let families = self.machine.addresses.all().map(Network::family);
        let changed: Vec<Family> = families.filter(|f| of(&self.services, *f) != of(&services, *f)).collect();
        self.services = services;
        for entry in self.pods.values() {
            let Stage::Running { pod, .. } = &entry.stage else { continue };
            for family in &changed {
                if let Err(e) = pod.net.set_services(*family, &self.services) {
                    tracing::error!(pod = %pod.plan.name, error = %e, "service addresses could not be set");
                }
            }
        }
    }

    /// Brings volumes up to date when a ConfigMap or Secret changed, and tokens when `tokens`.
    pub fn refresh_volumes(&mut self, view: &View, tokens: bool) {
        let version = |o: &Arc<Object>| o.meta.resource_version.parse().unwrap_or(0);
        let kinds = [ConfigMap::KIND, Secret::KIND];
        let newest = kinds.into_iter().flat_map(|k| view.of_kind(k)).map(version).max().unwrap_or(0);
        let changed = newest > self.config_version;
        if !changed && !tokens {
            return;
        }
        self.config_version = newest;
        for ((namespace, name), entry) in &self.pods {
            let (Stage::Running { pod, .. }, Some(ips)) = (&entry.stage, entry.ips) else { continue };
            let Some((object, spec)) = view.get::<PodSpec>(namespace, name) else { continue };
            if object.meta.uid != entry.uid || !(changed || spec.volumes.iter().any(has_token)) {
                continue;
            }
            if let Err(e) = write_files(&volume_files(object, spec, ips, &self.cluster(view))) {
                tracing::error!(pod = %pod.plan.name, error = %e, "volumes could not be brought up to date");
            }
        }
    }

    /// Stops everything: applications first, then the mesh's own parts. `hurry` resolves when the user will not wait.
    pub async fn shut_down(
        &mut self,
        events: &mut mpsc::UnboundedReceiver<Event>,
        hurry: impl Future<Output = ()>,
    ) {
        let mut hurry = std::pin::pin!(hurry);
        for own in [false, true] {
            self.stop_all(own, SIDECARS_AT_THE_END, None);
            while self.any_running(own) {
                tokio::select! {
                    event = events.recv() => match event {
                        Some(Event::Ended(key, uid)) if self.pods.get(&key).is_some_and(|e| e.uid == uid) => {
                            self.pods.remove(&key);
                        }
                        Some(_) => {}
                        None => return,
                    },
                    () = &mut hurry => {
                        self.stop_all(own, Duration::ZERO, Some(Duration::ZERO));
                        return;
                    }
                }
            }
        }
    }

    fn any_running(&self, own: bool) -> bool {
        self.running_pods().any(|p| p.plan.of_the_mesh == own)
    }

    fn stop_all(&self, own: bool, sidecars: Duration, grace: Option<Duration>) {
        for pod in self.running_pods().filter(|p| p.plan.of_the_mesh == own) {
            let grace = grace.unwrap_or(if own { SIDECARS_AT_THE_END } else { pod.plan.grace });
            pod.stop(Stop { grace, linger: Duration::ZERO, sidecars: Some(sidecars) });
        }
    }

    /// The pods that run.
    pub fn running_pods(&self) -> impl Iterator<Item = &RunningPod> {
        self.pods.values().filter_map(|e| match &e.stage {
            Stage::Running { pod, .. } => Some(&**pod),
            _ => None,
        })
    }

    fn report(&self, object: &Object, value: serde_json::Value) {
        if let Err(e) = self.machine.store.inner().put_status_now(&object.resource(), value) {
            tracing::debug!(pod = %object.resource(), error = %e, "status not written");
        }
    }

    fn cluster<'a>(&'a self, view: &'a View) -> Cluster<'a> {
        let m = &self.machine;
        Cluster {
            view,
            paths: &m.paths,
            images: &*m.images,
            signer: &m.signer,
            addresses: m.addresses,
            base_env: &m.base_env,
            gateway_sockets: &m.gateway_sockets,
            cert_ttl: m.cert_ttl,
            now: status::unix(SystemTime::now()),
        }
    }
}

/// What the pod's sidecar captures; `None` without one, or with interception mode NONE. The annotation wins over the settings.
fn capture_of(object: &Object, spec: &PodSpec, running: &Running) -> Result<Option<Capture>, String> {
    let has_proxy = spec.init_containers.iter().chain(&spec.containers).any(|c| c.name == PROXY);
    let injected = object.meta.annotations.get(DECIDED).is_some_and(|d| d == "sidecar");
    let mode = object.meta.annotations.get("sidecar.istio.io/interceptionMode").map(String::as_str);
    match mode.or(running.interception.map(InterceptionMode::as_str)) {
        _ if !has_proxy || !injected => Ok(None),
        Some("NONE") => Ok(None),
        None | Some("REDIRECT" | "") => {
            let capture = Capture::from_annotations(&object.meta.annotations).map_err(|e| e.to_string())?;
            Ok(Some(Capture { dns: running.captures_dns(), ..capture }))
        }
        Some(other) => {
            Err(format!("sidecar.istio.io/interceptionMode: {other} is not supported; use REDIRECT or NONE"))
        }
    }
}

fn write_files(files: &Files) -> io::Result<()> {
    for (dir, content) in &files.volumes {
        files::sync(dir, content)?;
    }
    for dir in &files.dirs {
        std::fs::create_dir_all(dir)?;
    }
    Ok(())
}

fn remove_dir(dir: PathBuf) {
    if let Err(e) = std::fs::remove_dir_all(&dir)
        && e.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(dir = %dir.display(), error = %e, "a pod's files were not removed");
    }
}

/// Tells the kubelet about every change, and about the end.
async fn relay(
    key: Key,
    uid: String,
    mut state: tokio::sync::watch::Receiver<crate::pod::state::PodState>,
    events: mpsc::UnboundedSender<Event>,
) {
    while state.changed().await.is_ok() {
        if events.send(Event::Changed(key.clone(), uid.clone())).is_err() {
            return;
        }
    }
    let _ = events.send(Event::Ended(key, uid));
}
