//! Everything that can be known to fail before the mesh is made, all at once.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use tulle_api::kubernetes::{DaemonSet, Deployment, Job, PodSpec, ReplicaSet, StatefulSet};
use tulle_api::{Object, parse_manifests};

use super::state::{Claim, StateError};
use super::{feature_check, port_owner};
use crate::net::{Families, Family};
use crate::node::images::{Images, entry};

/// One reason why the mesh does not start, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
    /// Whether it is about what the user gave (a path that cannot be read), not about the machine.
    pub usage: bool,
}

impl Refusal {
    pub(super) fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem: problem.into(), fix: fix.into(), usage: false }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fix.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}; {}", self.problem, self.fix)
        }
    }
}

/// What a mesh needs of its host.
pub(super) struct Needs<'a> {
    pub state_dir: &'a Path,
    pub manifests: &'a [PathBuf],
    pub built_in: &'a [(String, String)],
    pub gateway_port: u16,
    /// `None`: the usual one, or any other if it is not free.
    pub api_port: Option<u16>,
    /// `None`: both, if the kernel can.
    pub families: Option<Families>,
    /// `None`: the usual one, or any other if it is not free.
    pub dashboard_port: Option<u16>,
    pub images: &'a dyn Images,
}

/// What the host gave.
pub(super) struct Host {
    pub claim: Claim,
    pub gateway: TcpListener,
    /// The same port of ::1, where there is one.
    pub gateway_v6: Option<TcpListener>,
    pub families: Families,
    /// What is not as it might be, but does not keep the mesh from starting.
    pub notes: Vec<String>,
    pub api: TcpListener,
    pub xds: TcpListener,
    pub metrics: TcpListener,
    pub dashboard: TcpListener,
}

/// Default ports of the host for the API and the control plane's plaintext xDS and metrics; others are taken if these are not free.
const API_PORT: u16 = 6443;
const XDS_PORT: u16 = 15010;
const METRICS_PORT: u16 = 15014;
/// Default port for telemetry.
const DASHBOARD_PORT: u16 = 20001;

/// Checks and takes everything. The errors are complete: whoever repairs them can start.
pub(super) fn check(needs: &Needs<'_>) -> Result<Host, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut objects: Vec<Object> = Vec::new();
    for (name, yaml) in needs.built_in {
        objects.extend(parse_manifests(name, yaml.as_bytes()).0);
    }
    for path in needs.manifests {
        if let Err(e) = read_objects(path, &mut objects) {
            let problem = format!("{}: {e}", path.display());
            refusals
                .push(Refusal { usage: true, ..Refusal::new(problem, "give files or folders of manifests") });
        }
    }
    refusals.extend(unknown_images(&objects, needs.images));
    let claim = Claim::take(needs.state_dir).map_err(|e| refusals.push(state_refused(&e))).ok();
    let gateway = gateway(needs.gateway_port)
        .map_err(|e| refusals.push(port_refused(needs.gateway_port, &e, "the gateway", "--gateway-port")))
        .ok();
    let any =
        |port| listen(port).or_else(|_| listen(0)).map_err(|e| Refusal::new(format!("port {port}: {e}"), ""));
    let wanted = |port: Option<u16>, usual, whose: &str, option: &str| match port {
        Some(port) => listen(port).map_err(|e| port_refused(port, &e, whose, option)),
        None => any(usual),
    };
    let api = wanted(needs.api_port, API_PORT, "the API", "--api-port").map_err(|r| refusals.push(r)).ok();
    let dashboard = wanted(needs.dashboard_port, DASHBOARD_PORT, "telemetry", "--dashboard-port")
        .map_err(|r| refusals.push(r))
        .ok();
    let xds = any(XDS_PORT).map_err(|r| refusals.push(r)).ok();
    let metrics = any(METRICS_PORT).map_err(|r| refusals.push(r)).ok();
    let mut notes = Vec::new();
    let families = match feature_check::check(!is_root(), needs.families) {
        Ok((families, note)) => {
            notes.extend(note);
            families
        }
        Err(found) => {
            refusals.extend(found);
            Families::V4
        }
    };
    match (claim, gateway, api, xds, metrics, dashboard) {
        (Some(claim), Some((gateway, gateway_v6)), Some(api), Some(xds), Some(metrics), Some(dashboard))
            if refusals.is_empty() =>
        {
            let (gateway_v6, note) = gateway_v6;
            notes.extend(note);
            Ok(Host { claim, gateway, gateway_v6, families, notes, api, xds, metrics, dashboard })
        }
        _ => Err(refusals),
    }
}

