//! From a pod object to a plan: everything that the manifest left open is decided, and everything wrong is said at once.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tulle_api::Object;
use tulle_api::kubernetes::{Container, PodSpec, RestartPolicy, VolumeMount};

use super::files::{VolumeFile, is_inside};
use super::images::{Entry, Images, entry};
use super::paths::Paths;
use super::probes::{Ports, declared, hook, probe};
use super::proxy;
use super::token::TokenSigner;
use super::variables::{Fields, environment};
use super::volumes::{Content, Sources};
use crate::cluster::view::View;
use crate::container::spec::{CAP_NET_ADMIN, DEFAULT_CAPABILITIES, Mount, Place, Program, RunSpec};
use crate::net::{Addresses, Ips};
use crate::pod::env::Environment;
use crate::pod::plan::{ContainerPlan, PodPlan, Restart, Role};

/// Label of the mesh's own pods.
pub(crate) const OWN_LABEL: &str = "local.tulle.dev/component";
const ACCOUNT_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// One thing that keeps a pod from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the pod.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// Whether it may go away by itself: something that the pod needs is not there yet.
    pub waits: bool,
}

impl Problem {
    pub(super) fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into(), waits: false }
    }

    pub(super) fn waits(field: &str, message: impl Into<String>) -> Self {
        Self { waits: true, ..Self::new(field, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

/// Everything that keeps a pod from starting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildError(pub Vec<Problem>);

impl BuildError {
    /// Whether all of it may go away by itself.
    pub fn waits(&self) -> bool {
        self.0.iter().all(|p| p.waits)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for BuildError {}

/// What plans are made from besides the pod.
pub(super) struct Cluster<'a> {
    pub view: &'a View,
    pub paths: &'a Paths,
    pub images: &'a dyn Images,
    pub signer: &'a TokenSigner,
    pub addresses: Addresses,
    /// Environment that every container starts from.
    pub base_env: &'a [(String, String)],
    /// Listening sockets of the host, with the address of the listener that they are for.
    pub gateway_sockets: &'a [(std::net::SocketAddr, Arc<OwnedFd>)],
    /// Life of workload certificates.
    pub cert_ttl: Duration,
    /// Seconds since 1970.
    pub now: i64,
}

/// A plan, and the files that it needs.
pub(super) struct Built {
    pub plan: PodPlan,
    pub files: Files,
}

/// Directories to make and files to write, by their directory.
#[derive(Default)]
pub(super) struct Files {
    pub dirs: Vec<PathBuf>,
    pub volumes: Vec<(PathBuf, Vec<VolumeFile>)>,
}

/// Decides everything about a pod.
pub(super) fn build(
    pod: &Object,
    spec: &PodSpec,
    ips: Ips,
    cluster: &Cluster<'_>,
) -> Result<Built, BuildError> {
    let fields = Fields { pod, spec, ips, host_ips: Ips::of_node(cluster.addresses) };
    let mut builder = Builder {
        fields: &fields,
        cluster,
        dir: cluster.paths.pod(&pod.meta.uid),
        sources: HashMap::new(),
        files: Files::default(),
        problems: Vec::new(),
    };
    if spec.host_network == Some(true) {
        builder.problems.push(Problem::new("hostNetwork", "is not supported on one machine; remove it"));
    }
    builder.prepare_files();
    let role_of = |c: &Container| {
        if c.restart_policy == Some(RestartPolicy::Always) { Role::Sidecar } else { Role::Init }
    };
    let init = spec.init_containers.iter().filter_map(|c| builder.container(c, role_of(c))).collect();
    let apps = spec.containers.iter().filter_map(|c| builder.container(c, Role::App)).collect();
    let (files, problems) = (builder.files, builder.problems);
    if !problems.is_empty() {
        return Err(BuildError(problems));
    }
    let plan = PodPlan {
        namespace: pod.meta.namespace.clone(),
        name: pod.meta.name.clone(),
        init,
        apps,
        restart: match spec.restarts() {
            RestartPolicy::Always => Restart::Always,
            RestartPolicy::OnFailure => Restart::OnFailure,
            RestartPolicy::Never => Restart::Never,
        },
        grace: spec.grace_period(),
        deadline: spec.active_deadline_seconds.map(|s| Duration::from_secs(u64::try_from(s).unwrap_or(0))),
        of_the_mesh: pod.meta.labels.contains_key(OWN_LABEL),
    };
    Ok(Built { plan, files })
}

/// The files of a pod's volumes, for a pod that runs already. What is missing now stays as it was.
pub(super) fn volume_files(pod: &Object, spec: &PodSpec, ips: Ips, cluster: &Cluster<'_>) -> Files {
    let fields = Fields { pod, spec, ips, host_ips: Ips::of_node(cluster.addresses) };
    let sources = Sources { fields: &fields, view: cluster.view, signer: cluster.signer, now: cluster.now };
    let dir = cluster.paths.pod(&pod.meta.uid);
    let mut files = Files::default();
    for volume in &spec.volumes {
        if let Ok(Content::Files(content)) = sources.content(volume) {
            files.volumes.push((dir.join("volumes").join(&volume.name), content));
        }
    }
    files
}

struct Source {
    path: PathBuf,
    read_only: bool,
}

struct Builder<'a> {
    fields: &'a Fields<'a>,
    cluster: &'a Cluster<'a>,
    dir: PathBuf,
    sources: HashMap<&'a str, Source>,
    files: Files,
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn hostname(&self) -> &'a str {
        let Fields { pod, spec, .. } = self.fields;
        let name = if spec.hostname.is_empty() { &pod.meta.name } else { &spec.hostname };
        // The kernel's limit is 64 bytes.
        name.get(..63).unwrap_or(name).trim_end_matches('-')
    }

    fn prepare_files(&mut self) {
        let Fields { pod, spec, ips, .. } = self.fields;
        let cluster = self.cluster;
        let sources =
            Sources { fields: self.fields, view: cluster.view, signer: cluster.signer, now: cluster.now };
        for volume in &spec.volumes {
            let path = self.dir.join("volumes").join(&volume.name);
            let source = match sources.content(volume) {
                Ok(Content::Files(files)) => {
                    self.files.volumes.push((path.clone(), files));
                    Source { path, read_only: true }
                }
                Ok(Content::Empty) => {
                    self.files.dirs.push(path.clone());
                    Source { path, read_only: false }
                }
                Ok(Content::Host(path)) => Source { path, read_only: false },
                Err(problem) => {
                    self.problems.push(problem);
                    Source { path, read_only: true }
                }
            };
            self.sources.insert(&volume.name, source);
        }
        let text =
            |path: &str, text: String| VolumeFile { path: path.into(), bytes: text.into(), mode: 0o644 };
        let namespace = &pod.meta.namespace;
        let hostname = self.hostname();
        let mut hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
        for ip in ips.all() {
            hosts.push_str(&format!("{ip}\t{hostname}\n"));
        }
        for alias in &spec.host_aliases {
            hosts.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.join(" ")));
        }
        let resolv = format!(
            "nameserver {}\nsearch {namespace}.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
            cluster.addresses.first.node
        );
        let etc = vec![
            text("hosts", hosts),
            text("resolv.conf", resolv),
            text("hostname", format!("{hostname}\n")),
        ];
        self.files.volumes.push((self.dir.join("etc"), etc));
    }

    fn container(&mut self, container: &'a Container, role: Role) -> Option<Arc<ContainerPlan>> {
        let at = |field: &str| format!("container {}: {field}", container.name);
        let entry = match entry(container, self.cluster.images) {
            Ok(entry) => entry,
            Err(e) => {
                self.problems.push(Problem::new("", e.to_string()));
                return None;
            }
        };
        let mut base = self.cluster.base_env.to_vec();
        base.push(("HOSTNAME".into(), self.hostname().to_owned()));
        let env = match environment(container, self.fields, self.cluster.view, &base) {
            Ok(env) => env,
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|p| Problem { field: at(&p.field), ..p }));
                return None;
            }
        };
        let mounts = self.mounts(container, &entry, &env);
        let (program, passed) = self.program(container, &entry, &env)?;
        let ports = Ports { pod: self.fields.spec, container };
        let probes = (
            self.keep(probe(container.startup_probe.as_ref(), &ports, &at("startupProbe"))),
            self.keep(probe(container.readiness_probe.as_ref(), &ports, &at("readinessProbe"))),
            self.keep(probe(container.liveness_probe.as_ref(), &ports, &at("livenessProbe"))),
        );
        let lifecycle = container.lifecycle.as_ref();
        let post_start =
            self.keep(hook(lifecycle.and_then(|l| l.post_start.as_ref()), &ports, &at("postStart")));
        let pre_stop = self.keep(hook(lifecycle.and_then(|l| l.pre_stop.as_ref()), &ports, &at("preStop")));
        let (user, group) = self.user(container);
        let cwd = Some(env.expand(&container.working_dir)).filter(|d| !d.is_empty()).map(PathBuf::from);
        let scratch = self.dir.join("scratch").join(&container.name);
        self.files.dirs.push(scratch.clone());
        let capabilities = match entry {
            Entry::Proxy | Entry::Gateway => [&DEFAULT_CAPABILITIES[..], &[CAP_NET_ADMIN]].concat(),
            _ => DEFAULT_CAPABILITIES.to_vec(),
        };
        let run = RunSpec {
            program,
            env: env.into_vec(),
            cwd,
            user,
            group,
            capabilities: Some(capabilities),
            place: Place::New { hostname: self.hostname().to_owned(), mounts, scratch },
        };
        Some(Arc::new(ContainerPlan {
            name: container.name.clone(),
            image: container.image.clone(),
            role,
            run,
            passed,
            startup: probes.0,
            readiness: probes.1,
            liveness: probes.2,
            post_start,
            pre_stop,
            listens: declared(container),
        }))
    }

    fn keep<T>(&mut self, result: Result<Option<T>, Problem>) -> Option<T> {
        result.unwrap_or_else(|problem| {
            self.problems.push(problem);
            None
        })
    }

    fn user(&self, container: &Container) -> (Option<u32>, Option<u32>) {
        let own = container.security_context.as_ref();
        let pod = self.fields.spec.security_context.as_ref();
        let id = |own: Option<i64>, pod: Option<i64>| own.or(pod).and_then(|n| u32::try_from(n).ok());
        (
            id(own.and_then(|s| s.run_as_user), pod.and_then(|s| s.run_as_user)),
            id(own.and_then(|s| s.run_as_group), pod.and_then(|s| s.run_as_group)),
        )
    }

    fn program(
        &mut self,
        container: &Container,
        entry: &Entry,
        env: &Environment,
    ) -> Option<(Program, Vec<Arc<OwnedFd>>)> {
        let args = container.args.iter().map(|a| env.expand(a));
        let built_in = |own: &[String]| own.iter().cloned().chain(container.args.iter().cloned()).collect();
        match entry {
            Entry::Host(command) => {
                let argv = command.iter().map(|a| env.expand(a)).chain(args).collect();
                Some((Program::Host(argv), Vec::new()))
            }
            Entry::BuiltIn(own) => {
                Some((Program::Own(own.iter().cloned().chain(args).collect()), Vec::new()))
            }
            Entry::Proxy | Entry::Gateway => {
                let made = proxy::agent(self.fields, self.cluster, *entry == Entry::Gateway, &self.dir);
                match made {
                    Ok((file, passed)) => {
                        let kind = if *entry == Entry::Gateway { "router" } else { "sidecar" };
                        let path = self.dir.join("proxy").join(&file.path).display().to_string();
                        self.files.volumes.push((self.dir.join("proxy"), vec![file]));
                        let own = ["proxy", kind, "--agent-config", &path].map(str::to_owned);
                        Some((Program::Own(built_in(&own)), passed))
                    }
                    Err(problem) => {
                        self.problems.push(problem);
                        None
                    }
                }
            }
            Entry::ControlPlane => {
                let paths = self.cluster.paths;
                let text = |p: PathBuf| p.display().to_string();
                // What comes by way of the host's loopback comes from the node.
                let node = self.cluster.addresses.all().map(|n| n.node.to_string());
                let own = [
                    "control-plane".to_owned(),
                    "--store".into(),
                    text(paths.store_socket()),
                    "--state-dir".into(),
                    text(paths.control_plane()),
                    "--token-key".into(),
                    text(paths.token_key()),
                    "--cert-ttl".into(),
                    format!("{}s", self.cluster.cert_ttl.as_secs()),
                    "--listen".into(),
                    self.cluster.addresses.wildcard().to_string(),
                    "--dashboard".into(),
                    SocketAddr::new(self.cluster.addresses.wildcard(), 20001).to_string(),
                    "--dashboard-read-from".into(),
                    node.collect::<Vec<_>>().join(","),
                ];
                Some((Program::Own(built_in(&own)), Vec::new()))
            }
        }
    }

    /// The state directory is hidden from every container but for what it needs of it; then come the node's files and the
    /// volumes, outer paths before inner ones.
    fn mounts(&mut self, container: &'a Container, entry: &Entry, env: &Environment) -> Vec<Mount> {
        let bind =
            |source: PathBuf, target: PathBuf, read_only| Mount { source: Some(source), target, read_only };
        let same = |path: PathBuf, read_only| bind(path.clone(), path, read_only);
        let paths = self.cluster.paths;
        let mut out = vec![Mount { source: None, target: paths.root().to_owned(), read_only: false }];
        match entry {
            Entry::Proxy | Entry::Gateway => out.push(same(self.dir.clone(), false)),
            Entry::ControlPlane => {
                out.push(same(paths.control_plane(), false));
                out.push(same(paths.store(), true));
            }
            Entry::Host(_) | Entry::BuiltIn(_) => {}
        }
        for name in ["hosts", "resolv.conf", "hostname"] {
            out.push(bind(self.dir.join("etc").join(name), PathBuf::from("/etc").join(name), false));
        }
        let mut volumes: Vec<Mount> = Vec::new();
        for mount in &container.volume_mounts {
            volumes.extend(self.volume_mount(container, mount, env));
        }
        if let Some(account) = self.account_mount(container, entry) {
            volumes.push(account);
        }
        volumes.sort_by_key(|m| m.target.components().count());
        out.extend(volumes);
        out
    }

    fn volume_mount(
        &mut self,
        container: &Container,
        mount: &VolumeMount,
        env: &Environment,
    ) -> Option<Mount> {
        let field = format!("container {}: volumeMount {}", container.name, mount.mount_path);
        let Some(source) = self.sources.get(mount.name.as_str()) else {
            self.problems.push(Problem::new(&field, format!("there is no volume {}", mount.name)));
            return None;
        };
        let sub = if mount.sub_path_expr.is_empty() {
            mount.sub_path.clone()
        } else {
            env.expand(&mount.sub_path_expr)
        };
        let mut path = source.path.clone();
        if !sub.is_empty() {
            if !is_inside(&sub) {
                self.problems.push(Problem::new(&field, format!("subPath {sub} leads out of the volume")));
                return None;
            }
            path.push(&sub);
            let is_file =
                self.files.volumes.iter().any(|(d, f)| *d == source.path && f.iter().any(|f| f.path == sub));
            if !is_file && !path.exists() {
                self.files.dirs.push(path.clone());
            }
        }
        let read_only = source.read_only || mount.read_only == Some(true);
        Some(Mount { source: Some(path), target: PathBuf::from(&mount.mount_path), read_only })
    }

    /// The token and roots that client libraries of the Kubernetes API look for.
    fn account_mount(&mut self, container: &Container, entry: &Entry) -> Option<Mount> {
        let spec = self.fields.spec;
        let taken = container.volume_mounts.iter().any(|m| m.mount_path == ACCOUNT_MOUNT);
        let app = matches!(entry, Entry::Host(_) | Entry::BuiltIn(_));
        if taken || !app || spec.automount_service_account_token == Some(false) {
            return None;
        }
        let dir = self.dir.join("account");
        if !self.files.volumes.iter().any(|(d, _)| *d == dir) {
            match proxy::account_files(self.fields, self.cluster) {
                Ok(files) => self.files.volumes.push((dir.clone(), files)),
                Err(problem) => {
                    self.problems.push(problem);
                    return None;
                }
            }
        }
        Some(Mount { source: Some(dir), target: ACCOUNT_MOUNT.into(), read_only: true })
    }
}
