//! What is known of a resource, as conditions.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use tulle_base::{Diagnostic, Severity};
use tulle_mesh::{Conflict, MissingSubset, Outcome};

use super::kube::Kube;

/// Longest message of a condition, in bytes (Kubernetes' limit).
const MAX_MESSAGE: usize = 32_768;

/// What is known of a resource.
pub(crate) struct Verdict<'a> {
    /// Generation that this is about.
    pub(crate) generation: Option<i64>,
    /// What is wrong with it.
    pub(crate) problems: Vec<Cow<'a, Diagnostic>>,
    /// What claims the same.
    pub(crate) conflicts: &'a [Conflict],
    /// Whether the proxies have it.
    pub(crate) programmed: Programmed<'a>,
    /// What else it says if it is of the Gateway API.
    pub(crate) kube: Option<Kube<'a>>,
}

/// Whether the proxies that a resource concerns have it.
#[derive(Debug)]
pub(crate) enum Programmed<'a> {
    /// It is refused as it is written; whether an older form is in force.
    Invalid { older: bool },
    /// Resources of its kind have no effect here.
    NotApplied(&'a str),
    /// It sends requests to subsets that nobody defines, and what becomes of it meanwhile.
    Missing { subsets: &'a [MissingSubset], meanwhile: &'static str },
    /// Routes in force still need what it does not say any more.
    Needed,
    /// Proxies refuse it; one of them, and what it says.
    Refused { refusing: usize, of: usize, proxy: String, resource: String, message: &'a str, older: bool },
    /// Some do not have it (yet); names of some of them.
    Waiting { have: usize, of: usize, without: Vec<String> },
    /// All have it.
    All { of: usize },
    /// It concerns nobody.
    Nobody,
    /// It is a Gateway, and no gateway that serves it is there.
    Unserved,
}

impl Programmed<'_> {
    fn condition(&self, conflicts: &[Conflict]) -> (bool, &'static str, String) {
        let older = |older: bool| match older {
            true => "its last good version stays in force",
            false => "it is not in force",
        };
        match self {
            Self::Invalid { older: o } => (false, "Invalid", format!("it has errors; {}", older(*o))),
            Self::NotApplied(reason) => (false, "NotApplied", (*reason).to_owned()),
            Self::Missing { subsets, meanwhile } => {
                let each = |m: &MissingSubset| {
                    format!(
                        "{}: subset {} of host {} is not defined by any DestinationRule",
                        m.field, m.subset, m.host
                    )
                };
                let all: Vec<String> = subsets.iter().map(each).collect();
                (false, "SubsetNotFound", format!("{}; {meanwhile} until it is", all.join("; ")))
            }
            Self::Needed => {
                let message = "routes in force send requests to a subset that it does not define any more; its last good \
                               version stays in force until they do not";
                (false, "SubsetInUse", message.to_owned())
            }
            Self::Refused { refusing, of, proxy, resource, message, older: o } => {
                let stays = if *o {
                    "its last good version stays in force there"
                } else {
                    "it is not in force there"
                };
                let text = format!(
                    "refused by {refusing} of {of} proxies: {proxy} says of {resource}: {message}; {stays}"
                );
                (false, "Refused", text)
            }
            Self::Waiting { have, of, without } => {
                (false, "Pending", format!("{have} of {of} proxies have it; not yet: {}", without.join(", ")))
            }
            Self::All { of } => (true, "Programmed", format!("{of} of {of} proxies have it")),
            Self::Unserved => (false, "Pending", "no gateway that serves it is connected".to_owned()),
            Self::Nobody => match conflicts.iter().find(|c| c.outcome == Outcome::Loses) {
                Some(conflict) => (false, "Conflicted", format!("no proxy has it: {}", conflict.message)),
                None => (true, "NoProxyConcerned", "no proxy concerned".to_owned()),
            },
        }
    }
}

