//! `tulle wait`: until resources are in force on every proxy that they concern.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;
use tulle_api::{Kind, Object, decode_object};
use tulle_base::{ResourceRef, Severity};
use tulle_local::agent::protocol::ObjectName;
use tulle_local::host::client;

use super::mesh::{StateDir, failure};
use crate::outcome::{Failure, Outcome};

/// Between two looks at the mesh.
const PAUSE: Duration = Duration::from_millis(100);
/// Largest file that is read; the parser refuses less, and says so.
const MAX_BYTES: u64 = 17 << 20;

/// Wait until resources are in force on every proxy that they concern. Ends with 1 when that takes too long, and says why.
///
/// A resource of Istio or of the Gateway API is in force when its condition Programmed is True for what is stored; with -f, what
/// is stored must be what the file says. Others only have to be there.
///
/// Example: tulle wait -f ./manifests --timeout 30s
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["file", "names"]))]
pub(crate) struct Args {
    /// Resources by kind and name, such as virtualservice/reviews.
    #[arg(value_name = "KIND/NAME")]
    names: Vec<String>,
    /// Files or folders with the resources.
    #[arg(short, long, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// Namespace of resources that are given by name.
    #[arg(short, long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// What to wait for: programmed, accepted, deleted, or condition=TYPE.
    #[arg(long = "for", value_name = "STATE", default_value = "programmed", value_parser = state)]
    wanted: Wanted,
    /// How long at most, such as 30s or 2m.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = tulle_base::duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    state: StateDir,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Deleted,
    /// This condition is True, for what is stored.
    Condition(String),
}

fn state(text: &str) -> Result<Wanted, String> {
    match text.split_once('=') {
        None if text == "deleted" || text == "delete" => Ok(Wanted::Deleted),
        None if text == "programmed" => Ok(Wanted::Condition("Programmed".to_owned())),
        None if text == "accepted" => Ok(Wanted::Condition("Accepted".to_owned())),
        Some(("condition", kind)) if !kind.is_empty() => Ok(Wanted::Condition(kind.to_owned())),
        _ => Err("write programmed, accepted, deleted, or condition=TYPE".to_owned()),
    }
}

/// A resource that is waited for.
struct Target {
    resource: ResourceRef,
    /// What the file says.
    written: Option<Object>,
}

#[allow(clippy::print_stderr, reason = "progress and reasons go to stderr")]
pub(crate) fn run(args: &Args) -> Outcome {
    let targets = targets(args)?;
    let names: Vec<ObjectName> = targets.iter().map(|t| ObjectName::from(&t.resource)).collect();
    let paths = args.state.paths();
    let give_up = Instant::now() + args.timeout;
    let mut told = None;
    loop {
        let found = client::objects(&paths, &names).map_err(failure)?;
        let waiting: Vec<(&Target, String)> = targets
            .iter()
            .zip(&found)
            .filter_map(|(target, found)| Some((target, missing(target, found.as_ref(), &args.wanted)?)))
            .collect();
        let Some((first, reason)) = waiting.first() else {
            eprintln!("{} of {} done", targets.len(), targets.len());
            return Ok(ExitCode::SUCCESS);
        };
        if Instant::now() >= give_up {
            for (target, reason) in &waiting {
                eprintln!("{}: {reason}", target.resource);
            }
            let error = anyhow::anyhow!("{} of {} not done in time", waiting.len(), targets.len());
            return Err(Failure::not_so(error));
        }
        let done = targets.len() - waiting.len();
        let line = format!("{done} of {} done; waiting for {}: {reason}", targets.len(), first.resource);
        if told.as_ref() != Some(&line) {
            eprintln!("{line}");
            told = Some(line);
        }
        std::thread::sleep(PAUSE);
    }
}

fn targets(args: &Args) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for name in &args.names {
        let resource = named(name, &args.namespace).map_err(|e| Failure::usage(anyhow::anyhow!(e)))?;
        targets.push(Target { resource, written: None });
    }
    for file in tulle_store::manifest_files(&args.file).map_err(Failure::usage)? {
        for object in objects(&file)? {
            targets.push(Target { resource: object.resource(), written: Some(object) });
        }
    }
    if targets.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!("there is no resource in these files")));
    }
    Ok(targets)
}

#[allow(clippy::print_stderr, reason = "what is wrong with the input goes to stderr")]
fn objects(file: &std::path::Path) -> Result<Vec<Object>, Failure> {
    use std::io::Read as _;
    let named = |e| Failure::usage(anyhow::anyhow!("{}: {e}", file.display()));
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(named)?;
    opened.take(MAX_BYTES).read_to_end(&mut bytes).map_err(named)?;
    let (objects, problems) = tulle_api::parse_manifests(&file.to_string_lossy(), &bytes);
    let errors: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
    if errors.is_empty() {
        return Ok(objects);
    }
    errors.iter().for_each(|problem| eprintln!("{problem}"));
    Err(Failure::usage(anyhow::anyhow!("{} has errors, so that it cannot be in force", file.display())))
}

