//! `tulle control-plane`: discovery and certificates for proxies, from the resources of a store.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tulle_control::AuditSink as Sink;
use tulle_control::{Anonymous, Config, ControlPlane, EtcdAccess, Rules, Source, SourceError, StartError};
use tulle_store::{EtcdTls, StoreAddress};

use crate::outcome::{Failure, Outcome};

/// Runs the control plane alone: watches a store, programs proxies over xDS and signs their certificates.
///
/// It listens on 15010 (in the clear), 15012 (TLS), and 15014 and 8080 (metrics, readiness, debugging), and runs until SIGTERM.
///
/// The store is a folder of YAML (file:FOLDER, watched), an etcd (etcd://HOST:PORT,HOST:PORT/PREFIX), a database file
/// (embedded:FILE), or one that another process offers on a unix socket (unix:SOCKET, or the path alone).
///
/// Example: tulle control-plane --store file:manifests --state-dir /var/lib/tulle --token-key token.pub.pem
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store: etcd://HOST:PORT,HOST:PORT/PREFIX, file:FOLDER, embedded:FILE or unix:SOCKET.
    #[arg(long, value_name = "STORE")]
    store: StoreAddress,
    /// Also offers the store to other processes on this unix socket.
    #[arg(long, value_name = "SOCKET")]
    serve_store: Option<PathBuf>,
    #[command(flatten)]
    etcd: EtcdArgs,
    /// Directory for its own files, the CA's key among them.
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// PEM file with the public key(s) of whoever signs service account tokens.
    #[arg(long, value_name = "FILE")]
    token_key: PathBuf,
    /// Folder with a signing key of your own (ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem) instead of a self-signed root.
    #[arg(long, value_name = "DIR")]
    cacerts: Option<PathBuf>,
    /// Trust domain of the mesh.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    trust_domain: String,
    /// Longest life of workload certificates, such as 24h or 2m.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = ttl)]
    cert_ttl: Duration,
    /// Address to listen on; :: takes IPv6 and IPv4.
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    listen: IpAddr,
    /// Where security events are told: one JSON object a line to a file, or to - for stdout; as OTLP to a collector at
    /// http://HOST, with port 4318 and path /v1/logs unless it says others. May be given again. Default: audit.log in the state
    /// directory.
    #[arg(long, value_name = "PLACE", value_parser = Sink::parse)]
    audit_log: Vec<Sink>,
    /// Namespace that it runs in; policies there hold for the whole mesh.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    namespace: String,
    /// Keeps what the proxies count, and serves the dashboard and Prometheus' queries on this address, such as 127.0.0.1:20001.
    /// Without it telemetry is not kept.
    #[arg(long, value_name = "ADDRESS")]
    dashboard: Option<std::net::SocketAddr>,
    /// Who reads the dashboard and the telemetry without a token: programs that come from these addresses, with commas between
    /// them. Others show a token or log in (tulle dashboard). Default: nobody.
    #[arg(long, value_name = "IP,IP", value_delimiter = ',', requires = "dashboard")]
    dashboard_read_from: Vec<IpAddr>,
    /// Everybody who reaches the dashboard's port reads without a token. For ports that are not reached from elsewhere.
    #[arg(long, requires = "dashboard", conflicts_with = "dashboard_read_from")]
    dashboard_anonymous: bool,
    /// Nobody writes on the dashboard.
    #[arg(long, requires = "dashboard")]
    dashboard_read_only: bool,
}

/// What an etcd asks for.
#[derive(Debug, clap::Args)]
struct EtcdArgs {
    /// PEM file with the roots of etcd's certificates; with it etcd is reached over TLS.
    #[arg(long, value_name = "FILE")]
    etcd_cacert: Option<PathBuf>,
    /// PEM file with the certificate to show to etcd.
    #[arg(long, value_name = "FILE", requires = "etcd_cacert", requires = "etcd_key")]
    etcd_cert: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[arg(long, value_name = "FILE", requires = "etcd_cert")]
    etcd_key: Option<PathBuf>,
    /// Name to log into etcd with.
    #[arg(long, value_name = "NAME", requires = "etcd_password_file")]
    etcd_user: Option<String>,
    /// File with the password, which a line break may end.
    #[arg(long, value_name = "FILE", requires = "etcd_user")]
    etcd_password_file: Option<PathBuf>,
}

impl EtcdArgs {
    fn access(self) -> anyhow::Result<EtcdAccess> {
        let Self { etcd_cacert, etcd_cert, etcd_key, etcd_user, etcd_password_file } = self;
        let tls = etcd_cacert.map(|roots| EtcdTls { roots, certificate: etcd_cert.zip(etcd_key) });
        let user = match etcd_user.zip(etcd_password_file) {
            Some((name, file)) => {
                let password =
                    std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
                Some((name, password.trim_end_matches(['\r', '\n']).to_owned()))
            }
            None => None,
        };
        Ok(EtcdAccess { tls, user })
    }
}

/// Runs until it is told to stop.
pub(crate) fn run(args: Args) -> Outcome {
    let Args {
        store,
        serve_store,
        etcd,
        state_dir,
        token_key,
        cacerts,
        trust_domain,
        cert_ttl,
        listen,
        audit_log,
        namespace,
        dashboard,
        dashboard_read_from,
        dashboard_anonymous,
        dashboard_read_only,
    } = args;
    let token_keys = std::fs::read_to_string(&token_key)
        .with_context(|| format!("{}", token_key.display()))
        .map_err(Failure::usage)?;
    let access = etcd.access().map_err(Failure::usage)?;
    let mut config = Config::listening(listen, state_dir, token_keys);
    config.cacerts = cacerts;
    config.trust_domain = trust_domain;
    config.cert_ttl = cert_ttl;
    config.namespace = namespace;
    if !audit_log.is_empty() {
        config.audit = audit_log;
    }
    config.dashboard = dashboard;
    let anonymous = match (dashboard_anonymous, dashboard_read_from.is_empty()) {
        (true, _) => Anonymous::Everybody,
        (false, true) => Anonymous::Nobody,
        (false, false) => Anonymous::From(dashboard_read_from),
    };
    config.access = Rules { anonymous, read_only: dashboard_read_only };
    config.patch_check = Some(crate::patch_check::check);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("control")
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot receive signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot receive signals")?;
        let mut source = Source::open(&store, access).await.map_err(source_failure)?;
        if let Some(socket) = serve_store {
            source.serve(socket).map_err(source_failure)?;
        }
        let control_plane = ControlPlane::start(config, source.store()).await.map_err(failure)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        control_plane.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Input that cannot be used is wrong use; a port that is taken is not.
fn failure(error: StartError) -> Failure {
    match error {
        StartError::Tokens(_) | StartError::Authority(_) => Failure::usage(error),
        StartError::Serving(_)
        | StartError::Tls(_)
        | StartError::Audit(_)
        | StartError::Bind { .. }
        | StartError::Telemetry { .. }
        | StartError::Catalog => Failure::not_so(error),
    }
}

/// An address or a file that cannot be used is wrong use.
fn source_failure(error: SourceError) -> Failure {
    match error {
        SourceError::Store(_) => Failure::not_so(error),
        SourceError::Etcd(tulle_store::EtcdError::Refused(_)) => Failure::unreachable(error),
        SourceError::Folder(_)
        | SourceError::Embedded(_)
        | SourceError::Etcd(_)
        | SourceError::Socket { .. } => Failure::usage(error),
    }
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = tulle_base::duration::parse(text)?;
    if ttl < Duration::from_secs(10) {
        return Err(format!("{text} is too short: certificates live for 10s at least"));
    }
    Ok(ttl)
}
