//! What is said of the mesh's resources.

use std::borrow::Cow;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tulle_api::value::Timestamp;
use tulle_base::{Diagnostic, FieldPath, ResourceRef, Severity};
use tulle_mesh::{Outcome, Snapshot};
use tulle_xds::server::StreamId;

use super::World;
use crate::documents::Document;
use crate::metrics::Metric;
use crate::status::{Kube, Programmed, Verdict};

/// How many proxies are named that do not have a resource.
const NAMED: usize = 3;

impl World {
    /// Looks at the resources whose status may be another, and tells what is new.
    pub(super) fn report(&mut self, now: Instant) {
        self.outside.flow.begin();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let mut touched = self.ledger.take_touched();
        touched.extend(std::mem::take(&mut self.told_later));
        for resource in touched {
            let Some(document) = self.documents.get(&resource) else { continue };
            if !self.outside.flow.may(&resource, now) {
                self.told_later.insert(resource);
                continue;
            }
            // An Ingress of another class is another controller's to say something of.
            if resource.kind == "Ingress"
                && !document.is_invalid()
                && !self.rooms.truth().is_modelled(&resource)
            {
                continue;
            }
            let verdict = self.verdict(&resource, document);
            let status = verdict.status();
            let problems: Vec<Diagnostic> = verdict.problems.iter().map(|p| p.clone().into_owned()).collect();
            if self.outside.flow.tell(&resource, status, now, time.as_str()) {
                self.outside.metrics.add(Metric::StatusWrites, &[], 1.0);
                for problem in problems.iter().filter(|d| d.severity != Severity::Info) {
                    tracing::warn!(%problem, "configuration");
                }
            }
        }
        self.count_conflicts();
    }

    fn verdict<'a>(&'a self, resource: &ResourceRef, document: &'a Document) -> Verdict<'a> {
        let truth = self.rooms.truth();
        // An object that is refused as it is written has no other problems yet: they would be those of its older form.
        let mut problems: Vec<Cow<'a, Diagnostic>> = match document.is_invalid() {
            true => document.problems.iter().map(Cow::Borrowed).collect(),
            false => truth.diagnostics_of(resource).map(Cow::Borrowed).collect(),
        };
        let programmed = self.programmed(resource, document, truth);
        let concerned = !matches!(programmed, Programmed::Invalid { .. } | Programmed::Nobody);
        if concerned {
            problems.extend(self.idle_patches(resource, truth).into_iter().map(Cow::Owned));
        }
        Verdict {
            generation: document.current.meta.generation,
            conflicts: truth.conflicts_of(resource),
            programmed,
            // A document that is refused as it is written became nothing.
            kube: Kube::of(truth, resource).filter(|_| !document.is_invalid()),
            problems,
        }
    }

    /// The patches of an EnvoyFilter that do nothing to any proxy that is there. Where no other patch of it does anything
    /// either, it concerns nobody, which is told already.
    fn idle_patches(&self, resource: &ResourceRef, truth: &Snapshot) -> Vec<Diagnostic> {
        let all = truth.envoy_filter(resource).into_iter().flat_map(|f| &f.patches).map(|p| p.index);
        let idle = all.filter(|index| !self.ledger.is_patching(resource, *index));
        let told = idle.map(|index| {
            let path = FieldPath::from(format!("spec.configPatches[{index}].match").as_str());
            let message = "matches nothing that the connected proxies are told";
            Diagnostic::warning(path, message).with_resource(resource.clone())
        });
        told.collect()
    }

    fn programmed<'a>(
        &'a self,
        resource: &ResourceRef,
        document: &'a Document,
        truth: &'a Snapshot,
    ) -> Programmed<'a> {
        let older = document.good.is_some();
        if document.is_invalid() {
            return Programmed::Invalid { older };
        }
        match (self.rooms.missing(resource), self.rooms.is_held(resource)) {
            ([], false) => {}
            ([], true) => return Programmed::Needed,
            (subsets, held) => {
                let meanwhile = match (held, older) {
                    (true, true) => "its last good version stays in force",
                    (true, false) => "it is not in force",
                    // It was in force before the host appeared.
                    (false, _) => "requests that are sent there fail",
                };
                return Programmed::Missing { subsets, meanwhile };
            }
        }
        if !truth.is_modelled(resource) {
            let said = truth.diagnostics_of(resource).next();
            return Programmed::NotApplied(
                said.map_or("resources of this kind are not applied", |d| &d.message),
            );
        }
        let mut streams = self.ledger.streams_of(resource);
        let refusing = self.refusing.get(resource);
        for stream in refusing.into_iter().flatten() {
            streams.entry(*stream).or_insert(0);
        }
        let of = streams.len();
        if let Some(refusing) = refusing.filter(|r| !r.is_empty())
            && let Some((client, refused)) = refusing.iter().find_map(|stream| {
                let client = self.clients.get(stream)?;
                Some((client, client.refuses.get(resource)?))
            })
        {
            return Programmed::Refused {
                refusing: refusing.len(),
                of,
                proxy: client.proxy.pod.to_string(),
                resource: refused.resource.clone(),
                message: &refused.message,
                older,
            };
        }
        if of == 0 && matches!(Kube::of(truth, resource), Some(Kube::Gateway(..))) {
            return Programmed::Unserved;
        }
        if of == 0 {
            return Programmed::Nobody;
        }
        let missing = streams.into_iter().filter(|(stream, due)| !self.has_reached(*stream, *due));
        let mut without: Vec<StreamId> = missing.map(|(stream, _)| stream).collect();
        if without.is_empty() {
            return Programmed::All { of };
        }
        without.sort();
        let have = of - without.len();
        let mut names: Vec<String> = without.iter().take(NAMED).map(|s| self.name_of(*s)).collect();
        if without.len() > NAMED {
            names.push(format!("and {} more", without.len() - NAMED));
        }
        Programmed::Waiting { have, of, without: names }
    }

    pub(super) fn has_reached(&self, stream: StreamId, due: u64) -> bool {
        let joined = self.clients.get(&stream).map_or(u64::MAX, |c| c.joined);
        self.outside.standing.low(stream) >= due.max(joined)
    }

    fn count_conflicts(&self) {
        let truth = self.rooms.truth();
        let losing = |kind: &str| {
            let all = truth
                .conflicts()
                .filter(|(r, all)| r.kind == kind && all.iter().any(|c| c.outcome == Outcome::Loses));
            all.count() as f64
        };
        self.outside.metrics.set(Metric::DuplicateDomains, &[], losing("VirtualService"));
        self.outside.metrics.set(Metric::DuplicateSubsets, &[], losing("DestinationRule"));
    }
}