/// Whether this process has root's rights itself.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(Family::V4.loopback(), port))
}

/// A socket on ::1, or why it is missed.
type Second = (Option<TcpListener>, Option<String>);

/// The gateway's port of 127.0.0.1, and of ::1 where the host has that.
fn gateway(port: u16) -> std::io::Result<(TcpListener, Second)> {
    let first = listen(port)?;
    let port = first.local_addr()?.port();
    let ip: IpAddr = Family::V6.loopback();
    let second = match TcpListener::bind(SocketAddr::new(ip, port)) {
        Ok(socket) => (Some(socket), None),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            let note = format!("port {port} of ::1 is in use, so the gateway is reached on 127.0.0.1 alone");
            (None, Some(note))
        }
        // A host without IPv6.
        Err(_) => (None, None),
    };
    Ok((first, second))
}

fn state_refused(error: &StateError) -> Refusal {
    let fix = match error {
        StateError::Taken { .. } => "stop it with tulle down, or give this one another --state-dir",
        StateError::TooLong(_) | StateError::Io { .. } => "give another --state-dir",
    };
    Refusal::new(error.to_string(), fix)
}

fn port_refused(port: u16, error: &std::io::Error, whose: &str, option: &str) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let by = port_owner::find(port).map(|p| format!(" by {p}")).unwrap_or_default();
            Refusal::new(
                format!("port {port} of 127.0.0.1 is in use{by}"),
                format!("stop that, or give {whose} another one with {option}"),
            )
        }
        std::io::ErrorKind::PermissionDenied => Refusal::new(
            format!("port {port} of 127.0.0.1: {error}"),
            format!("ports below 1024 need root; give another one with {option}"),
        ),
        _ => Refusal::new(format!("port {port} of 127.0.0.1: {error}"), ""),
    }
}

/// The objects of a file or folder, for a first look: diagnostics come from the agent, which reads them again.
fn read_objects(path: &Path, objects: &mut Vec<Object>) -> std::io::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        entries.sort();
        for entry in entries {
            let name = entry.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
            if !name.starts_with('.') && (entry.is_dir() || manifest) {
                read_objects(&entry, objects)?;
            }
        }
        return Ok(());
    }
    let bytes = std::fs::read(path)?;
    objects.extend(parse_manifests(&path.display().to_string(), &bytes).0);
    Ok(())
}

fn unknown_images(objects: &[Object], images: &dyn Images) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for object in objects {
        let Some(spec) = pod_spec(object) else { continue };
        for container in spec.init_containers.iter().chain(&spec.containers) {
            // The proxy of an already injected manifest is ours to replace.
            if let Err(e) = entry(container, images)
                && container.name != crate::cluster::inject::PROXY
            {
                let place = object.origin.as_ref().map(|o| format!("{o}: ")).unwrap_or_default();
                refusals.push(Refusal::new(format!("{place}{}: {e}", object.resource()), ""));
            }
        }
    }
    refusals
}

/// The pods that an object makes.
fn pod_spec(object: &Object) -> Option<&PodSpec> {
    if let Some(d) = object.get::<Deployment>() {
        return Some(&d.template.spec);
    }
    if let Some(s) = object.get::<StatefulSet>() {
        return Some(&s.template.spec);
    }
    if let Some(d) = object.get::<DaemonSet>() {
        return Some(&d.template.spec);
    }
    if let Some(j) = object.get::<Job>() {
        return Some(&j.template.spec);
    }
    if let Some(r) = object.get::<ReplicaSet>() {
        return r.template.as_ref().map(|t| &t.spec);
    }
    object.get::<PodSpec>()
}
