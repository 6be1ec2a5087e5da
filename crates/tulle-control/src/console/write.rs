//! What is written on the dashboard.

use serde_json::json;
use tulle_api::{Kind, Object};
use tulle_base::{ResourceRef, Severity};
use tulle_dashboard::plane::{Finding, Meant, Refusal, Written, Wrote};
use tulle_store::{Precondition, StoreError};
use tulle_telemetry::audit::timestamp;

use super::model::reference;
use super::resources::{finding, is_writable, named};
use super::validate::TEXT;
use super::{Console, history, now};

/// The field manager of what is written here.
const MANAGER: &str = "tulle-dashboard";
/// How often a write is tried that somebody else's comes in between.
const TRIES: usize = 5;
/// Objects of one text at most.
const MOST: usize = 200;

impl Console {
    pub(super) async fn written(&self, meant: Meant, who: &str, dry_run: bool) -> Result<Wrote, Refusal> {
        match meant {
            Meant::Apply { yaml, only } => self.apply(&yaml, only, who, dry_run).await,
            Meant::Delete(id) => self.delete(&id, who, dry_run).await,
            Meant::Revert { id, version } => {
                let missing = || Refusal::NotFound(format!("{id} has no version {version} with a text"));
                let resource = named(&id).ok_or_else(missing)?;
                let found = self.kept().history.version(&resource, version);
                let yaml = found.and_then(|(_, text)| text).ok_or_else(missing)?;
                self.apply(&yaml, Some((id, None)), who, dry_run).await
            }
        }
    }

    async fn apply(
        &self,
        yaml: &str,
        only: Option<(String, Option<String>)>,
        who: &str,
        dry_run: bool,
    ) -> Result<Wrote, Refusal> {
        let (objects, problems) = tulle_api::parse_manifests(TEXT, yaml.as_bytes());
        let mut found: Vec<Finding> = problems.iter().map(|d| finding(d, Some(TEXT))).collect();
        for object in &objects {
            found.extend(tulle_api::validate(object).iter().map(|d| finding(d, Some(TEXT))));
        }
        found.dedup();
        if objects.is_empty() || found.iter().any(|f| f.severity == Severity::Error.to_string()) {
            return Err(Refusal::Invalid("the text cannot be applied as it is".to_owned(), found));
        }
        if objects.len() > MOST {
            return Err(Refusal::Invalid(format!("more than {MOST} resources at once"), found));
        }
        if let Some((id, _)) = &only
            && !(objects.len() == 1 && reference(&objects[0].resource()).id == *id)
        {
            return Err(Refusal::Invalid(format!("the text is not {id}"), found));
        }
        for object in &objects {
            self.may_write(object)?;
        }
        let version = only.and_then(|(_, version)| version);
        let mut applied = Vec::new();
        for object in objects {
            applied.push(self.put(object, version.as_deref(), who, dry_run).await?);
        }
        Ok(Wrote { applied, diagnostics: found, dry_run })
    }

    fn may_write(&self, object: &Object) -> Result<(), Refusal> {
        let resource = object.resource();
        if !is_writable(object.kind()) {
            return Err(Refusal::NotWritable(format!(
                "{resource}: the dashboard writes resources of the mesh alone"
            )));
        }
        let namespace = &object.meta.namespace;
        let there = ResourceRef::new("", "Namespace", "", &**namespace);
        if object.kind().info().namespaced && self.object(&there).is_none() {
            let missing = Finding {
                severity: Severity::Error.to_string(),
                resource: Some(reference(&resource)),
                field: "metadata.namespace".to_owned(),
                message: format!("there is no namespace {namespace}"),
                fix: Some("make it first, or name another".to_owned()),
                ..Finding::default()
            };
            return Err(Refusal::Invalid("the text cannot be applied as it is".to_owned(), vec![missing]));
        }
        Ok(())
    }

    /// Writes one object. Statuses are written all the time: what changed between reading and writing was mostly that, and it is tried
    /// again.
    async fn put(
        &self,
        object: Object,
        wanted: Option<&str>,
        who: &str,
        dry_run: bool,
    ) -> Result<Written, Refusal> {
        for _ in 1..TRIES {
            match self.try_put(object.clone(), wanted, who, dry_run).await {
                Err(Refusal::Conflict(_)) if wanted.is_none() => {}
                done => return done,
            }
        }
        self.try_put(object, wanted, who, dry_run).await
    }

