//! The agent's main loop.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tulle_api::kubernetes::Service;
use tulle_api::{Kind, Object, parse_manifests};
use tulle_base::{ResourceRef, Severity};
use tulle_store::{Filter, Folder, Store};
use tulle_telemetry::audit::{AuditLog, Sink};

use super::control::{self, Ask, Found, Running};
use super::findings::Findings;
use super::protocol::{
    API_FD, AgentOptions, DASHBOARD_FD, DNS_FD, FromAgent, GATEWAY_FD, GATEWAY_V6_FD, METRICS_FD, OPTIONS_FD,
    ObjectName, Summary, ToAgent, UPLINK_FD, XDS_FD,
};
use super::uplink::Uplink;
use super::{forward, mounts, select, summary, synced};
use crate::cluster::admission::Admitting;
use crate::cluster::view::View;
use crate::cluster::{Action, Names, reconcile, routes};
use crate::dns::{DnsServer, Forwarder};
use crate::net::{Addresses, Family, NodeNet};
use crate::node::images::Images;
use crate::node::kubelet::{Event, Kubelet, Machine};
use crate::node::paths::Paths;
use crate::node::token::TokenSigner;
use crate::pod::state::Doing;
use crate::sys::inherited;
use crate::sys::reaper::Reaper;

/// The hidden command that [`run`] answers to.
pub const AGENT_COMMAND: &str = "node-agent";

/// The mesh's own parts.
const SYSTEM_MANIFESTS: &str = include_str!("system.yaml");
/// Namespace and name of the gateway's Service, whose port 80 the host has bound.
const GATEWAY_SERVICE: (&str, &str) = ("istio-system", "istio-ingressgateway");
/// Annotation of a Service: where its ports are reached from outside of the mesh.
const HOST_PORTS: &str = "local.tulle.dev/host-ports";
/// The port of the gateway that host connections are for.
const GATEWAY_PORT: u16 = 8080;
/// How often tokens are renewed; they live for at least 10 minutes.
const TOKEN_PERIOD: Duration = Duration::from_secs(240);
/// Controllers that do not come to rest in this many rounds go on with the next change.
const MAX_ROUNDS: u32 = 32;

/// Runs the node agent until it is told to stop; only for a process that the host side started.
pub fn run(images: Arc<dyn Images>) -> ExitCode {
    let uplink = match inherited::take(UPLINK_FD) {
        Ok(fd) => std::os::unix::net::UnixStream::from(fd),
        Err(e) => {
            tracing::error!(error = %e, "the node agent is started by tulle up alone");
            return ExitCode::from(2);
        }
    };
    match start(images, &uplink) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let mut line = serde_json::to_vec(&FromAgent::Failed(message)).unwrap_or_default();
            line.push(b'\n');
            // Nobody there to be told: the end is the same.
            let _ = io::Write::write_all(&mut &uplink, &line);
            ExitCode::FAILURE
        }
    }
}

/// What the parent handed over.
struct Inherited {
    options: AgentOptions,
    /// The gateway's sockets on the host, by the family of their addresses there.
    gateway: Vec<(Family, OwnedFd)>,
    api: Option<OwnedFd>,
    xds: Option<OwnedFd>,
    metrics: Option<OwnedFd>,
    dashboard: Option<OwnedFd>,
    dns: Option<OwnedFd>,
    /// This process as the host numbers it.
    host_pid: String,
}

fn start(images: Arc<dyn Images>, uplink: &std::os::unix::net::UnixStream) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let mut json = String::new();
    let options = inherited::take(OPTIONS_FD).map(File::from).and_then(|mut f| f.read_to_string(&mut json));
    options.map_err(|e| text(&e))?;
    let options: AgentOptions = serde_json::from_str(&json).map_err(|e| text(&e))?;
    // Before /proc is the mesh's own, it is the host's.
    let host_pid = std::fs::read_link("/proc/self").map_err(|e| text(&e))?.display().to_string();
    let paths = Paths::new(options.state_dir.clone());
    mounts::prepare(&paths.run()).map_err(|e| text(&e))?;
    if let Err(e) = rustix::system::sethostname(b"tulle") {
        tracing::debug!(error = %e, "host name not set");
    }
    raise_file_limit();
    let take = |fd| inherited::take(fd).ok();
    let mut gateway_fds = vec![(Family::V4, GATEWAY_FD)];
    gateway_fds.extend(options.gateway_v6.then_some((Family::V6, GATEWAY_V6_FD)));
    let inherited = Inherited {
        options,
        gateway: gateway_fds.into_iter().filter_map(|(family, fd)| Some((family, take(fd)?))).collect(),
        api: take(API_FD),
        xds: take(XDS_FD),
        metrics: take(METRICS_FD),
        dashboard: take(DASHBOARD_FD),
        dns: take(DNS_FD),
        host_pid,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| text(&e))?;
    runtime.block_on(async {
        uplink.set_nonblocking(true).map_err(|e| text(&e))?;
        let uplink = uplink.try_clone().and_then(UnixStream::from_std).map_err(|e| text(&e))?;
        let (mut agent, inputs) =
            Agent::new(images, paths, inherited, uplink).await.map_err(|e| e.to_string())?;
        agent.work(inputs).await;
        Ok(())
    })
}

