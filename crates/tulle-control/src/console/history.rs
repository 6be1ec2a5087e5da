//! The versions of resources: what was written, when and by whom.
//!
//! Kept in memory and in a file, both bounded; the file is read again when the control plane starts, so that what changed while it was
//! away is one version more. Of a resource the last [`VERSIONS`] are kept, of all together [`MAX_BYTES`]; what goes is counted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tulle_api::{Kind, Object};
use tulle_base::ResourceRef;
use tulle_dashboard::plane::{Change, FieldChange, Version};

use super::model::reference;
use crate::documents::is_of_the_mesh;

/// Versions of one resource.
const VERSIONS: usize = 20;
/// Resources with versions, those that are deleted among them.
const RESOURCES: usize = 20_000;
/// Bytes of all texts together.
const MAX_BYTES: usize = 32 << 20;
/// Largest text of one version; larger ones are told of without.
const MAX_TEXT: usize = 1 << 20;
/// Changes that are found without looking through all resources.
const RECENT: usize = 1_000;
/// The file is written anew when it is this much larger than what is kept.
const SLACK: u64 = 16 << 20;

/// One version as it is kept, and a line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    resource: [String; 4],
    version: u64,
    time: f64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    who: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    how: String,
    operation: String,
    source: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    resource_version: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    versions: HashMap<ResourceRef, VecDeque<Kept>>,
    recent: VecDeque<(ResourceRef, u64)>,
    /// Who is about to change what: told by who writes, before the change comes back from the store.
    writers: VecDeque<(ResourceRef, String)>,
    bytes: usize,
    dropped: u64,
    file: Option<(File, PathBuf, u64)>,
}