    /// Whether the version that somebody read is that of what is there: itself, or that of its last change but for the status.
    fn is_version(&self, wanted: &str, there: Option<&Object>) -> bool {
        let Some(there) = there else { return wanted == "0" };
        if wanted == there.meta.resource_version {
            return true;
        }
        let kept = self.kept();
        let Some(last) = kept.history.last(&there.resource()).1 else { return false };
        let text = kept.history.version(&there.resource(), last.version).and_then(|(_, text)| text);
        last.resource_version == wanted && text.is_some_and(|text| text == history::text_of(there))
    }

    async fn try_put(
        &self,
        mut object: Object,
        wanted: Option<&str>,
        who: &str,
        dry_run: bool,
    ) -> Result<Written, Refusal> {
        let resource = object.resource();
        let there = self.needs.store.get(&resource).await.map_err(failed)?;
        let is = there.as_ref().map_or("0", |t| t.meta.resource_version.as_str());
        if wanted.is_some_and(|wanted| !self.is_version(wanted, there.as_deref())) {
            return Err(Refusal::Conflict(format!(
                "{resource} was changed meanwhile: it is at version {is}"
            )));
        }
        let told = |operation, version: &str| Written {
            resource: reference(&resource),
            operation,
            resource_version: version.to_owned(),
        };
        object.status = None;
        object.origin = None;
        if let Some(there) = &there {
            if history::text_of(there) == history::text_of(&object) {
                return Ok(told("unchanged", is));
            }
            // What belongs to others stays theirs.
            if object.meta.finalizers.is_empty() {
                object.meta.finalizers.clone_from(&there.meta.finalizers);
            }
            if object.meta.owner_references.is_empty() {
                object.meta.owner_references.clone_from(&there.meta.owner_references);
            }
            object.meta.managed_fields.clone_from(&there.meta.managed_fields);
            object.meta.managed_fields.retain(|f| f["manager"] != MANAGER);
        } else {
            object.meta.managed_fields.clear();
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds of this century"
        )]
        object.meta.managed_fields.push(json!({
            "manager": MANAGER, "operation": "Update", "apiVersion": object.api_version,
            "time": timestamp(now() as u64), "fieldsType": "FieldsV1", "fieldsV1": {},
        }));
        object.meta.resource_version = is.to_owned();
        let operation = if there.is_some() { "update" } else { "create" };
        if dry_run {
            return Ok(told(operation, is));
        }
        self.kept().history.writes(resource.clone(), who);
        match self.needs.store.put(object).await {
            Ok(stored) => Ok(told(operation, &stored.meta.resource_version)),
            Err(error) => {
                self.kept().history.forget_writer(&resource);
                Err(failed(error))
            }
        }
    }

    async fn delete(&self, id: &str, who: &str, dry_run: bool) -> Result<Wrote, Refusal> {
        let missing = || Refusal::NotFound(format!("there is no {id}"));
        let resource = named(id).ok_or_else(missing)?;
        let there = self.needs.store.get(&resource).await.map_err(failed)?.ok_or_else(missing)?;
        if !is_writable(Kind::find(&resource.group, &resource.kind).unwrap_or(Kind::Secret)) {
            return Err(Refusal::NotWritable(format!(
                "{resource}: the dashboard deletes resources of the mesh alone"
            )));
        }
        if !there.meta.finalizers.is_empty() {
            let by = there.meta.finalizers.join(", ");
            return Err(Refusal::Conflict(format!(
                "{resource} may go only when {by} agree: delete it with kubectl"
            )));
        }
        let applied = vec![Written {
            resource: reference(&resource),
            operation: "delete",
            resource_version: there.meta.resource_version.clone(),
        }];
        if !dry_run {
            self.kept().history.writes(resource.clone(), who);
            let same = Precondition { uid: Some(there.meta.uid.clone()), version: None };
            if let Err(error) = self.needs.store.delete_if(&resource, same).await {
                self.kept().history.forget_writer(&resource);
                return Err(failed(error));
            }
        }
        Ok(Wrote { applied, diagnostics: Vec::new(), dry_run })
    }
}

fn failed(error: StoreError) -> Refusal {
    match error {
        StoreError::Conflict { .. } | StoreError::Replaced { .. } => Refusal::Conflict(error.to_string()),
        other => Refusal::Failed(other.to_string()),
    }
}
