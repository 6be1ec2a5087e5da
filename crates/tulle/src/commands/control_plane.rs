//! `tulle control-plane`: discovery and certificates for proxies, from the resources of a store.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tulle_control::{Config, ControlPlane, StartError};
use tulle_store::RemoteStore;

use crate::outcome::{Failure, Outcome};

/// Runs the control plane alone: watches a store, programs proxies over xDS and signs their certificates.
///
/// It listens on 15010 (in the clear), 15012 (TLS), and 15014 and 8080 (metrics, readiness, debugging), and runs until SIGTERM.
///
/// Example: tulle control-plane --store /run/tulle/store.sock --state-dir /var/lib/tulle --token-key token.pub.pem
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Unix socket of the store.
    #[arg(long, value_name = "SOCKET")]
    store: PathBuf,
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
    /// Namespace that it runs in; policies there hold for the whole mesh.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    namespace: String,
}

/// Runs until it is told to stop.
pub(crate) fn run(args: Args) -> Outcome {
    let Args { store, state_dir, token_key, cacerts, trust_domain, cert_ttl, namespace } = args;
    let token_keys = std::fs::read_to_string(&token_key)
        .with_context(|| format!("{}", token_key.display()))
        .map_err(Failure::usage)?;
    let mut config = Config::new(state_dir, token_keys);
    config.cacerts = cacerts;
    config.trust_domain = trust_domain;
    config.cert_ttl = cert_ttl;
    config.namespace = namespace;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("control")
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot receive signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot receive signals")?;
        let store = Arc::new(RemoteStore::new(store));
        let control_plane = ControlPlane::start(config, store).await.map_err(failure)?;
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
        StartError::Serving(_) | StartError::Tls(_) | StartError::Bind { .. } | StartError::Catalog => {
            Failure::not_so(error)
        }
    }
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = tulle_base::duration::parse(text)?;
    if ttl < Duration::from_secs(10) {
        return Err(format!("{text} is too short: certificates live for 10s at least"));
    }
    Ok(ttl)
}