/// `KIND/NAME`, where the kind is written as kubectl takes it: in any case, singular or plural, short, or with its group.
fn named(text: &str, namespace: &str) -> Result<ResourceRef, String> {
    let shape = || format!("{text:?} is not of the form KIND/NAME");
    let (kind, name) =
        text.split_once('/').filter(|(k, n)| !k.is_empty() && !n.is_empty()).ok_or_else(shape)?;
    let kind = kind.to_ascii_lowercase();
    let (kind, group) = kind.split_once('.').map_or((kind.as_str(), None), |(k, g)| (k, Some(g)));
    let is = |info: &tulle_api::kind::KindInfo| {
        let named = info.kind.eq_ignore_ascii_case(kind) || info.plural == kind || info.short.contains(&kind);
        named && group.is_none_or(|g| info.group == g)
    };
    let info = Kind::ALL.iter().map(|k| k.info()).find(|i| is(i));
    let info = info.ok_or_else(|| format!("there is no kind {kind:?}"))?;
    let namespace = if info.namespaced { namespace } else { "" };
    Ok(ResourceRef::new(info.group, info.kind, namespace, name))
}

/// Why a resource is not as wanted; `None` when it is.
fn missing(target: &Target, found: Option<&Value>, wanted: &Wanted) -> Option<String> {
    let Some(found) = found else {
        return (*wanted != Wanted::Deleted).then(|| "it is not in the mesh".to_owned());
    };
    let Wanted::Condition(kind) = wanted else { return Some("it is still there".to_owned()) };
    if target.written.as_ref().is_some_and(|written| !is_stored(written, found)) {
        return Some("the mesh has another version of it than the file".to_owned());
    }
    let of_the_mesh = is_of_the_mesh(&target.resource);
    if !of_the_mesh && matches!(kind.as_str(), "Programmed" | "Accepted") {
        return None;
    }
    let conditions = found["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let same = |c: &&Value| c["type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(kind));
    let Some(condition) = conditions.iter().find(same) else {
        return Some(format!("it has no condition {kind} yet"));
    };
    let generation = &found["metadata"]["generation"];
    let observed = &condition["observedGeneration"];
    if of_the_mesh && observed != generation {
        return Some("its latest version was not looked at yet".to_owned());
    }
    if condition["status"] == "True" {
        return None;
    }
    let text = |name: &str| condition[name].as_str().unwrap_or_default();
    Some(match text("message") {
        "" => format!("{kind} is {}: {}", text("status"), text("reason")),
        message => message.to_owned(),
    })
}

/// Whether what is stored is what was written. What a store or a controller adds to it does not count.
fn is_stored(written: &Object, found: &Value) -> bool {
    // Kubernetes' own kinds are completed when they are stored: addresses of services, for example.
    if !is_of_the_mesh(&written.resource()) {
        return true;
    }
    let Ok(stored) = decode_object(found) else { return false };
    let all = |written: &tulle_base::Labels, stored: &tulle_base::Labels| {
        written.iter().all(|(k, v)| stored.get(k) == Some(v))
    };
    stored.spec == written.spec
        && all(&written.meta.labels, &stored.meta.labels)
        && all(&written.meta.annotations, &stored.meta.annotations)
}

fn is_of_the_mesh(resource: &ResourceRef) -> bool {
    resource.group.ends_with(".istio.io")
        || resource.group == "gateway.networking.k8s.io"
        || resource.group == tulle_api::policy::GROUP
        || resource.kind == "Ingress"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROUTE: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: cart}\n\
                         spec: {hosts: [cart], http: [{route: [{destination: {host: cart}}]}]}\n";

    fn written() -> Target {
        let (objects, _) = tulle_api::parse_manifests("x.yaml", ROUTE.as_bytes());
        let object = objects.into_iter().next().unwrap();
        Target { resource: object.resource(), written: Some(object) }
    }

    fn stored(generation: i64, status: &str) -> Value {
        let mut found = written().written.unwrap().to_json();
        found["metadata"]["generation"] = json!(generation);
        found["status"] = json!({"conditions": [
            {"type": "Programmed", "status": status, "observedGeneration": 2, "message": "1 of 2 proxies have it"},
        ]});
        found
    }

    #[test]
    fn a_resource_is_in_force_when_its_latest_version_is() {
        let programmed = state("programmed").unwrap();
        let why = |found: Option<&Value>| missing(&written(), found, &programmed);
        assert_eq!(why(None).unwrap(), "it is not in the mesh");
        assert_eq!(why(Some(&stored(2, "True"))), None);
        assert_eq!(why(Some(&stored(2, "False"))).unwrap(), "1 of 2 proxies have it");
        assert!(why(Some(&stored(3, "True"))).unwrap().contains("latest version"));
        let mut other = stored(2, "True");
        other["spec"]["hosts"] = json!(["pay"]);
        assert!(why(Some(&other)).unwrap().contains("another version"));
        let deleted = state("deleted").unwrap();
        assert_eq!(missing(&written(), None, &deleted), None);
        assert!(missing(&written(), Some(&stored(2, "True")), &deleted).is_some());
    }

    #[test]
    fn kinds_are_named_as_kubectl_takes_them() {
        let cart = |kind: &str| named(&format!("{kind}/cart"), "shop").unwrap();
        let full = ResourceRef::new("networking.istio.io", "VirtualService", "shop", "cart");
        for kind in ["VirtualService", "virtualservices", "vs", "virtualservice.networking.istio.io"] {
            assert_eq!(cart(kind), full, "{kind}");
        }
        assert_eq!(cart("namespace").namespace, "");
        assert!(named("cart", "shop").is_err() && named("nothing/cart", "shop").is_err());
        assert!(state("condition=Ready").is_ok() && state("ready").is_err());
    }
}
