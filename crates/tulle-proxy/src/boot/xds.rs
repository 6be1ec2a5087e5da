//! The client of the control plane: what it sends goes into the book, what the book says goes back.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_rustls::TlsConnector;
use tulle_engine::compile;
use tulle_engine::runtime::Cluster;
use tulle_engine::runtime::cluster::{Discovery, UpstreamTransport};
use tulle_engine::runtime::net::Address;
use tulle_identity::secrets::{MESH_ROOTS, OWN_CERTIFICATE};
use tulle_identity::{Secrets, connect};
use tulle_proto::Message as _;
use tulle_proto::istio::nds::NameTable;
use tulle_proto::{envoy, type_url};
use tulle_xds::ResourceError;
use tulle_xds::client::{BoxIo, Client, Config, Connector, Event, Events, Interest, Update};

use super::book::{Outcome, Raw, join};
use super::compile::Problem;
use super::health::{HEALTH, Verdict};
use super::main_thread::Main;
use super::plan::{MeshServer, XdsPlan, XdsServer};
use super::saved::Saved;
use super::secrets;

/// How long one address may take to accept and to shake hands.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the xDS server cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// The bootstrap has no such cluster.
    #[error("the xDS cluster {0} is not among the static clusters")]
    NoCluster(Arc<str>),
    /// The cluster's endpoints are not in the bootstrap.
    #[error("the xDS cluster {0} must be STATIC, STRICT_DNS or LOGICAL_DNS")]
    NoEndpoints(Arc<str>),
    /// Its TLS cannot be set up.
    #[error("the xDS cluster {cluster}: {source}")]
    Tls {
        /// The cluster.
        cluster: Arc<str>,
        /// What is wrong.
        source: crate::tls::TlsError,
    },
    /// The mesh's control plane cannot be dialled as described.
    #[error(transparent)]
    Mesh(#[from] connect::ConnectError),
}

/// A running client with what it must be told at the start.
pub(super) struct Link {
    client: Rc<Client>,
}

/// Connects to the control plane and asks for what the plan wants. `remembered` is offered as in force already.
pub(super) fn start(
    plan: &XdsPlan,
    node: bytes::Bytes,
    connector: Connector,
    remembered: &[Saved],
) -> (Link, Events) {
    let (client, events) = Client::start(Config::new(node, plan.authority.clone()), connector);
    for saved in remembered {
        client.remember(&saved.type_url, &saved.name, &saved.version);
    }
    if plan.clusters {
        client.subscribe(type_url::CLUSTER, Interest::Wildcard);
    }
    if plan.listeners {
        client.subscribe(type_url::LISTENER, Interest::Wildcard);
    }
    if plan.trust {
        client.subscribe(type_url::TRUST_BUNDLE, Interest::Wildcard);
    }
    if plan.names {
        client.subscribe(type_url::NAME_TABLE, Interest::Wildcard);
    }
    (Link { client: Rc::new(client) }, events)
}

impl Link {
    /// The connection, for what is sent beside the stream.
    pub(super) fn connection(&self) -> tulle_xds::client::Connection {
        self.client.connection()
    }

    /// Deals with one event of the client.
    pub(super) async fn handle(&self, main: &Main, event: Event) {
        match event {
            Event::Connected => {
                tracing::info!("connected to the control plane");
                main.counts.connected.set(true);
            }
            Event::Disconnected { reason, retry_in } => {
                if main.counts.connected.replace(false) {
                    tracing::warn!(reason, "lost the control plane; serving on with what is in force");
                } else {
                    tracing::debug!(reason, ?retry_in, "control plane not reached");
                }
                main.counts.disconnects.set(main.counts.disconnects.get() + 1);
            }
            Event::Update(update) => self.update(main, update).await,
        }
    }

    /// Tells the control plane whether the application is well.
    pub(super) fn tell_health(&self, verdict: Verdict) {
        self.client.report(HEALTH, verdict);
    }

