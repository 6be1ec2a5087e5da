//! The control plane's wiring: a store on one side, proxies on the other.
//!
//! ```text
//! store ─ Follow ─▶ world ─ Snapshot::apply ─▶ changed keys ─▶ views, own ─ translate ─▶ sets ─▶ hub ─▶ streams
//!                     │                                                                        ▲
//!                     └▶ accounts (what tokens are bound to) ─▶ CA          server (15010, 15012) ─ requests
//! ```
//!
//! What the proxies answer comes back the same way: the hub tells how far each stream is, `ledger` knows which resources of the
//! mesh concern which streams, and `status` writes what follows from it. What a proxy refuses is kept from it in a room of its
//! own (`rooms`).
//!
//! `world` is one task and owns everything that knows the mesh; `hub` (in `tulle-xds`) is one task and owns everything that
//! knows what clients have. Encoding into gRPC and TLS happens in the connections' own tasks.

mod admission;
mod bindings;
mod console;
mod documents;
mod federation;
mod keys;
mod ledger;
mod metrics;
mod monitoring;
mod own;
mod press;
mod register;
mod rooms;
mod roots;
mod rotation;
mod secrets;
mod server;
mod serving;
mod sets;
mod source;
mod standing;
mod status;
mod stop;
mod telemetry;
mod trust;
mod types;
mod views;
mod world;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tulle_ca::{
    Aliases, Authorities, AuthorityError, CaService, IssueError, IssuedBook, Setup, TokenError,
    TokenVerifier, TtlPolicy,
};
use tulle_identity::{Certificate, TrustSource, Watched};
use tulle_mesh::MeshConfig;
use tulle_store::Store;
use tulle_telemetry::audit::{AuditLog, Sink};
use tulle_xds::server::{AdsService, Hub, Limits};

pub use console::PatchCheck;
pub use serving::TlsError;
pub use tulle_dashboard::http::access::{Anonymous, Rules};
pub use tulle_telemetry::audit::Sink as AuditSink;

pub use source::{EtcdAccess, Source, SourceError};

/// What a control plane needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where its files are: the CA's key below `ca/`.
    pub state_dir: PathBuf,
    /// A folder in the layout of Istio's `cacerts`; without it the CA is self-signed.
    pub cacerts: Option<PathBuf>,
    /// PEM of the public key(s) of whoever signs service account tokens.
    pub token_keys: String,
    /// Trust domain of the mesh; default `cluster.local`.
    pub trust_domain: String,
    /// Longest life of workload certificates; default 24 h.
    pub cert_ttl: Duration,
    /// The namespace it runs in, whose policies hold for everyone; default `istio-system`.
    pub namespace: String,
    /// Name of this instance in responses.
    pub identifier: String,
    /// Discovery and CA in the clear; default 0.0.0.0:15010.
    pub plain: SocketAddr,
    /// Discovery and CA over TLS; default 0.0.0.0:15012.
    pub secure: SocketAddr,
    /// Metrics, readiness and debugging; default 0.0.0.0:15014 and 0.0.0.0:8080.
    pub monitoring: Vec<SocketAddr>,
    /// Discovery streams at a time; default 20,000.
    pub max_streams: usize,
    /// Where security events are told; default `audit.log` in the state directory.
    pub audit: Vec<Sink>,
    /// Where telemetry is asked for; default `None`: it is not kept.
    pub dashboard: Option<SocketAddr>,
    /// Who may read and write there; default: whoever logs in.
    pub access: Rules,
    /// What else is said of patches when somebody validates on the dashboard; default `None`.
    pub patch_check: Option<PatchCheck>,
}

impl Config {
    /// The defaults.
    pub fn new(state_dir: PathBuf, token_keys: String) -> Self {
        Self::listening(Ipv4Addr::UNSPECIFIED.into(), state_dir, token_keys)
    }

    /// The defaults, with all ports on `ip`; `::` takes IPv4 as well.
    pub fn listening(ip: IpAddr, state_dir: PathBuf, token_keys: String) -> Self {
        let any = |port| SocketAddr::new(ip, port);
        let audit = state_dir.join("audit.log");
        Self {
            state_dir,
            cacerts: None,
            token_keys,
            trust_domain: "cluster.local".to_owned(),
            cert_ttl: Duration::from_secs(24 * 3600),
            namespace: "istio-system".to_owned(),
            identifier: "tulle".to_owned(),
            plain: any(15010),
            secure: any(15012),
            monitoring: vec![any(15014), any(8080)],
            max_streams: 20_000,
            audit: vec![Sink::File(audit)],
            dashboard: None,
            access: Rules::default(),
            patch_check: None,
        }
    }
}