/// Many pods mean many descriptors.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(error = %e, "the limit of open files stays");
    }
}

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Net(#[from] crate::net::NetError),
    #[error(transparent)]
    Dns(#[from] crate::dns::DnsError),
    #[error(transparent)]
    Token(#[from] crate::node::token::TokenError),
    #[error(transparent)]
    Folder(#[from] tulle_store::FolderError),
    #[error(transparent)]
    Store(#[from] tulle_store::StoreError),
    #[error(transparent)]
    Api(#[from] super::api::ApiStartError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the main loop listens to.
struct Inputs {
    events: mpsc::UnboundedReceiver<Event>,
    asks: mpsc::Receiver<Ask>,
    reports: mpsc::Receiver<tulle_store::Report>,
    uplink: tokio::io::Lines<BufReader<OwnedReadHalf>>,
}

struct Agent {
    store: Arc<Admitting>,
    kubelet: Kubelet,
    names: Names,
    dns: DnsServer,
    view: View,
    uplink: Uplink,
    gateway_url: String,
    dashboard_url: String,
    findings: Findings,
    /// Where manifests that are not taken are told.
    audit: AuditLog,
    xds: watch::Sender<Option<SocketAddr>>,
    metrics: watch::Sender<Option<SocketAddr>>,
    dashboard: watch::Sender<Option<SocketAddr>>,
    /// Ends with the agent.
    _api: Option<super::api::ApiThread>,
}

impl Agent {
    async fn new(
        images: Arc<dyn Images>,
        paths: Paths,
        inherited: Inherited,
        uplink: UnixStream,
    ) -> Result<(Self, Inputs), StartError> {
        let Inherited { options, gateway, api, xds, metrics, dashboard, dns, host_pid } = inherited;
        let addresses = Addresses::new(options.families);
        let reaper = Reaper::start()?;
        let net = Arc::new(NodeNet::create(addresses)?);
        let forwarder = dns
            .filter(|_| !options.resolvers.is_empty())
            .map(|fd| Forwarder::new(fd.into(), options.resolvers.clone()))
            .transpose()?;
        let dns = DnsServer::start(addresses.all().map(|n| SocketAddr::new(n.node, 53)), forwarder).await?;
        let inner = super::api::open_store(&paths)?;
        let store = Arc::new(Admitting::new(inner, addresses));
        let signer = TokenSigner::generate()?;
        for dir in [paths.store(), paths.control_plane(), paths.logs()] {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(paths.token_key(), signer.public_pem())?;
        let listener = UnixListener::bind(paths.store_socket())?;
        tokio::spawn(tulle_store::serve(listener, Arc::clone(&store) as Arc<dyn Store>));
        let log = Sink::File(paths.api().join("audit.log"));
        let audit = AuditLog::start("api", "node", &[log])?;
        let api = api
            .map(|socket| {
                let store = Arc::clone(&store) as Arc<dyn Store>;
                super::api::start(socket, store, &paths, &options.api_url, audit.clone())
            })
            .transpose()?;
        let (ask, asks) = mpsc::channel(16);
        control::start(&paths.control_socket(), Arc::clone(&reaper), ask)?;
        let (xds_target, xds_watch) = watch::channel(None);
        let (metrics_target, metrics_watch) = watch::channel(None);
        let (dashboard_target, dashboard_watch) = watch::channel(None);
        for (socket, target) in [(xds, xds_watch), (metrics, metrics_watch), (dashboard, dashboard_watch)] {
            if let Some(socket) = socket {
                forward::start(socket, target)?;
            }
        }
        let machine = Machine {
            store: Arc::clone(&store),
            net,
            addresses,
            reaper,
            paths,
            images,
            signer,
            base_env: options.base_env,
            gateway_sockets: gateway
                .into_iter()
                .map(|(family, fd)| (gateway_listener(addresses, family), Arc::new(fd)))
                .collect(),
            cert_ttl: Duration::from_secs(options.cert_ttl_seconds),
        };
        let (kubelet, events) = Kubelet::new(machine);
        let (read, write) = uplink.into_split();
        let mut agent = Self {
            store,
            kubelet,
            names: Names::random(),
            dns,
            view: View::default(),
            uplink: Uplink::new(write, host_pid),
            gateway_url: options.gateway_url,
            dashboard_url: options.dashboard_url,
            findings: Findings::default(),
            audit,
            xds: xds_target,
            metrics: metrics_target,
            dashboard: dashboard_target,
            _api: api,
        };
        let reports = agent.load(&options.manifests, options.built_in).await?;
        Ok((agent, Inputs { events, asks, reports, uplink: BufReader::new(read).lines() }))
    }

    /// Writes on the gateway's Service which of its ports the host has bound, and where: the mesh says it of Gateways.
    fn note_host_ports(&self, object: &mut Object) {
        let is_gateway = object.kind() == Kind::Service
            && (&*object.meta.namespace, &*object.meta.name) == GATEWAY_SERVICE;
        if is_gateway && let Some(at) = self.gateway_url.strip_prefix("http://") {
            object.meta.annotations.insert(HOST_PORTS.to_owned(), format!("80={at}"));
        }
    }

    /// Reads the mesh's own manifests, then the user's, which win and are watched from then on.
    async fn load(
        &mut self,
        paths: &[PathBuf],
        built_in: Vec<(String, String)>,
    ) -> Result<mpsc::Receiver<tulle_store::Report>, StartError> {
        let system = ("tulle/system.yaml".to_owned(), SYSTEM_MANIFESTS.to_owned());
        for (name, yaml) in std::iter::once(system).chain(built_in) {
            let (objects, problems) = parse_manifests(&name, yaml.as_bytes());
            for problem in problems.iter().filter(|p| p.severity == Severity::Error) {
                tracing::error!(%problem, "a built-in manifest is broken");
            }
            for mut object in objects {
                self.note_host_ports(&mut object);
                self.store.put_now(object)?;
            }
        }
        let (sender, reports) = mpsc::channel(16);
        if paths.is_empty() {
            return Ok(reports);
        }
        let mut folder = Folder::open(paths)?;
        let first = folder.load(&*self.store).await?;
        self.note_report(&first, true).await;
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            loop {
                match folder.next(&*store).await {
                    Ok(report) => {
                        if sender.send(report).await.is_err() {
                            return;
                        }
                    }
                    Err(e) => {
                        tracing::error!(error = %e, "manifests could not be applied");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(reports)
    }

    async fn work(&mut self, mut inputs: Inputs) {
        // Not from 0: a store that was there before has forgotten what was so long ago. Everything is looked at first anyway.
        let version = self.store.inner().list_now(&Filter::default()).version;
        let mut changes = self.store.watch(Filter::default(), version).await.ok();
        let mut tokens = tokio::time::interval(TOKEN_PERIOD);
        let mut in_step: Option<JoinHandle<bool>> = None;
        loop {
            let all_ready = self.settle().await;
            if all_ready && in_step.is_none() && !self.uplink.ready_was_told() {
                in_step = self.control_plane_in_step();
            }
            let checked = async {
                match &mut in_step {
                    Some(check) => check.await.unwrap_or(false),
                    None => std::future::pending().await,
                }
            };
            let change = async {
                match &mut changes {
                    Some(watch) => watch.next().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                alive = change => if !alive {
                    // It fell behind: everything is looked at anyway, so a new watch from now on will do.
                    let version = self.store.inner().list_now(&Filter::default()).version;
                    changes = self.store.watch(Filter::default(), version).await.ok();
                },
                Some(event) = inputs.events.recv() => self.kubelet.handle(event, &self.view),
                Some(ask) = inputs.asks.recv() => self.answer(ask),
                in_time = checked => {
                    in_step = None;
                    if !in_time {
                        tracing::warn!("the proxies are not in step with the control plane yet");
                    }
                    // A pod that became unready in the meantime has everything looked at again.
                    if all_ready {
                        self.uplink.ready(&self.kubelet).await;
                    }
                }
                Some(report) = inputs.reports.recv() => self.note_report(&report, false).await,
                _ = tokens.tick() => self.kubelet.refresh_volumes(&self.view, true),
                line = inputs.uplink.next_line() => {
                    if let Ok(Some(line)) = line
                        && matches!(serde_json::from_str(&line), Ok(ToAgent::Stop))
                    {
                        let again = async { drop(inputs.uplink.next_line().await) };
                        self.kubelet.shut_down(&mut inputs.events, again).await;
                    }
                    // A host side that is gone takes the mesh with it.
                    return;
                }
            }
        }
    }

    /// Begins to ask whether every proxy has what the control plane knows.
    fn control_plane_in_step(&self) -> Option<JoinHandle<bool>> {
        let address = (*self.metrics.borrow())?;
        let has_proxy = |p: &&crate::pod::run::RunningPod| {
            p.plan.init.iter().chain(&p.plan.apps).any(|c| c.name == crate::cluster::inject::PROXY)
        };
        let proxies = self.kubelet.running_pods().filter(has_proxy).count();
        let version = synced::version(&self.store.inner().list_now(&Filter::default()).objects);
        Some(tokio::spawn(synced::wait(address, proxies, version)))
    }

    /// Lets the controllers work until they want nothing more, then brings node, rules and names in step. Returns whether
    /// every pod is ready.
    async fn settle(&mut self) -> bool {
        for _ in 0..MAX_ROUNDS {
            self.view = View::new(self.store.inner().list_now(&Filter::default()).objects);
            let actions = reconcile(&self.view, &mut self.names, now());
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.apply(action);
            }
        }
        self.kubelet.sync(&self.view);
        self.view = View::new(self.store.inner().list_now(&Filter::default()).objects);
        self.kubelet.set_services(routes::service_ports(&self.view));
        self.dns.set_zone(routes::zone(&self.view));
        self.xds.send_if_modified(|t| replace(t, control_plane_port(&self.view, 15010)));
        self.metrics.send_if_modified(|t| replace(t, control_plane_port(&self.view, 15014)));
        self.dashboard.send_if_modified(|t| replace(t, control_plane_port(&self.view, 20001)));
        self.uplink.progress(&self.view).await
    }

    fn apply(&self, action: Action) {
        let result = match action {
            Action::Put(object) => self.store.put_now(*object).map(drop),
            Action::Status(resource, status) => {
                self.store.inner().put_status_now(&resource, status).map(drop)
            }
            Action::Delete(resource) => self.store.delete_now(&resource).map(drop),
        };
        if let Err(e) = result {
            tracing::warn!(error = %e, "a controller's change was not taken");
        }
    }

    /// Passes on what was found in manifests.
    async fn note_report(&mut self, report: &tulle_store::Report, first: bool) {
        for entry in Findings::refusals(report) {
            self.audit.record(entry);
        }
        let before = (!first).then_some(&self.view);
        for news in self.findings.take(report, self.store.inner(), before) {
            self.uplink.tell(&news).await;
        }
    }

    fn answer(&self, ask: Ask) {
        match ask {
            Ask::Status(sender) => {
                let pods = summary::pods(&self.view, now());
                let ready = pods.iter().all(|p| p.reason.is_empty());
                let summary = Summary {
                    gateway: self.gateway_url.clone(),
                    dashboard: self.dashboard_url.clone(),
                    ready,
                    pods,
                    diagnostics: self.findings.all(),
                    resources: summary::resources(&self.view),
                };
                // A client that left is no loss.
                let _ = sender.send(summary);
            }
            Ask::Names(sender) => {
                let all = self.store.inner().list_now(&Filter::default()).objects;
                let _ = sender.send(all.iter().map(|o| ObjectName::from(&o.resource())).collect());
            }
            Ask::Objects(names, sender) => {
                let found = |name: &ObjectName| self.store.inner().get_now(&ResourceRef::from(name));
                let objects = names.iter().map(|n| found(n).map(|o| o.to_json())).collect();
                let _ = sender.send(objects);
            }
            Ask::Find(wanted, sender) => {
                let found = select::resolve(&self.view, &wanted).map(|(pod, container)| Found {
                    running: self.running(&pod.meta.namespace, &pod.meta.name, &container),
                    namespace: pod.meta.namespace.clone(),
                    pod: pod.meta.name.clone(),
                    container,
                });
                let _ = sender.send(found);
            }
        }
    }

    fn running(&self, namespace: &str, pod: &str, container: &str) -> Option<Running> {
        let pod = self.kubelet.running(namespace, pod)?;
        let state = pod.state();
        let state = state.containers.iter().find(|c| c.name == container)?;
        let Doing::Running { pid, .. } = state.doing else { return None };
        let plan = pod.plan.init.iter().chain(&pod.plan.apps).find(|c| c.name == container)?;
        Some(Running { pid, net: Arc::clone(&pod.net), spec: plan.run.clone() })
    }
}

/// The listener of the gateway's pod that takes connections of `family` on the host: the one of that family, or the only one.
fn gateway_listener(addresses: Addresses, family: Family) -> SocketAddr {
    let network = addresses.of(family).unwrap_or(addresses.first);
    SocketAddr::new(network.family().unspecified(), GATEWAY_PORT)
}

/// Where a port of the control plane is; its pod's address, since the node has no rules for service addresses.
fn control_plane_port(view: &View, port: u16) -> Option<SocketAddr> {
    let (_, service) = view.get::<Service>("istio-system", "istiod")?;
    let address: IpAddr = service.cluster_ip.parse().ok()?;
    let ports = routes::service_ports(view);
    let found = ports.into_iter().find(|p| p.address == address && p.port == port)?;
    found.endpoints.first().copied()
}

fn replace<T: PartialEq>(old: &mut T, new: T) -> bool {
    let changed = *old != new;
    *old = new;
    changed
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