impl Verdict<'_> {
    /// The status, without times.
    pub(crate) fn status(&self) -> Value {
        let mut texts: Vec<String> = Vec::new();
        let mut messages = Vec::new();
        for problem in &self.problems {
            let text = text_of(problem);
            messages.push(json!({
                "level": problem.severity.to_string().to_ascii_uppercase(),
                "type": {"code": problem.code},
                "message": text,
            }));
            if problem.severity == Severity::Error {
                texts.push(text);
            }
        }
        let (invalid, others) = self.kube.as_ref().map(Kube::invalid_listeners).unwrap_or_default();
        let accepted = if !invalid.is_empty() {
            // A Gateway is accepted as long as one of its listeners is served.
            let message = format!("not served, as their conditions say: {}", invalid.join(", "));
            self.condition("Accepted", others, "ListenersNotValid", message)
        } else if texts.is_empty() {
            self.condition("Accepted", true, "Accepted", String::new())
        } else {
            let refusal = self.kube.as_ref().and_then(Kube::refusal);
            self.condition("Accepted", false, refusal.unwrap_or("Invalid"), texts.join("\n"))
        };
        let (yes, reason, message) = self.programmed.condition(self.conflicts);
        let programmed = self.condition("Programmed", yes, reason, message.clone());
        let mut status = json!({"conditions": [accepted, programmed, self.conflicted()]});
        if let Some(generation) = self.generation {
            status["observedGeneration"] = json!(generation);
        }
        if !messages.is_empty() {
            status["validationMessages"] = Value::Array(messages);
        }
        if let Some(kube) = &self.kube {
            kube.add_to(&mut status, self.generation, (yes, &message));
        }
        status
    }

    fn conflicted(&self) -> Value {
        let worst = self.conflicts.iter().map(|c| c.outcome).min();
        let reason = match worst {
            None => return self.condition("Conflicted", false, "NoConflict", String::new()),
            Some(Outcome::Loses) => "Loses",
            Some(Outcome::Merged) => "Merged",
            Some(Outcome::Wins) => "Wins",
        };
        let all: Vec<String> = self.conflicts.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        self.condition("Conflicted", true, reason, all.join("\n"))
    }

    fn condition(&self, kind: &str, status: bool, reason: &str, message: String) -> Value {
        let mut condition = Map::new();
        condition.insert("type".into(), kind.into());
        condition.insert("status".into(), if status { "True" } else { "False" }.into());
        condition.insert("reason".into(), reason.into());
        condition.insert("message".into(), cut(message).into());
        if let Some(generation) = self.generation {
            condition.insert("observedGeneration".into(), generation.into());
        }
        Value::Object(condition)
    }
}

/// `field: message; fix`.
fn text_of(problem: &Diagnostic) -> String {
    let mut text = if problem.field.as_str().is_empty() {
        problem.message.clone()
    } else {
        format!("{}: {}", problem.field, problem.message)
    };
    if !problem.fix.is_empty() {
        text = format!("{text}; {}", problem.fix);
    }
    text
}

/// The text, if need be without its end.
pub(super) fn cut(mut text: String) -> String {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use tulle_base::{FieldPath, ResourceRef};

    use super::*;

    fn verdict<'a>(
        problems: Vec<&'a Diagnostic>,
        conflicts: &'a [Conflict],
        programmed: Programmed<'a>,
    ) -> Value {
        let problems = problems.into_iter().map(Cow::Borrowed).collect();
        Verdict { generation: Some(2), problems, conflicts, programmed, kube: None }.status()
    }

    #[test]
    fn every_problem_is_told_and_errors_make_it_not_accepted() {
        let odd = Diagnostic::warning(FieldPath::root(), "odd");
        let empty = Diagnostic::error(FieldPath::from("spec.hosts"), "empty").with_fix("name a host");
        let fine = verdict(vec![&odd], &[], Programmed::All { of: 3 });
        assert_eq!(fine["conditions"][0]["status"], "True");
        assert_eq!(fine["observedGeneration"], 2);
        assert_eq!(fine["conditions"][1]["message"], "3 of 3 proxies have it");
        let broken = verdict(vec![&odd, &empty], &[], Programmed::Invalid { older: true });
        assert_eq!(broken["conditions"][0]["status"], "False");
        assert_eq!(broken["conditions"][0]["observedGeneration"], 2);
        assert_eq!(broken["conditions"][0]["message"], "spec.hosts: empty; name a host");
        assert_eq!(broken["conditions"][1]["reason"], "Invalid");
        assert_eq!(broken["validationMessages"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_loser_that_nobody_has_says_to_whom_it_lost() {
        let conflict = Conflict {
            other: ResourceRef::new("g", "VirtualService", "shop", "old"),
            field: FieldPath::from("spec.hosts[0]"),
            outcome: Outcome::Loses,
            message: "VirtualService shop/old wins".into(),
        };
        let status = verdict(Vec::new(), std::slice::from_ref(&conflict), Programmed::Nobody);
        assert_eq!(status["conditions"][1]["reason"], "Conflicted");
        assert_eq!(status["conditions"][2]["status"], "True");
        assert_eq!(status["conditions"][2]["message"], "spec.hosts[0]: VirtualService shop/old wins");
        let alone = verdict(Vec::new(), &[], Programmed::Nobody);
        assert_eq!(
            (&alone["conditions"][1]["status"], &alone["conditions"][1]["reason"]),
            (&json!("True"), &json!("NoProxyConcerned"))
        );
    }
}