/// Why a control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No signing key.
    #[error("the certificate authority: {0}")]
    Authority(#[from] AuthorityError),
    /// No certificate for itself.
    #[error("the control plane's own certificate: {0}")]
    Serving(#[from] IssueError),
    /// No keys for tokens.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// No TLS.
    #[error("TLS of the discovery port: {0}")]
    Tls(#[from] TlsError),
    /// The audit log cannot be written.
    #[error("the audit log: {0}")]
    Audit(std::io::Error),
    /// A port is not free.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The telemetry store, or its port, cannot be opened.
    #[error(
        "telemetry at {address}: {source}; choose another address, or see to the folder telemetry of the state directory"
    )]
    Telemetry {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The catalogue of types lacks one; cannot happen.
    #[error("the catalogue of types is incomplete")]
    Catalog,
}

/// A running control plane. Dropping it ends it at once; [`ControlPlane::stop`] lets connections end in order.
pub struct ControlPlane {
    stop: watch::Sender<bool>,
    ready: watch::Receiver<bool>,
    tasks: JoinSet<()>,
    /// Address of the plaintext port.
    pub plain: SocketAddr,
    /// Address of the TLS port.
    pub secure: SocketAddr,
    /// Addresses of the monitoring ports.
    pub monitoring: Vec<SocketAddr>,
    /// Address of the port for telemetry.
    pub dashboard: Option<SocketAddr>,
    /// The root certificate(s) that workloads must trust, PEM.
    pub root_pem: String,
}

impl ControlPlane {
    /// Starts a control plane over `store`. Must be called within a tokio runtime; the ports are bound when this returns.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config, store: Arc<dyn Store>) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.state_dir).map_err(StartError::Audit)?;
        let audit = AuditLog::start("control-plane", &config.identifier, &config.audit);
        let audit = audit.map_err(StartError::Audit)?;
        let identity = Identity::new(&config)?;
        let issued = Arc::new(IssuedBook::open(&config.state_dir, SystemTime::now()));
        let aliases = Aliases::default();
        let accounts = Arc::new(bindings::Accounts::default());
        let ca = CaService::new(Setup {
            authorities: identity.authorities.clone(),
            trust_domain: config.trust_domain.clone(),
            aliases: aliases.clone(),
            tokens: TokenVerifier::from_pem(&config.token_keys)?,
            bindings: accounts.clone(),
            policy: identity.policy,
            issued: issued.clone(),
            audit: audit.clone(),
        });
        let catalog = types::catalog();
        let types = types::Types::of(&catalog).ok_or(StartError::Catalog)?;
        let (hub, events) = Hub::start(catalog, Limits::default(), config.max_streams, &config.identifier);
        let ports = Ports::bind(&config).await?;
        let kept = open_telemetry(&config).await?;
        let dashboard = kept.as_ref().map(|t| t.address);
        let services = server::Services {
            ads: AdsService::new(&hub),
            ca: ca.clone(),
            telemetry: kept.as_ref().map(|t| {
                telemetry::TelemetryService::new(t.store.clone(), t.clock.clone(), t.traces.clone())
            }),
        };

        let (stop, stopped) = stop::Stop::new();
        let (ready_sender, ready) = watch::channel(false);
        let (namespaces, namespace_receiver) = mpsc::unbounded_channel();
        let (flow, status_receiver) = status::Flow::new();
        let standing = standing::Standing::default();
        let metrics = Arc::new(metrics::Metrics::default());
        let directory: world::Directory = Arc::new(Mutex::default());
        let shown = Arc::new(monitoring::Shown {
            hub: hub.clone(),
            types,
            metrics: metrics.clone(),
            directory: directory.clone(),
            standing: standing.clone(),
            authorities: identity.authorities.clone(),
            audit: audit.clone(),
            counters: ca.counters(),
            ready: ready.clone(),
            started: Instant::now(),
            cert_ttl: config.cert_ttl,
        });
        let namespace = config.namespace.clone();
        let mesh = MeshConfig {
            trust_domain: config.trust_domain,
            root_namespace: config.namespace,
            ..MeshConfig::default()
        };
        let (register, registered) = mpsc::unbounded_channel();
        let (wanted, wanted_keys) = watch::channel(keys::Wanted::new());
        let (fetched_sender, fetched) = mpsc::unbounded_channel();
        let (trusted, trusted_receiver) =
            watch::channel(trust::Trusted::of(1, &identity.authorities.current()));
        let (pushed, pushed_receiver) = watch::channel(0);
        let (published, published_receiver) = watch::channel(0);
        let (ca_requests, requests) = mpsc::unbounded_channel();
        let (known, newest) = watch::channel(console::Known::default());
        let (asks, questions) = mpsc::unbounded_channel();
        let (told, what_came) = mpsc::unbounded_channel();
        let plane = kept.as_ref().map(|_| {
            let needs = console::Needs {
                shown: shown.clone(),
                store: store.clone(),
                issued: issued.clone(),
                known: newest,
                questions: asks,
                patch_check: config.patch_check,
            };
            Arc::new(console::Console::new(needs, &config.state_dir))
        });
        let told = plane.is_some().then_some(told);
        let rotation = rotation::Rotation {
            authorities: identity.authorities.clone(),
            issued,
            store: store.clone(),
            hub: hub.clone(),
            types,
            directory: directory.clone(),
            accounts: accounts.clone(),
            audit: audit.clone(),
            namespace: mesh.root_namespace.clone(),
            trust_domain: mesh.trust_domain.clone(),
            trusted,
            pushed: pushed_receiver,
            published: published_receiver,
            ready: ready.clone(),
            requests,
            stop: stopped.clone(),
        };
        let (bundles, wanted_bundles) = watch::channel(federation::Wanted::new());
        let (bundle_sender, bundle_receiver) = mpsc::unbounded_channel();
        let outside = world::Outside {
            bundles,
            fetched_bundles: bundle_receiver,
            trusted: trusted_receiver.clone(),
            pushed,
            ca_requests,
            aliases,
            audit,
            wanted,
            fetched,
            register,
            known,
            told,
            questions,
            store: store.clone(),
            hub,
            events,
            accounts,
            namespaces,
            flow,
            metrics,
            directory,
            standing,
            ready: ready_sender,
            stop: stopped.clone(),
        };
        let root_pem = identity.authorities.current().roots_pem();

        let mut tasks = JoinSet::new();
        tasks.spawn(world::World::new(outside, types, mesh, identity.trust.clone()).run());
        tasks.spawn(roots::publish(
            store.clone(),
            trusted_receiver.clone(),
            published,
            namespace_receiver,
            stopped.clone(),
        ));
        tasks.spawn(rotation.run());
        let fetcher = keys::Fetcher::new();
        tasks.spawn(federation::keep(fetcher, wanted_bundles, bundle_sender, stopped.clone()));
        let saved = keys::Saved::new(config.state_dir.join("keys"));
        let metrics = &shown.metrics;
        tasks.spawn(keys::keep(
            keys::Fetcher::new(),
            saved,
            Arc::clone(metrics),
            wanted_keys,
            fetched_sender,
            stopped.clone(),
        ));
        tasks.spawn(register::keep(
            store.clone(),
            config.identifier,
            Arc::clone(metrics),
            registered,
            stopped.clone(),
        ));
        tasks.spawn(status::write(store, status_receiver, stopped.clone()));
        let (plain, secure, monitoring) =
            ports.serve(&mut tasks, services, identity.tls.clone(), &shown, &stopped);
        if let Some((kept, plane)) = kept.zip(plane) {
            tasks.spawn(Arc::clone(&plane).run(what_came, stopped.clone()));
            keep_telemetry(kept, &mut tasks, shown, namespace, plane, &stopped);
        }
        tasks.spawn(identity.renew(trusted_receiver, stopped));
        tracing::info!(%plain, %secure, "control plane listens");
        Ok(Self { stop, ready, tasks, plain, secure, monitoring, dashboard, root_pem })
    }

    /// Waits until everything in the store is known and proxies are served.
    pub async fn ready(&self) {
        // The sender lives as long as the task that it belongs to; if that is gone there is nothing to wait for.
        let _ = self.ready.clone().wait_for(|r| *r).await;
    }

    /// Ends: nothing new is accepted, connections are told, and given half a second.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(2), all).await.is_err() {
            tracing::warn!("a task did not end in time");
        }
        // Connections' tasks are not ours to wait for; they take half a second at most.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn open_telemetry(config: &Config) -> Result<Option<telemetry::Telemetry>, StartError> {
    let Some(address) = config.dashboard else { return Ok(None) };
    let opened = telemetry::Telemetry::open(&config.state_dir, address, config.access.clone()).await;
    opened.map(Some).map_err(|source| StartError::Telemetry { address, source })
}