impl History {
    /// Reads a file; one that is not there yet is made.
    pub(super) fn open(path: &Path) -> Self {
        let mut history = Self::default();
        if let Ok(file) = File::open(path) {
            history.read(BufReader::new(file));
        }
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        match opened.and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((length, file)) => history.file = Some((file, path.to_owned(), length)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "versions of resources are kept in memory only")
            }
        }
        history
    }

    fn read(&mut self, mut file: impl io::BufRead) {
        let mut line = Vec::new();
        loop {
            line.clear();
            match file.by_ref_until(&mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            // A torn or strange line is one version less.
            if let Ok(kept) = serde_json::from_slice::<Kept>(&line) {
                self.keep(kept);
            }
        }
    }

    /// Somebody is about to change `resource`.
    pub(super) fn writes(&mut self, resource: ResourceRef, who: &str) {
        if self.writers.len() >= 64 {
            self.writers.pop_front();
        }
        self.writers.push_back((resource, who.to_owned()));
    }

    /// Nothing came of it.
    pub(super) fn forget_writer(&mut self, resource: &ResourceRef) {
        self.writers.retain(|(r, _)| r != resource);
    }

    /// An object is there as `object`; `true` if that is a new version.
    pub(super) fn put(&mut self, object: &Object, now: f64) -> bool {
        if !is_kept(object) {
            return false;
        }
        let (resource, text) = (object.resource(), text_of(object));
        let last = self.versions.get(&resource).and_then(VecDeque::back);
        let fits = text.len() <= MAX_TEXT;
        if last.is_some_and(|last| {
            last.text.as_deref() == Some(&*text)
                || (!fits && last.resource_version == object.meta.resource_version)
        }) {
            return false;
        }
        let known = last.filter(|last| last.operation != "delete");
        let summary = match known {
            Some(last) => summary(last.text.as_deref().unwrap_or(""), &text),
            None => String::new(),
        };
        // What was there before anybody looked was made when the store says.
        let created = object.meta.creation_timestamp.as_ref().and_then(|t| seconds_of(t.as_str()));
        let (time, operation) = match known {
            Some(_) => (changed_at(object, now), "update"),
            None => (created.unwrap_or(now), "create"),
        };
        let version = last.map_or(1, |last| last.version + 1);
        let writer = self.take_writer(&resource);
        let manager = manager(object);
        let (who, source) = match (writer, &manager, &object.origin) {
            (Some(who), ..) => (who, "dashboard"),
            (None, Some((name, _)), _) => (name.clone(), "api"),
            (None, None, Some(origin)) => (origin.to_string(), "file"),
            (None, None, None) => (String::new(), "api"),
        };
        self.write(Kept {
            resource: parts(&resource),
            version,
            time,
            who,
            how: manager.map(|(_, how)| how).unwrap_or_default(),
            operation: operation.to_owned(),
            source: source.to_owned(),
            resource_version: object.meta.resource_version.clone(),
            summary,
            text: fits.then_some(text),
        });
        true
    }

    /// An object is gone.
    pub(super) fn delete(&mut self, resource: &ResourceRef, now: f64) -> bool {
        let Some(last) = self.versions.get(resource).and_then(VecDeque::back) else { return false };
        if last.operation == "delete" {
            return false;
        }
        let version = last.version + 1;
        let writer = self.take_writer(resource);
        let source = if writer.is_some() { "dashboard" } else { "api" };
        self.write(Kept {
            resource: parts(resource),
            version,
            time: now,
            who: writer.unwrap_or_default(),
            how: String::new(),
            operation: "delete".to_owned(),
            source: source.to_owned(),
            resource_version: String::new(),
            summary: String::new(),
            text: None,
        });
        true
    }

    /// Everything that is there was told: what else was there is gone.
    pub(super) fn only(&mut self, there: &HashSet<ResourceRef>, now: f64) {
        let gone: Vec<ResourceRef> = self.versions.keys().filter(|r| !there.contains(r)).cloned().collect();
        for resource in gone {
            self.delete(&resource, now);
        }
    }

    /// The versions of a resource, newest first.
    pub(super) fn versions(&self, resource: &ResourceRef) -> Vec<Version> {
        self.versions.get(resource).into_iter().flatten().rev().map(Kept::told).collect()
    }

    /// How many there are, and the last.
    pub(super) fn last(&self, resource: &ResourceRef) -> (usize, Option<Version>) {
        let all = self.versions.get(resource);
        (all.map_or(0, VecDeque::len), all.and_then(VecDeque::back).map(Kept::told))
    }

    /// One version with its text.
    pub(super) fn version(&self, resource: &ResourceRef, version: u64) -> Option<(Version, Option<String>)> {
        let all = self.versions.get(resource)?;
        let found = all.iter().find(|kept| kept.version == version)?;
        Some((found.told(), found.text.as_deref().map(str::to_owned)))
    }

    /// What changed since a moment, newest first.
    pub(super) fn changes(&self, since: f64, most: usize) -> Vec<Change> {
        // Of those of one second, too, the newest comes first.
        let mut all: Vec<Change> = (self.recent.iter().rev())
            .filter_map(|(resource, version)| {
                let kept = self.versions.get(resource)?.iter().find(|k| k.version == *version)?;
                (kept.time >= since).then(|| Change { resource: reference(resource), version: kept.told() })
            })
            .collect();
        all.sort_by(|a, b| b.version.time.total_cmp(&a.version.time));
        all.truncate(most);
        all
    }

    /// Resources, versions, bytes, and how many versions were dropped for lack of room.
    pub(super) fn counts(&self) -> [u64; 4] {
        let versions = self.versions.values().map(VecDeque::len).sum::<usize>();
        [self.versions.len() as u64, versions as u64, self.bytes as u64, self.dropped]
    }

    fn take_writer(&mut self, resource: &ResourceRef) -> Option<String> {
        let at = self.writers.iter().position(|(r, _)| r == resource)?;
        self.writers.remove(at).map(|(_, who)| who)
    }

    fn write(&mut self, kept: Kept) {
        let mut line = serde_json::to_vec(&kept).unwrap_or_default();
        line.push(b'\n');
        self.keep(kept);
        if let Some((file, _, length)) = &mut self.file {
            match file.write_all(&line) {
                Ok(()) => *length += line.len() as u64,
                Err(error) => {
                    tracing::warn!(%error, "versions of resources are kept in memory only from now on");
                    self.file = None;
                }
            }
        }
        self.compact();
    }

    fn keep(&mut self, kept: Kept) {
        let [group, kind, namespace, name] = &kept.resource;
        let resource = ResourceRef::new(&**group, &**kind, &**namespace, &**name);
        self.bytes += size(&kept);
        self.recent.push_back((resource.clone(), kept.version));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        let all = self.versions.entry(resource).or_default();
        all.push_back(kept);
        if all.len() > VERSIONS
            && let Some(old) = all.pop_front()
        {
            self.bytes -= size(&old);
        }
        while self.bytes > MAX_BYTES || self.versions.len() > RESOURCES {
            self.make_room();
        }
    }

    /// What was deleted longest ago goes first, then the oldest version of whatever has most.
    fn make_room(&mut self) {
        let time = |all: &VecDeque<Kept>| all.back().map_or(0.0, |k| k.time);
        let deleted =
            self.versions.iter().filter(|(_, all)| all.back().is_some_and(|k| k.operation == "delete"));
        let oldest = deleted.min_by(|(_, a), (_, b)| time(a).total_cmp(&time(b))).map(|(r, _)| r.clone());
        let largest = || {
            let all = self.versions.iter();
            all.max_by_key(|(_, all)| all.iter().map(size).sum::<usize>()).map(|(r, _)| r.clone())
        };
        let (resource, whole) = match oldest {
            Some(resource) => (resource, true),
            None => match largest() {
                Some(resource) => (resource, false),
                None => return,
            },
        };
        let Some(all) = self.versions.get_mut(&resource) else { return };
        let mut gone = Vec::new();
        if whole || all.len() <= 1 {
            gone.extend(self.versions.remove(&resource).into_iter().flatten());
        } else {
            gone.extend(all.pop_front());
        }
        self.bytes -= gone.iter().map(size).sum::<usize>();
        self.dropped += gone.len() as u64;
    }

    /// Writes the file anew when most of it is of no use any more.
    fn compact(&mut self) {
        let kept = self.bytes as u64;
        let Some((_, path, length)) = &self.file else { return };
        if *length <= 2 * kept + SLACK {
            return;
        }
        let path = path.clone();
        match self.rewrite(&path) {
            Ok(file) => self.file = Some(file),
            Err(error) => tracing::warn!(%error, "the file of versions could not be made smaller"),
        }
    }

    fn rewrite(&self, path: &Path) -> io::Result<(File, PathBuf, u64)> {
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        let mut out = io::BufWriter::new(file);
        let mut all: Vec<&Kept> = self.versions.values().flatten().collect();
        all.sort_by(|a, b| a.time.total_cmp(&b.time).then(a.version.cmp(&b.version)));
        for kept in all {
            serde_json::to_writer(&mut out, kept)?;
            out.write_all(b"\n")?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        std::fs::rename(&new, path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok((file, path.to_owned(), length))
    }
}

impl Kept {
    fn told(&self) -> Version {
        let fixed =
            |text: &str, of: &[&'static str]| of.iter().find(|w| **w == text).copied().unwrap_or(of[0]);
        Version {
            version: self.version,
            time: self.time,
            who: self.who.clone(),
            how: self.how.clone(),
            operation: fixed(&self.operation, &["update", "create", "delete"]),
            source: fixed(&self.source, &["api", "file", "dashboard"]),
            resource_version: self.resource_version.clone(),
            summary: self.summary.clone(),
        }
    }
}

/// Reading a line of bounded length.
trait Lines {
    fn by_ref_until(&mut self, line: &mut Vec<u8>) -> io::Result<usize>;
}

impl<R: io::BufRead> Lines for R {
    fn by_ref_until(&mut self, line: &mut Vec<u8>) -> io::Result<usize> {
        let most = (2 * MAX_TEXT + 64 * 1024) as u64;
        let mut limited = io::Read::take(&mut *self, most);
        limited.read_until(b'\n', line)
    }
}

fn parts(resource: &ResourceRef) -> [String; 4] {
    let ResourceRef { group, kind, namespace, name } = resource;
    [group.clone(), kind.clone(), namespace.clone(), name.clone()]
}

fn size(kept: &Kept) -> usize {
    300 + kept.text.as_ref().map_or(0, |t| t.len()) + kept.summary.len() + kept.who.len()
}

/// Whether versions of an object are kept: the mesh's own resources, services, what makes pods, and the mesh's settings.
pub(super) fn is_kept(object: &Object) -> bool {
    let kind = object.kind();
    let settings =
        |name: &str| name == "istio" || (name.starts_with("istio-") && name != "istio-ca-root-cert");
    is_of_the_mesh(kind.info().group)
        || matches!(
            kind,
            Kind::Service
                | Kind::Namespace
                | Kind::Ingress
                | Kind::IngressClass
                | Kind::Deployment
                | Kind::StatefulSet
                | Kind::DaemonSet
        )
        || (kind == Kind::ConfigMap && settings(&object.meta.name))
}

/// An object as somebody would have written it.
pub(super) fn clean(object: &Object) -> Value {
    let mut json = object.to_json();
    if let Some(map) = json.as_object_mut() {
        map.remove("status");
    }
    if let Some(meta) = json["metadata"].as_object_mut() {
        for noted in
            ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"]
        {
            meta.remove(noted);
        }
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            if annotations.is_empty() {
                meta.remove("annotations");
            }
        }
    }
    json
}

/// The same as YAML.
pub(super) fn text_of(object: &Object) -> String {
    tulle_api::to_yaml(&clean(object))
}

/// The field manager that wrote last, and how.
fn manager(object: &Object) -> Option<(String, String)> {
    let fields = &object.meta.managed_fields;
    let text = |f: &Value, name: &str| f[name].as_str().unwrap_or_default().to_owned();
    let written = fields.iter().filter(|f| f["subresource"].as_str().is_none_or(str::is_empty));
    let newest = written.max_by_key(|f| text(f, "time"))?;
    Some((text(newest, "manager"), text(newest, "operation")))
}

/// When an object was last written, as its manager notes; now, if that is far off.
fn changed_at(object: &Object, now: f64) -> f64 {
    let fields = &object.meta.managed_fields;
    let newest = fields.iter().filter_map(|f| f["time"].as_str()).max();
    // Whole seconds are noted: for what happens just now the clock is better.
    newest.and_then(seconds_of).filter(|at| now - at > 5.0).unwrap_or(now)
}

fn seconds_of(time: &str) -> Option<f64> {
    let at: jiff::Timestamp = time.parse().ok()?;
    #[allow(clippy::cast_precision_loss, reason = "seconds of this century")]
    Some(at.as_second() as f64)
}

/// The first two differences.
fn summary(from: &str, to: &str) -> String {
    let changes = compare(from, to);
    let short = |value: &Value| {
        let text = match value {
            Value::Null => "none".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match text.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    };
    let mut shown: Vec<String> = changes
        .iter()
        .take(2)
        .map(|c| format!("{}: {} → {}", c.path, short(&c.from), short(&c.to)))
        .collect();
    if changes.len() > 2 {
        shown.push(format!("and {} more", changes.len() - 2));
    }
    shown.join("; ")
}

/// What differs between two texts, field by field; a text that is no YAML is empty.
pub(super) fn compare(from: &str, to: &str) -> Vec<FieldChange> {
    let read = |text: &str| {
        tulle_api::parse_document("text", text.as_bytes()).map(|n| n.to_json()).unwrap_or(Value::Null)
    };
    let mut out = Vec::new();
    differ("", &read(from), &read(to), &mut out);
    out
}

fn differ(path: &str, from: &Value, to: &Value, out: &mut Vec<FieldChange>) {
    match (from, to) {
        _ if from == to || out.len() >= 500 => {}
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let null = Value::Null;
                differ(&below, a.get(name).unwrap_or(&null), b.get(name).unwrap_or(&null), out);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for i in 0..a.len().max(b.len()) {
                let null = Value::Null;
                differ(&format!("{path}[{i}]"), a.get(i).unwrap_or(&null), b.get(i).unwrap_or(&null), out);
            }
        }
        _ => out.push(FieldChange { path: path.to_owned(), from: from.clone(), to: to.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(weight: u32) -> Object {
        let yaml = format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: cart, namespace: shop}}\n\
             spec:\n  hosts: [cart]\n  http:\n  - route:\n    - {{destination: {{host: cart, subset: a}}, weight: {weight}}}\n\
             \x20   - {{destination: {{host: cart, subset: b}}, weight: {}}}\n",
            100 - weight
        );
        let (mut objects, problems) = tulle_api::parse_manifests("t.yaml", yaml.as_bytes());
        assert!(problems.is_empty(), "{problems:?}");
        objects.pop().unwrap()
    }

    #[test]
    fn versions_have_what_changed_and_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.log");
        let resource = route(90).resource();
        let mut history = History::open(&path);
        assert!(history.put(&route(90), 1.0));
        assert!(!history.put(&route(90), 2.0), "the same");
        history.writes(resource.clone(), "session 1");
        assert!(history.put(&route(80), 3.0));
        drop(history);
        // A torn line at the end, as a kill leaves it.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"resource\":[\"netw").unwrap();
        let mut history = History::open(&path);
        let all = history.versions(&resource);
        assert_eq!(all.iter().map(|v| v.version).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(
            (all[0].who.as_str(), all[0].source, all[0].operation),
            ("session 1", "dashboard", "update")
        );
        assert_eq!(
            all[0].summary,
            "spec.http[0].route[0].weight: 90 → 80; spec.http[0].route[1].weight: 10 → 20"
        );
        assert!(all[1].who.starts_with("t.yaml:"), "{}", all[1].who);
        let (_, text) = history.version(&resource, 1).unwrap();
        assert!(text.unwrap().contains("weight: 90"));
        history.only(&HashSet::new(), 9.0);
        assert_eq!(history.changes(0.0, 9).first().map(|c| c.version.operation), Some("delete"));
        assert!(history.put(&route(80), 10.0), "it comes back");
        assert_eq!(history.last(&resource).1.map(|v| (v.version, v.operation)), Some((4, "create")));
    }

    #[test]
    fn memory_and_file_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.log");
        let mut history = History::open(&path);
        let padded = |i: usize| {
            let mut object = route(50);
            object.meta.name = format!("r{}", i % 40);
            object.meta.annotations.insert("pad".to_owned(), format!("{i} ").repeat(60_000));
            object
        };
        for i in 0..400_usize {
            #[allow(clippy::cast_precision_loss, reason = "small")]
            history.put(&padded(i), i as f64);
        }
        let [resources, versions, bytes, dropped] = history.counts();
        assert!(
            bytes <= MAX_BYTES as u64 && dropped > 0 && resources == 40 && versions < 400,
            "{:?}",
            history.counts()
        );
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length <= 3 * MAX_BYTES as u64 + SLACK, "{length}");
        let again = History::open(&path);
        assert_eq!(again.counts()[0], 40);
    }
}
