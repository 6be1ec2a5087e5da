//! What a refusal (NACK) says, resource by resource.
//!
//! xDS refuses a whole response with one `google.rpc.Status`. Receivers apply what they can, so a sender wants to know which
//! resources were meant. Our client says so in the status' details, one `envoy.service.discovery.v3.ResourceError` each; a stock
//! Envoy says so in the text (`Error adding/updating listener(s) NAME: REASON`), where the names are looked for.

use prost::Message;

use crate::wire::{Any, Status, WireResourceError, WireResourceName};

const TYPE_URL: &str = "type.googleapis.com/envoy.service.discovery.v3.ResourceError";
/// `google.rpc.Code.INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;
/// How much of a peer's text is kept.
const TEXT_LIMIT: usize = 2048;

/// One resource that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceError {
    /// Name of the resource.
    pub name: String,
    /// What is wrong with it, one line.
    pub message: String,
}

impl ResourceError {
    /// An error about the resource `name`.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), message: message.into() }
    }
}

/// The status that refuses `errors`; its text names every one of them.
pub fn status(errors: &[ResourceError]) -> Status {
    let mut message = String::from("Error adding/updating resource(s) ");
    let mut details = Vec::with_capacity(errors.len());
    for (i, error) in errors.iter().enumerate() {
        if i > 0 {
            message.push_str("; ");
        }
        message.push_str(&error.name);
        message.push_str(": ");
        message.push_str(&error.message);
        let wire = WireResourceError {
            resource_name: Some(WireResourceName { name: error.name.clone() }),
            error_detail: Some(Status {
                code: INVALID_ARGUMENT,
                message: error.message.clone(),
                details: Vec::new(),
            }),
        };
        details.push(Any { type_url: TYPE_URL.to_owned(), value: wire.encode_to_vec().into() });
    }
    Status { code: INVALID_ARGUMENT, message, details }
}

/// A status that refuses a response as a whole.
pub fn whole(message: impl Into<String>) -> Status {
    Status { code: INVALID_ARGUMENT, message: message.into(), details: Vec::new() }
}

/// The resources that `status` refuses, out of the names that were in the response.
///
/// From the details; failing that, every name that occurs in the text as a word of its own; failing that, all of them.
pub fn errors<'a>(status: &Status, sent: impl Iterator<Item = &'a str> + Clone) -> Vec<ResourceError> {
    let found = named(status, sent.clone());
    if !found.is_empty() {
        return found;
    }
    sent.map(|name| ResourceError::new(name, text(status))).collect()
}

/// The resources that `status` names, out of those that were in the response: from the details; failing that, every name
/// that occurs in the text as a word of its own. None when the response was refused as a whole.
pub fn named<'a>(status: &Status, sent: impl Iterator<Item = &'a str> + Clone) -> Vec<ResourceError> {
    let mut found: Vec<ResourceError> = Vec::new();
    for detail in status.details.iter().filter(|d| d.type_url == TYPE_URL) {
        let Ok(error) = WireResourceError::decode(detail.value.clone()) else { continue };
        let Some(name) = error.resource_name.map(|n| n.name) else { continue };
        if sent.clone().any(|s| s == name) {
            let message = error.error_detail.map(|d| d.message).unwrap_or_default();
            found.push(ResourceError { name, message: cut(&message) });
        }
    }
    if found.is_empty() {
        found = sent
            .filter(|name| names_word(&status.message, name))
            .map(|name| ResourceError::new(name, text(status)))
            .collect();
    }
    found
}

/// The text of a refusal, as much of it as is kept.
pub fn text(status: &Status) -> String {
    cut(&status.message)
}

/// Whether `text` contains `name` with no name character on either side of it.
fn names_word(text: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '|' | '.');
    !name.is_empty()
        && text.match_indices(name).any(|(at, found)| {
            let before = text[..at].chars().next_back();
            let mut after = text[at + found.len()..].chars();
            let next = after.next();
            // A full stop that ends a sentence is not part of a name.
            let goes_on = next.is_some_and(|c| {
                part_of_name(c) && !(c == '.' && after.next().is_none_or(char::is_whitespace))
            });
            !before.is_some_and(part_of_name) && !goes_on
        })
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(status: &Status, sent: &[&str]) -> Vec<String> {
        errors(status, sent.iter().copied()).into_iter().map(|e| e.name).collect()
    }

    #[test]
    fn details_come_back() {
        let errors_in = [ResourceError::new("a", "bad port"), ResourceError::new("c", "no filter")];
        let status = status(&errors_in);
        assert_eq!(errors(&status, ["a", "b", "c"].into_iter()), errors_in);
        assert_eq!(status.message, "Error adding/updating resource(s) a: bad port; c: no filter");
    }

    #[test]
    fn envoys_text_is_searched() {
        let status = whole("Error adding/updating listener(s) 0.0.0.0_80: no filter chains. virtual.");
        assert_eq!(names(&status, &["0.0.0.0_80", "0.0.0.0_8", "virtual"]), ["0.0.0.0_80", "virtual"]);
    }

    #[test]
    fn without_a_name_all_are_meant() {
        assert_eq!(names(&whole("no"), &["x", "y"]), ["x", "y"]);
    }

    #[test]
    fn a_name_that_was_not_sent_is_not_believed() {
        let status = status(&[ResourceError::new("stranger", "?")]);
        assert_eq!(names(&status, &["x"]), ["x"]);
    }
}