/// Serves what is kept, and keeps what we count ourselves.
fn keep_telemetry(
    kept: telemetry::Telemetry,
    tasks: &mut JoinSet<()>,
    shown: Arc<monitoring::Shown>,
    namespace: String,
    plane: Arc<console::Console>,
    stop: &stop::Stop,
) {
    let own = vec![
        ("app", "istiod".to_owned()),
        ("container", "discovery".to_owned()),
        ("job", "tulle-control-plane".to_owned()),
        ("namespace", namespace),
        ("pod", std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim().to_owned()),
    ];
    let read = move || {
        shown.gather();
        shown.metrics.samples()
    };
    tasks.spawn(telemetry::keep(kept.store.clone(), kept.clock.clone(), own, read, stop.clone()));
    kept.start(tasks, plane, stop);
}

/// The signing key, and what the control plane shows for itself.
struct Identity {
    authorities: Arc<Authorities>,
    /// By which it knows its clients.
    trust: TrustSource,
    policy: TtlPolicy,
    serving: serving::Serving,
    certificate: Watched<Certificate>,
    tls: Arc<ServerConfig>,
}

impl Identity {
    fn new(config: &Config) -> Result<Self, StartError> {
        let now = SystemTime::now();
        let (state, cacerts) = (&config.state_dir, config.cacerts.as_deref());
        let authorities = Arc::new(Authorities::open(state, cacerts, &config.trust_domain, now)?);
        let policy = TtlPolicy::new(config.cert_ttl);
        let serving = serving::Serving::new(&config.trust_domain, &config.namespace, policy.longest());
        let certificate = serving.begin(&authorities)?;
        let roots = authorities.current().roots();
        let trust = Watched::of(trust::first_bundle(roots, &config.trust_domain).map_err(TlsError::Roots)?);
        let tls = serving::tls(trust.clone(), certificate.clone()).map_err(TlsError::Build)?;
        Ok(Self { authorities, trust, policy, serving, certificate, tls })
    }

