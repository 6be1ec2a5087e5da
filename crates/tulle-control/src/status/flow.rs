//! Which statuses are written when: at most one a second of each resource, the newest, and none that says nothing new.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;
use tulle_base::ResourceRef;

/// Between two writes of one resource's status.
const PAUSE: Duration = Duration::from_secs(1);
/// From the first thing that may change a status until it is looked at: what comes together is told together.
const PATIENCE: Duration = Duration::from_millis(40);

#[derive(Default)]
struct Told {
    /// As it was told, times included.
    status: Option<Value>,
    at: Option<Instant>,
}

/// Decides what is written.
pub(crate) struct Flow {
    told: HashMap<ResourceRef, Told>,
    sender: mpsc::UnboundedSender<(ResourceRef, Value)>,
    due: Option<Instant>,
}

impl Flow {
    /// With the receiving end for [`write()`](super::write()).
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<(ResourceRef, Value)>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { told: HashMap::new(), sender, due: None }, receiver)
    }

    /// The status that a resource has in the store already, from an earlier life.
    pub(crate) fn remember(&mut self, resource: &ResourceRef, status: Option<&Value>) {
        if let Some(status) = status
            && !self.told.contains_key(resource)
        {
            self.told.insert(resource.clone(), Told { status: Some(status.clone()), at: None });
        }
    }

    /// A resource is gone.
    pub(crate) fn forget(&mut self, resource: &ResourceRef) {
        self.told.remove(resource);
    }

    /// Something may change a status: it is looked at soon, and not before `earliest`.
    pub(crate) fn soon(&mut self, now: Instant, earliest: Option<Instant>) {
        let soon = earliest.map_or(now + PATIENCE, |e| e.max(now + PATIENCE));
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// When statuses are to be looked at.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Statuses are looked at now.
    pub(crate) fn begin(&mut self) {
        self.due = None;
    }

    /// Whether the status of a resource may be written now; if not, it is looked at again later.
    pub(crate) fn may(&mut self, resource: &ResourceRef, now: Instant) -> bool {
        let next = self.told.get(resource).and_then(|t| t.at).map_or(now, |at| at + PAUSE);
        if next > now {
            self.due = Some(self.due.map_or(next, |due| due.min(next)));
        }
        next <= now
    }

    /// A resource has this status, without times; `time` is what it is now, in RFC 3339. Returns whether that is news.
    pub(crate) fn tell(
        &mut self,
        resource: &ResourceRef,
        mut status: Value,
        now: Instant,
        time: &str,
    ) -> bool {
        let told = self.told.entry(resource.clone()).or_default();
        stamp(&mut status, told.status.as_ref(), time);
        if told.status.as_ref() == Some(&status) {
            return false;
        }
        told.status = Some(status.clone());
        told.at = Some(now);
        // The writer ends only when everything does.
        let _ = self.sender.send((resource.clone(), status));
        true
    }
}

/// Gives every condition the time of its last transition: that of the one before it with the same status, else `time`. So do
/// those of a Gateway's listeners and of a route's parents.
fn stamp(status: &mut Value, before: Option<&Value>, time: &str) {
    stamp_conditions(status, before, time);
    for (list, key) in [("listeners", "name"), ("parents", "parentRef"), ("ancestors", "ancestorRef")] {
        let Some(entries) = status.get_mut(list).and_then(Value::as_array_mut) else { continue };
        let before = before.and_then(|b| b[list].as_array()).map(Vec::as_slice).unwrap_or_default();
        for entry in entries {
            let same = before.iter().find(|b| b[key] == entry[key]);
            stamp_conditions(entry, same, time);
        }
    }
}

fn stamp_conditions(of: &mut Value, before: Option<&Value>, time: &str) {
    let before = before.and_then(|b| b["conditions"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let Some(conditions) = of["conditions"].as_array_mut() else { return };
    for condition in conditions {
        let same =
            before.iter().find(|b| b["type"] == condition["type"] && b["status"] == condition["status"]);
        let time = same.and_then(|b| b["lastTransitionTime"].as_str()).unwrap_or(time);
        condition["lastTransitionTime"] = time.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(status: &str, message: &str) -> Value {
        json!({"conditions": [{"type": "Programmed", "status": status, "message": message}]})
    }

    #[test]
    fn nothing_new_is_not_written_and_a_time_stays_while_the_status_does() {
        let (mut flow, mut writes) = Flow::new();
        let resource = ResourceRef::new("g", "VirtualService", "shop", "cart");
        let now = Instant::now();
        assert!(flow.tell(&resource, status("False", "0 of 2"), now, "T1"));
        assert!(!flow.tell(&resource, status("False", "0 of 2"), now, "T2"));
        assert!(flow.tell(&resource, status("False", "1 of 2"), now, "T3"));
        assert!(flow.tell(&resource, status("True", "2 of 2"), now, "T4"));
        let mut times = Vec::new();
        while let Ok((_, written)) = writes.try_recv() {
            times.push(written["conditions"][0]["lastTransitionTime"].as_str().unwrap().to_owned());
        }
        assert_eq!(times, ["T1", "T1", "T4"]);
    }

    #[test]
    fn conditions_of_listeners_and_parents_have_their_own_times() {
        let (mut flow, mut writes) = Flow::new();
        let resource = ResourceRef::new("gateway.networking.k8s.io", "Gateway", "shop", "edge");
        let listener = |name: &str, yes: &str| json!({"name": name, "conditions": [{"type": "Programmed", "status": yes}]});
        let of =
            |a: &str, b: &str| json!({"conditions": [], "listeners": [listener("a", a), listener("b", b)]});
        let now = Instant::now();
        assert!(flow.tell(&resource, of("True", "False"), now, "T1"));
        assert!(!flow.tell(&resource, of("True", "False"), now, "T2"));
        assert!(flow.tell(&resource, of("True", "True"), now, "T3"));
        let mut last = Value::Null;
        while let Ok((_, written)) = writes.try_recv() {
            last = written;
        }
        let time = |i: usize| last["listeners"][i]["conditions"][0]["lastTransitionTime"].clone();
        assert_eq!((time(0), time(1)), (json!("T1"), json!("T3")));
    }

    #[test]
    fn a_resource_is_written_at_most_once_a_second() {
        let (mut flow, _writes) = Flow::new();
        let resource = ResourceRef::new("g", "VirtualService", "shop", "cart");
        let now = Instant::now();
        assert!(flow.may(&resource, now));
        flow.tell(&resource, status("False", ""), now, "T1");
        assert!(!flow.may(&resource, now + PAUSE / 2));
        assert_eq!(flow.due(), Some(now + PAUSE), "it is looked at again then");
        assert!(flow.may(&resource, now + PAUSE));
    }

    #[test]
    fn a_new_life_goes_on_with_the_times_of_the_last() {
        let (mut flow, mut writes) = Flow::new();
        let resource = ResourceRef::new("g", "VirtualService", "shop", "cart");
        let mut stored = status("True", "2 of 2");
        stored["conditions"][0]["lastTransitionTime"] = json!("T0");
        flow.remember(&resource, Some(&stored));
        assert!(!flow.tell(&resource, status("True", "2 of 2"), Instant::now(), "T9"));
        assert!(flow.tell(&resource, status("True", "3 of 3"), Instant::now(), "T9"));
        assert_eq!(writes.try_recv().unwrap().1["conditions"][0]["lastTransitionTime"], "T0");
    }
}
