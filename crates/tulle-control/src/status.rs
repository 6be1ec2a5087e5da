//! The status of configuration resources: whether they are in force, and what is wrong with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tulle_api::Kind;
use tulle_base::{Diagnostic, ResourceRef, Severity};
use tulle_mesh::{Change, Snapshot};
use tulle_store::{Store, StoreError};

use crate::stop::Stop;

/// Wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

struct Known {
    generation: Option<i64>,
    told: Option<Value>,
}

/// Finds out whose status changes.
pub(crate) struct Statuses {
    known: HashMap<ResourceRef, Known>,
    sender: mpsc::UnboundedSender<(ResourceRef, Value)>,
}

impl Statuses {
    /// With the receiving end for [`write()`].
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<(ResourceRef, Value)>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { known: HashMap::new(), sender }, receiver)
    }

    /// Looks at what `changes` made of the resources' problems.
    pub(crate) fn examine(&mut self, snapshot: &Snapshot, changes: &[Change]) {
        let mut matters = false;
        for change in changes {
            match change {
                Change::Put(object) => {
                    matters |= !matches!(object.kind(), Kind::EndpointSlice | Kind::Pod | Kind::ConfigMap);
                    if has_status(object.kind()) {
                        let known = self.known.entry(object.resource());
                        let known = known.or_insert(Known { generation: None, told: None });
                        known.generation = object.meta.generation;
                    }
                }
                Change::Delete(resource) => {
                    matters |= self.known.remove(resource).is_some() || resource.kind == "Service";
                }
            }
        }
        if !matters {
            return;
        }
        for (resource, known) in &mut self.known {
            let status = status_of(known.generation, snapshot.diagnostics_of(resource));
            if known.told.as_ref() != Some(&status) {
                for problem in snapshot.diagnostics_of(resource).filter(|d| d.severity != Severity::Info) {
                    tracing::warn!(%problem, "configuration");
                }
                known.told = Some(status.clone());
                // The writer ends only when everything does.
                let _ = self.sender.send((resource.clone(), status));
            }
        }
    }
}

fn has_status(kind: Kind) -> bool {
    kind.info().group.ends_with("istio.io")
}

fn status_of<'a>(generation: Option<i64>, problems: impl Iterator<Item = &'a Diagnostic>) -> Value {
    let mut messages = Vec::new();
    let mut errors = Vec::new();
    for problem in problems {
        let mut text = if problem.field.as_str().is_empty() {
            problem.message.clone()
        } else {
            format!("{}: {}", problem.field, problem.message)
        };
        if !problem.fix.is_empty() {
            text = format!("{text}; {}", problem.fix);
        }
        if problem.severity == Severity::Error {
            errors.push(text.clone());
        }
        messages.push(json!({
            "level": problem.severity.to_string().to_ascii_uppercase(),
            "type": {"code": problem.code},
            "message": text,
        }));
    }
    let condition = if errors.is_empty() {
        json!({"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""})
    } else {
        json!({"type": "Accepted", "status": "False", "reason": "Invalid", "message": errors.join("\n")})
    };
    let mut status = json!({"conditions": [condition]});
    if let Some(generation) = generation {
        status["observedGeneration"] = json!(generation);
    }
    if !messages.is_empty() {
        status["validationMessages"] = Value::Array(messages);
    }
    status
}

/// Writes statuses into the store, the newest of each resource, until told to stop.
pub(crate) async fn write(
    store: Arc<dyn Store>,
    mut news: mpsc::UnboundedReceiver<(ResourceRef, Value)>,
    mut stop: Stop,
) {
    let mut waiting: HashMap<ResourceRef, Value> = HashMap::new();
    loop {
        let next = tokio::select! {
            next = news.recv() => next,
            () = tokio::time::sleep(RETRY), if !waiting.is_empty() => None,
            () = stop.said() => return,
        };
        if next.is_none() && waiting.is_empty() {
            return;
        }
        waiting.extend(next);
        while let Ok((resource, status)) = news.try_recv() {
            waiting.insert(resource, status);
        }
        for (resource, status) in std::mem::take(&mut waiting) {
            match store.put_status(&resource, status.clone()).await {
                Ok(_) | Err(StoreError::NotFound(_)) => {}
                Err(error) => {
                    tracing::debug!(%resource, %error, "cannot write the status; trying again");
                    waiting.insert(resource, status);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tulle_base::FieldPath;

    use super::*;

    #[test]
    fn errors_make_a_resource_not_accepted() {
        let fine = status_of(Some(2), std::iter::empty());
        assert_eq!(fine["conditions"][0]["status"], "True");
        assert_eq!(fine["observedGeneration"], 2);
        let problems = [
            Diagnostic::warning(FieldPath::root(), "odd"),
            Diagnostic::error(FieldPath::from("spec.hosts"), "empty").with_fix("name a host"),
        ];
        let broken = status_of(None, problems.iter());
        assert_eq!(broken["conditions"][0]["status"], "False");
        assert_eq!(broken["conditions"][0]["message"], "spec.hosts: empty; name a host");
        assert_eq!(broken["validationMessages"].as_array().unwrap().len(), 2);
    }
}
