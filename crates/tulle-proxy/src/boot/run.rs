//! Carries out a plan: starts everything in order, then serves until told to stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tulle_base::drain::{DrainState, DrainTimes};
use tulle_identity::Watched;
use tulle_identity::rotate::RotationStatus;
use tulle_identity::secrets::OWN_CERTIFICATE;
use tulle_proto::Message as _;
use tulle_telemetry::audit::AuditLog;

use super::book::Book;
use super::compile::Engine;
use super::main_thread::{Main, Parts};
use super::plan::Plan;
use super::signals::StopSignals;
use super::turn::{Loop, Pending, start_resolvers};
use super::xds::{self, ServerError};
use super::{evict, saved, secrets};
use crate::admin::{self, Exposed};
use crate::dns::NameServer;
use crate::listener::limits::Limits;
use crate::worker::{Fleet, Settings};

/// Puts `LEVEL` or `TARGET=LEVEL,...` in force.
pub type SetLogLevels = Box<dyn Fn(&str) -> Result<(), Box<dyn std::error::Error + Send + Sync>>>;

/// What the process does that a library must not: called by the main thread.
pub struct Hooks {
    /// Changes what is logged (`/logging`).
    pub set_log_levels: SetLogLevels,
    /// What is logged now, as `LEVEL` or `TARGET=LEVEL,...`.
    pub log_levels: Box<dyn Fn() -> String>,
    /// A program with arguments that reads an encoded dump from stdin and writes it to stdout as JSON ([`dump_as_json`]); `None` lets
    /// this process do it, which leaves tens of megabytes behind.
    ///
    /// [`dump_as_json`]: crate::boot::dump_as_json
    pub dump_command: Option<Vec<std::ffi::OsString>>,
    /// Called once, when everything that is needed is in force.
    pub on_ready: Box<dyn Fn()>,
}