    /// Puts an update in force and answers it. An answer says that every worker goes by it: whoever has read it may count on the
    /// next request.
    async fn update(&self, main: &Main, update: Update) {
        if &*update.type_url == type_url::TRUST_BUNDLE {
            *main.counts.accepted.borrow_mut().entry("trust").or_default() += 1;
            return super::trust::update(main, &self.client, update);
        }
        let Update { type_url, changed, removed, ticket } = update;
        let changed: Vec<Raw> = changed
            .into_iter()
            .map(|r| Raw { name: r.name, version: r.version, payload: r.payload })
            .collect();
        tracing::debug!(%type_url, changed = changed.len(), removed = removed.len(), "configuration came");
        let errors = take_in(main, &type_url, changed, &removed);
        let counts = if errors.is_empty() { &main.counts.accepted } else { &main.counts.rejected };
        *counts.borrow_mut().entry(short(&type_url)).or_default() += 1;
        for error in &errors {
            tracing::warn!(%type_url, resource = error.name, problem = error.message, "refused; the last good version stays");
        }
        // What is needed next is asked for before this is answered, so that the server knows it when it goes on.
        self.subscribe_needs(main);
        main.remote.caught_up().await;
        if errors.is_empty() {
            self.client.accept(ticket);
        } else {
            self.client.reject(ticket, errors);
        }
        match &*type_url {
            type_url::CLUSTER => main.progress.clusters.set(Some(true)),
            type_url::LISTENER => main.progress.listeners.set(Some(true)),
            _ => {}
        }
    }

    /// Subscribes to what resources in force refer to, and drops what nothing refers to any more.
    pub(super) fn subscribe_needs(&self, main: &Main) {
        let mut book = main.book.borrow_mut();
        let endpoints = book.wanted_endpoints.take_changes();
        let routes = book.wanted_routes.take_changes();
        let mut secrets = book.wanted_secrets.take_changes();
        let own = |name: &String| name == OWN_CERTIFICATE || name == MESH_ROOTS;
        secrets.added.retain(|name| !own(name) && !is_there(&main.secrets, name));
        for (url, changes) in [
            (type_url::CLUSTER_LOAD_ASSIGNMENT, endpoints),
            (type_url::ROUTE_CONFIGURATION, routes),
            (type_url::SECRET, secrets),
        ] {
            if !changes.added.is_empty() {
                self.client.subscribe(url, Interest::Names(changes.added));
            }
            if !changes.dropped.is_empty() {
                self.client.unsubscribe(url, changes.dropped);
            }
        }
    }
}

fn is_there(secrets: &Secrets, name: &str) -> bool {
    secrets.certificate(name).get().is_some() || secrets.bundle(name).get().is_some()
}

/// Takes in resources of one type, from the wire or from disk.
pub(super) fn take_in(
    main: &Main,
    type_url: &str,
    changed: Vec<Raw>,
    removed: &[Arc<str>],
) -> Vec<ResourceError> {
    match type_url {
        type_url::NAME_TABLE => names(main, &changed, removed),
        type_url::SECRET => changed.iter().filter_map(|raw| secret(&main.secrets, raw).err()).collect(),
        _ => {
            let outcome = main.book.borrow_mut().apply(type_url, changed, removed, Instant::now());
            finish(main, outcome)
        }
    }
}

/// Puts an outcome in force and returns everything that was refused.
pub(super) fn finish(main: &Main, mut outcome: Outcome) -> Vec<ResourceError> {
    let mut errors = std::mem::take(&mut outcome.errors);
    {
        let mut resolvers = main.resolvers.borrow_mut();
        for name in &outcome.removed_clusters {
            resolvers.remove(name);
        }
    }
    errors.extend(main.put_in_force(&mut outcome));
    errors
}