    async fn renew(self, trusted: watch::Receiver<trust::Trusted>, stop: stop::Stop) {
        self.serving.renew(self.authorities, trusted, self.certificate, stop).await;
    }
}

/// The ports, bound.
struct Ports {
    plain: (TcpListener, SocketAddr),
    secure: (TcpListener, SocketAddr),
    monitoring: Vec<(TcpListener, SocketAddr)>,
}

impl Ports {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        let (plain, secure) = (bind(config.plain).await?, bind(config.secure).await?);
        let mut monitoring = Vec::new();
        for address in &config.monitoring {
            monitoring.push(bind(*address).await?);
        }
        Ok(Self { plain, secure, monitoring })
    }

    /// Starts a task per port; returns the addresses.
    fn serve(
        self,
        tasks: &mut JoinSet<()>,
        services: server::Services,
        tls: Arc<ServerConfig>,
        shown: &Arc<monitoring::Shown>,
        stop: &stop::Stop,
    ) -> (SocketAddr, SocketAddr, Vec<SocketAddr>) {
        let Self { plain: (plain, plain_address), secure: (secure, secure_address), monitoring } = self;
        tasks.spawn(server::serve(plain, None, services.clone(), stop.clone()));
        tasks.spawn(server::serve(secure, Some(tls), services, stop.clone()));
        let mut addresses = Vec::new();
        for (listener, address) in monitoring {
            tasks.spawn(monitoring::serve(listener, shown.clone(), stop.clone()));
            addresses.push(address);
        }
        (plain_address, secure_address, addresses)
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
