//! Resources as they are: validation, status, who has them.

use std::sync::{Arc, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;
use tulle_api::{Kind, Object};
use tulle_base::{Diagnostic, ResourceRef, Severity};
use tulle_dashboard::plane::{Finding, KindRow, Programmed, Reference, Resource, ResourceRow};

use super::model::reference;
use super::{Console, Rows, history};
use crate::documents::is_of_the_mesh;
use crate::world::Question;

/// The resource that an id names.
pub(super) fn named(id: &str) -> Option<ResourceRef> {
    let (kind, group, namespace, name) = Reference::parts(id)?;
    let known = Kind::ALL.iter().map(|k| k.info()).find(|info| {
        info.kind == kind
            && group
                .map_or(info.group != "gateway.networking.k8s.io" || kind != "Gateway", |g| g == info.group)
    })?;
    Some(ResourceRef::new(known.group, known.kind, namespace, name))
}

/// Whether the dashboard writes resources of this kind: those of the mesh.
pub(super) fn is_writable(kind: Kind) -> bool {
    is_of_the_mesh(kind.info().group)
}

/// A diagnostic in the dashboard's words; a place counts if it is in the text that was sent.
pub(super) fn finding(diagnostic: &Diagnostic, file: Option<&str>) -> Finding {
    let span = diagnostic.span.as_ref().filter(|span| file.is_some_and(|file| *span.file == *file));
    Finding {
        severity: diagnostic.severity.to_string(),
        code: Some(diagnostic.code.to_owned()).filter(|c| !c.is_empty()),
        resource: diagnostic.resource.as_ref().map(reference),
        field: diagnostic.field.to_string(),
        message: diagnostic.message.clone(),
        fix: Some(diagnostic.fix.clone()).filter(|f| !f.is_empty()),
        line: span.map(|s| s.line),
        column: span.map(|s| s.column),
    }
}

impl Console {
    /// All resources of the mesh and all kinds; made anew when something changed.
    pub(super) fn all_rows(&self) -> Rows {
        let known = self.known();
        let key = (known.version, *self.counted.borrow());
        let mut held = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, rows)) = &*held
            && *of == key
        {
            return Arc::clone(rows);
        }
        let kept = self.kept();
        let objects =
            kept.objects.values().filter(|o| history::is_kept(o) && is_of_the_mesh(o.kind().info().group));
        let mut rows: Vec<ResourceRow> = objects
            .map(|object| {
                let (versions, last) = kept.history.last(&object.resource());
                row(object, &findings_of(object, &known.snapshot), versions, last)
            })
            .collect();
        rows.sort_by(|a, b| a.reference.cmp(&b.reference));
        let kinds = Kind::ALL.iter().copied().filter(|k| is_of_the_mesh(k.info().group)).map(|kind| {
            let info = kind.info();
            KindRow {
                kind: info.kind,
                group: info.group,
                api_version: info.api_version(),
                plural: info.plural,
                namespaced: info.namespaced,
                count: rows
                    .iter()
                    .filter(|r| r.reference.kind == info.kind && r.reference.group == info.group)
                    .count(),
                writable: is_writable(kind),
            }
        });
        let kinds = kinds.collect();
        let rows: Rows = Arc::new((rows, kinds));
        *held = Some((key, Arc::clone(&rows)));
        rows
    }

    pub(super) async fn one_resource(&self, id: &str) -> Option<Resource> {
        let resource = named(id)?;
        let object = self.object(&resource).filter(|o| history::is_kept(o))?;
        let (answer, standing) = oneshot::channel();
        // The world ends only when everything does.
        let _ = self.needs.questions.send(Question::Standing(resource.clone(), answer));
        let proxies = standing.await.unwrap_or_default();
        let found = findings_of(&object, &self.known().snapshot);
        let kept = self.kept();
        let (versions, last) = kept.history.last(&resource);
        let written = last.as_ref().map(|v| v.resource_version.clone()).filter(|v| !v.is_empty());
        let written = written.unwrap_or_else(|| object.meta.resource_version.clone());
        let mut row = row(&object, &found, versions, last);
        if !proxies.is_empty() {
            row.programmed.have = proxies.iter().filter(|p| p.state == "has").count();
            row.programmed.of = proxies.len();
            row.programmed.state = if proxies.iter().any(|p| p.state == "refuses") {
                "refused"
            } else if proxies.iter().all(|p| p.state == "has") {
                "programmed"
            } else {
                "pending"
            };
        }
        Some(Resource {
            row,
            yaml: history::text_of(&object),
            object: history::clean(&object),
            // That of what was written: statuses change it all the time.
            resource_version: written,
            conditions: object.status.as_ref().map_or(Value::Array(Vec::new()), |s| s["conditions"].clone()),
            findings: found,
            proxies,
            versions: kept.history.versions(&resource),
            writable: is_writable(object.kind()),
        })
    }
}

/// What is wrong with an object by itself, and beside others.
fn findings_of(object: &Object, snapshot: &tulle_mesh::Snapshot) -> Vec<Finding> {
    let own = tulle_api::validate(object);
    let mut all: Vec<Finding> = own.iter().map(|d| finding(d, None)).collect();
    for diagnostic in snapshot.diagnostics_of(&object.resource()) {
        let found = finding(diagnostic, None);
        if !all.contains(&found) {
            all.push(found);
        }
    }
    all
}

fn row(
    object: &Object,
    found: &[Finding],
    versions: usize,
    last: Option<tulle_dashboard::plane::Version>,
) -> ResourceRow {
    let has = |severity: Severity| found.iter().any(|f| f.severity == severity.to_string());
    let state = match (has(Severity::Error), has(Severity::Warning)) {
        (true, _) => "error",
        (_, true) => "warning",
        _ => "valid",
    };
    ResourceRow {
        reference: reference(&object.resource()),
        state,
        programmed: programmed(object),
        messages: found.len(),
        versions,
        changed: last.as_ref().map(|v| v.time),
        who: last.map(|v| v.who).unwrap_or_default(),
        generation: object.meta.generation,
    }
}

/// As the status says.
fn programmed(object: &Object) -> Programmed {
    let status = object.status.as_ref();
    let conditions = status.and_then(|s| s["conditions"].as_array());
    let Some(condition) = conditions.into_iter().flatten().find(|c| c["type"] == "Programmed") else {
        return Programmed { state: "unknown", have: 0, of: 0 };
    };
    let old = object
        .meta
        .generation
        .is_some_and(|g| condition["observedGeneration"].as_i64().is_some_and(|o| o < g));
    let state = match condition["reason"].as_str().unwrap_or_default() {
        _ if old => "pending",
        "Programmed" => "programmed",
        "NoProxyConcerned" | "NotApplied" => "idle",
        "Pending" => "pending",
        _ => "refused",
    };
    // `2 of 3 proxies have it`, `refused by 1 of 2 proxies`.
    let words: Vec<&str> = condition["message"].as_str().unwrap_or_default().split(' ').collect();
    let counted = words.windows(4).find(|w| w[1] == "of" && w[3].starts_with("proxies"));
    let number = |text: &str| text.parse().unwrap_or(0);
    let (have, of) = counted.map_or((0, 0), |w| (number(w[0]), number(w[2])));
    Programmed { state, have: if state == "refused" { of - have.min(of) } else { have }, of }
}