fn names(main: &Main, changed: &[Raw], removed: &[Arc<str>]) -> Vec<ResourceError> {
    let Some(dns) = &main.dns else { return Vec::new() };
    let mut errors = Vec::new();
    for raw in changed {
        match NameTable::from_wire(&raw.payload) {
            Ok(table) => dns.update(&raw.name, &table),
            Err(error) => errors.push(ResourceError::new(&*raw.name, format!("does not decode: {error}"))),
        }
    }
    for name in removed {
        dns.remove(name);
    }
    errors
}

fn secret(secrets: &Secrets, raw: &Raw) -> Result<(), ResourceError> {
    let fail = |message: String| ResourceError::new(&*raw.name, message);
    let message = envoy::tls::Secret::from_wire(&raw.payload)
        .map_err(|e| fail(format!("the message does not decode: {e}")))?;
    let (secret, _) = compile::secret(&message).map_err(|e| fail(Problem::from(&e).to_string()))?;
    secrets::put(secrets, &raw.name, &secret).map_err(|e| fail(e.to_string()))
}

/// How to reach the server that a plan names.
///
/// # Errors
/// [`ServerError`] when it names none that can be dialled.
pub(super) fn connector(
    server: &XdsServer,
    clusters: &[Arc<Cluster>],
    secrets: &Secrets,
    mark: Option<u32>,
) -> Result<Connector, ServerError> {
    match server {
        XdsServer::Mesh(mesh) => {
            let connector = mesh_connector(mesh, mark)?;
            Ok(tulle_xds::client::connector(move || {
                let connector = connector.clone();
                async move { connector.connect().await.map_err(io::Error::other) }
            }))
        }
        XdsServer::Cluster(name) => {
            let cluster = clusters.iter().find(|c| c.name == *name);
            to_cluster(cluster.ok_or_else(|| ServerError::NoCluster(Arc::clone(name)))?, secrets, mark)
        }
    }
}

/// TLS to the mesh's control plane.
pub(super) fn mesh_connector(
    mesh: &MeshServer,
    mark: Option<u32>,
) -> Result<connect::Connector, connect::ConnectError> {
    let MeshServer { host, addresses, roots, known, own } = mesh;
    let connector =
        connect::Connector::mesh(host, addresses.clone(), roots.clone(), known.clone(), own.clone())?;
    Ok(connector.marked(mark))
}

fn to_cluster(
    cluster: &Arc<Cluster>,
    secrets: &Secrets,
    mark: Option<u32>,
) -> Result<Connector, ServerError> {
    let set = match &cluster.discovery {
        Discovery::Static(set) | Discovery::StrictDns(set, _) | Discovery::LogicalDns(set, _) => set,
        Discovery::Eds(_) | Discovery::OriginalDst(_) | Discovery::Forward(_) => {
            return Err(ServerError::NoEndpoints(Arc::clone(&cluster.name)));
        }
    };
    let addresses: Arc<[Address]> = set.endpoints.iter().map(|e| e.address.clone()).collect();
    let default = cluster.transports.last().map(|t| &t.transport);
    let tls = match default {
        Some(UpstreamTransport::Tls(tls)) => {
            let h2: [Arc<str>; 1] = ["h2".into()];
            let config = crate::tls::client(tls, false, Some(&h2), secrets)
                .map_err(|source| ServerError::Tls { cluster: Arc::clone(&cluster.name), source })?;
            Some((TlsConnector::from(config.config), Arc::clone(&tls.sni)))
        }
        Some(UpstreamTransport::Plain) | None => None,
    };
    Ok(tulle_xds::client::connector(move || {
        let (addresses, tls) = (Arc::clone(&addresses), tls.clone());
        async move { dial_first(&addresses, tls.as_ref(), mark).await }
    }))
}