impl Default for Hooks {
    /// Levels cannot be changed; nobody is told.
    fn default() -> Self {
        Self {
            set_log_levels: Box::new(|_| Err("log levels cannot be changed in this process".into())),
            log_levels: Box::new(String::new),
            dump_command: None,
            on_ready: Box::new(|| {}),
        }
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooks")
    }
}

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A port of the main thread cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Sockets cannot be marked, so the pod's redirection would bring our own traffic back to us.
    #[error(
        "cannot mark sockets with {mark}: {source}; the proxy needs CAP_NET_ADMIN in its network namespace"
    )]
    Mark {
        /// The mark.
        mark: u32,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or event loop cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The pod's DNS cannot listen.
    #[error("DNS on {address}: {source}")]
    Dns {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A secret of the bootstrap is broken.
    #[error("static_resources.secrets: {name}: {problem}")]
    Secret {
        /// Its name.
        name: Arc<str>,
        /// What is wrong.
        problem: String,
    },
    /// The socket for identities cannot be made.
    #[error("{}: {source}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The audit log cannot be written.
    #[error("the audit log: {0}")]
    Audit(io::Error),
    /// A listener of the bootstrap cannot be opened.
    #[error("static_resources.listeners: {0}")]
    Listener(String),
    /// The xDS server cannot be dialled as described.
    #[error("dynamic_resources: {0}")]
    Xds(String),
    /// The state directory cannot be used.
    #[error("state directory {path}: {source}")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs a proxy until it is told to stop.
///
/// # Errors
/// [`BootError`] when it cannot start; once it serves, it does not fail.
pub fn run(plan: Plan, hooks: Hooks) -> Result<(), BootError> {
    let started = Instant::now();
    if let Some(mark) = plan.mark {
        check_mark(mark)?;
    }
    let ports = plan
        .ports
        .iter()
        .map(|(address, exposed)| Ok((bind(*address)?, *exposed)))
        .collect::<Result<Vec<_>, BootError>>()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BootError::Thread)?;
    let local = LocalSet::new();
    let ended = local.block_on(&runtime, serve(plan, hooks, ports, started));
    // Tasks that are left hold nothing that must be finished.
    runtime.shutdown_background();
    ended
}

async fn serve(
    mut plan: Plan,
    hooks: Hooks,
    ports: Vec<(TcpListener, Exposed)>,
    started: Instant,
) -> Result<(), BootError> {
    let mut signals = StopSignals::new().map_err(BootError::Thread)?;
    for (name, secret) in std::mem::take(&mut plan.static_secrets) {
        secrets::put(&plan.secrets, &name, &secret)
            .map_err(|e| BootError::Secret { name, problem: e.to_string() })?;
    }
    let audit = match &plan.audit[..] {
        [] => AuditLog::default(),
        sinks => AuditLog::start("proxy", &plan.node.id(), sinks).map_err(BootError::Audit)?,
    };
    let fleet = start_workers(&mut plan, audit.clone())?;
    let dns = start_dns(&plan).await?;
    let rotation = plan.identity.as_ref().map(|_| Watched::<RotationStatus>::empty());
    let (xds_plan, identity) = (plan.xds.take(), plan.identity.take());
    let (node, state_dir, drain) = (plan.xds_node.clone(), plan.state_dir.take(), plan.drain);
    let probe = plan.readiness_probe.take();
    let (listeners, clusters) = (std::mem::take(&mut plan.listeners), std::mem::take(&mut plan.clusters));
    let connector = xds_plan
        .as_ref()
        .map(|p| xds::connector(&p.server, &clusters, &plan.secrets, plan.mark))
        .transpose()
        .map_err(|e: ServerError| BootError::Xds(e.to_string()))?;
    let book = Book::new(Box::new(Engine));
    let parts = Parts { plan, book, fleet, dns, rotation: rotation.clone(), audit, hooks, started };
    let main = Rc::new(Main::new(parts));
    for (listener, exposed) in ports {
        tokio::task::spawn_local(admin::serve(Rc::clone(&main), listener, exposed));
    }
    tokio::task::spawn_local(evict::evict(Rc::clone(&main)));
    if let Some(p) = &xds_plan {
        main.progress.listeners.set(p.listeners.then_some(false));
        main.progress.clusters.set(p.clusters.then_some(false));
    }
    if let (Some(identity), Some(status)) = (identity, rotation) {
        main.progress.identity.set(Some(false));
        super::identity::start(&main, identity, &node, status)?;
    }

    let fixed = main.book.borrow_mut().fix(listeners, clusters, Instant::now());
    let (resolved, results) = mpsc::channel(16);
    start_resolvers(&main, &fixed.resolve, &resolved);
    if let Some(error) = xds::finish(&main, fixed).into_iter().next() {
        return Err(BootError::Listener(error.message));
    }
    let remembered = match (&xds_plan, &state_dir) {
        (Some(_), Some(dir)) => load_saved(&main, dir),
        _ => Vec::new(),
    };
    let mut state = Loop {
        own: main.secrets.certificate(OWN_CERTIFICATE),
        main,
        link: None,
        events: None,
        pending: xds_plan.zip(connector).map(|(plan, connector)| Pending {
            plan,
            connector,
            node,
            remembered,
        }),
        resolved,
        results,
        probe,
        verdicts: None,
        state_dir,
        save_at: None,
    };
    state.start_all_resolvers();
    if !state.waits_for_identity() {
        state.connect();
    }
    state.until_stopped(&mut signals).await;
    wind_down(&state.main, drain, &mut signals).await;
    Ok(())
}

fn start_workers(plan: &mut Plan, audit: AuditLog) -> Result<Fleet, BootError> {
    // Encoded by ourselves.
    let node = tulle_proto::envoy::core::Node::from_wire(&plan.xds_node).unwrap_or_default();
    let settings = Settings {
        workers: plan.workers,
        node: plan.node.clone(),
        service_cluster: node.cluster.clone(),
        node_id: node.id.clone(),
        zone: node.locality.as_ref().map(|l| l.zone.clone()).unwrap_or_default(),
        xds_node: Arc::new(node),
        environment: Arc::new(environment(plan)),
        secrets: plan.secrets.clone(),
        mark: plan.mark,
        limits: Limits::new(plan.limits.clone()),
        audit,
        ..Settings::default()
    };
    Fleet::start(settings, std::mem::take(&mut plan.inherited)).map_err(BootError::Thread)
}

/// The environment, with what tags of spans say of ourselves.
fn environment(plan: &mut Plan) -> std::collections::BTreeMap<String, String> {
    let node = &plan.node;
    let label = |name: &str| node.labels.get(name).cloned();
    let service = label("service.istio.io/canonical-name").or_else(|| label("app"));
    let revision = label("service.istio.io/canonical-revision").or_else(|| label("version"));
    let own = [
        ("TULLE_CANONICAL_SERVICE", service.unwrap_or_else(|| node.workload.clone())),
        ("TULLE_CANONICAL_REVISION", revision.unwrap_or_else(|| "latest".to_owned())),
        ("TULLE_CLUSTER_ID", node.cluster_id.clone()),
        ("TULLE_MESH_ID", node.mesh_id.clone()),
        ("TULLE_NAMESPACE", node.namespace.clone()),
    ];
    let mut all = std::mem::take(&mut plan.environment);
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    all
}

async fn start_dns(plan: &Plan) -> Result<Option<Rc<NameServer>>, BootError> {
    let Some(config) = &plan.dns else { return Ok(None) };
    let server = NameServer::start(config, &plan.node.namespace, &plan.node.dns_domain, plan.mark)
        .await
        .map_err(|source| BootError::Dns { address: config.listen, source })?;
    Ok(Some(server))
}

fn load_saved(main: &Main, dir: &std::path::Path) -> Vec<saved::Saved> {
    match saved::load(dir) {
        Ok(resources) if resources.is_empty() => Vec::new(),
        Ok(resources) => {
            let good = xds::restore(main, resources);
            tracing::info!(resources = good.len(), "started from the last good configuration");
            good
        }
        Err(error) => {
            tracing::warn!(%error, "starting without the last good configuration");
            Vec::new()
        }
    }
}

/// First tells clients to go elsewhere, then stops accepting, then waits for what is under way; a second signal ends it at once.
async fn wind_down(main: &Main, drain: Duration, signals: &mut StopSignals) {
    let times = DrainTimes { drain, ..DrainTimes::default() };
    tracing::info!(seconds = drain.as_secs(), "draining");
    main.drain(DrainState::Draining);
    let orderly = async {
        let deadline = tokio::time::Instant::now() + times.deadline.max(drain);
        wait_idle(main, tokio::time::Instant::now() + times.drain).await;
        main.drain(DrainState::Closing);
        wait_idle(main, deadline).await;
    };
    tokio::select! {
        () = orderly => {}
        () = signals.next() => tracing::info!("told twice to stop"),
    }
}

/// Until nothing is under way, or `deadline`.
async fn wait_idle(main: &Main, deadline: tokio::time::Instant) {
    while tokio::time::Instant::now() < deadline {
        let vitals = main.remote.vitals().await;
        if vitals.downstream_connections == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, BootError> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // IPv4 has a socket of its own.
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(128)?;
        Ok(socket.into())
    };
    open().map_err(|source| BootError::Bind { address, source })
}

fn check_mark(mark: u32) -> Result<(), BootError> {
    Socket::new(Domain::IPV4, Type::STREAM, None)
        .and_then(|socket| socket.set_mark(mark))
        .map_err(|source| BootError::Mark { mark, source })
}