async fn dial_first(
    addresses: &[Address],
    tls: Option<&(TlsConnector, Arc<str>)>,
    mark: Option<u32>,
) -> io::Result<BoxIo> {
    let mut last = io::Error::new(io::ErrorKind::NotConnected, "the xDS cluster has no endpoint");
    for address in addresses {
        match tokio::time::timeout(DIAL_TIMEOUT, dial(address, tls, mark)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address}: no answer in time")),
        }
    }
    Err(last)
}

async fn dial(
    address: &Address,
    tls: Option<&(TlsConnector, Arc<str>)>,
    mark: Option<u32>,
) -> io::Result<BoxIo> {
    let resolved: SocketAddr = match address {
        Address::Ip(ip) => *ip,
        Address::Name(host, port) => tokio::net::lookup_host((&**host, *port))
            .await?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?,
        Address::Pipe(path) => return Ok(Box::new(tokio::net::UnixStream::connect(&**path).await?)),
    };
    let stream = connect::dial(resolved, mark).await?;
    let Some((connector, sni)) = tls else { return Ok(Box::new(stream)) };
    let name = match (sni.is_empty(), address) {
        (false, _) => sni.to_string(),
        (true, Address::Name(host, _)) => host.to_string(),
        (true, _) => resolved.ip().to_string(),
    };
    let name = rustls_pki_types::ServerName::try_from(name).map_err(io::Error::other)?;
    Ok(Box::new(connector.connect(name, stream).await?))
}

fn short(type_url: &str) -> &'static str {
    match type_url {
        type_url::CLUSTER => "cds",
        type_url::CLUSTER_LOAD_ASSIGNMENT => "eds",
        type_url::LISTENER => "lds",
        type_url::ROUTE_CONFIGURATION => "rds",
        type_url::SECRET => "sds",
        type_url::NAME_TABLE => "nds",
        _ => "other",
    }
}

/// Everything that xDS brought and that is in force, for the next start. No secrets.
pub(super) fn to_save(main: &Main) -> Vec<Saved> {
    let book = main.book.borrow();
    let mut all = Vec::new();
    let mut add = |type_url: &str, raws: Vec<Raw>| {
        all.extend(raws.into_iter().map(|raw| Saved {
            type_url: type_url.to_owned(),
            name: raw.name.to_string(),
            version: raw.version.to_string(),
            payload: raw.payload,
        }));
    };
    add(type_url::CLUSTER, book.clusters.iter().filter_map(|(_, h)| h.raw.clone()).collect());
    add(
        type_url::CLUSTER_LOAD_ASSIGNMENT,
        book.endpoints.iter().filter_map(|(_, h)| h.raw.clone()).collect(),
    );
    add(type_url::ROUTE_CONFIGURATION, book.routes.iter().filter_map(|(_, h)| h.raw.clone()).collect());
    add(type_url::LISTENER, book.listeners.iter().filter_map(|(_, h)| h.raw.clone()).collect());
    all
}

/// Puts the last good configuration in force; what of it is still good.
pub(super) fn restore(main: &Main, saved: Vec<Saved>) -> Vec<Saved> {
    let mut good = Vec::with_capacity(saved.len());
    let mut all = Outcome::default();
    for url in [
        type_url::CLUSTER,
        type_url::CLUSTER_LOAD_ASSIGNMENT,
        type_url::ROUTE_CONFIGURATION,
        type_url::LISTENER,
    ] {
        let these: Vec<&Saved> = saved.iter().filter(|s| s.type_url == url).collect();
        let raws = these
            .iter()
            .map(|s| Raw {
                name: s.name.as_str().into(),
                version: s.version.as_str().into(),
                payload: s.payload.clone(),
            })
            .collect();
        let outcome = main.book.borrow_mut().apply(url, raws, &[], Instant::now());
        let Outcome { changes, errors, resolve, removed_clusters: _ } = outcome;
        good.extend(these.into_iter().filter(|s| !errors.iter().any(|e| e.name == s.name)).cloned());
        join(&mut all.changes, changes);
        all.resolve.extend(resolve);
    }
    finish(main, all);
    good
}
