//! In which form an answer is wanted (`Accept`), and in which form a body came (`Content-Type`).

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::error::{ApiError, Reason};

/// A form in which objects are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Object,
    /// `metav1.Table`, as kubectl prints.
    Table(Include),
    /// Only their metadata (`metav1.PartialObjectMetadata`).
    Metadata,
}

/// What a table has of each object besides its cells (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

/// The forms of discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiscoveryForm {
    /// One document per group and version.
    Plain,
    /// Everything in one document (`APIGroupDiscoveryList`), in version `v2` or `v2beta1`.
    Aggregated(&'static str),
}

/// One entry of an `Accept` header.
struct Wanted<'h> {
    media: &'h str,
    kind: &'h str,
    version: &'h str,
    group: &'h str,
}

/// The first wanted form of objects that we have.
///
/// # Errors
/// 406 if there is none.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    first(headers, |w| match (w.kind, w.version, w.group) {
        ("", ..) => Some(Form::Object),
        ("Table", "v1" | "v1beta1", "meta.k8s.io") => Some(Form::Table(Include::Metadata)),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "v1" | "v1beta1", "meta.k8s.io") => {
            Some(Form::Metadata)
        }
        _ => None,
    })
    .map(|form| form.unwrap_or(Form::Object))
}

/// The first wanted form of discovery that we have.
///
/// # Errors
/// 406 if there is none.
pub(crate) fn discovery(headers: &HeaderMap) -> Result<DiscoveryForm, ApiError> {
    first(headers, |w| match (w.kind, w.version, w.group) {
        ("", ..) => Some(DiscoveryForm::Plain),
        ("APIGroupDiscoveryList", "v2", "apidiscovery.k8s.io") => Some(DiscoveryForm::Aggregated("v2")),
        ("APIGroupDiscoveryList", "v2beta1", "apidiscovery.k8s.io") => {
            Some(DiscoveryForm::Aggregated("v2beta1"))
        }
        _ => None,
    })
    .map(|form| form.unwrap_or(DiscoveryForm::Plain))
}

/// The media type of the OpenAPI v2 document as protobuf messages. Clients ask for it with an `@` in its name, which is
/// not a character of media types, so answers have a dot.
pub(crate) const OPENAPI_MESSAGES: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Whether the OpenAPI v2 document is wanted as protobuf messages.
pub(crate) fn wants_openapi_messages(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|media| {
        let media = media.split(';').next().unwrap_or_default().trim().replace('@', ".");
        media.eq_ignore_ascii_case(OPENAPI_MESSAGES)
    })
}

/// The first entry that `have` knows; `Ok(None)` if nothing in particular is wanted.
fn first<T>(headers: &HeaderMap, have: impl Fn(&Wanted<'_>) -> Option<T>) -> Result<Option<T>, ApiError> {
    let mut any = false;
    for value in headers.get_all(ACCEPT) {
        let Ok(text) = value.to_str() else { continue };
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            any = true;
            let wanted = entry_of(entry);
            let json = matches!(wanted.media, "application/json" | "application/*" | "*/*");
            if json && let Some(found) = have(&wanted) {
                return Ok(Some(found));
            }
        }
    }
    if any {
        let message = "only application/json is given; as Table, PartialObjectMetadata or APIGroupDiscoveryList \
                       where it makes sense";
        return Err(ApiError::new(Reason::NotAcceptable, message));
    }
    Ok(None)
}

fn entry_of(entry: &str) -> Wanted<'_> {
    let mut parts = entry.split(';').map(str::trim);
    let mut wanted = Wanted { media: parts.next().unwrap_or_default(), kind: "", version: "", group: "" };
    for part in parts {
        match part.split_once('=') {
            Some(("as", value)) => wanted.kind = value,
            Some(("v", value)) => wanted.version = value,
            Some(("g", value)) => wanted.group = value,
            _ => {}
        }
    }
    wanted
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyForm {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
    /// RFC 6902.
    JsonPatch,
    /// RFC 7386.
    MergePatch,
    /// Kubernetes' merge by keys.
    StrategicMergePatch,
    /// Server-side apply; YAML or JSON.
    Apply,
}

/// The form of this request's body.
///
/// # Errors
/// 415 for one that is not read.
pub(crate) fn body(headers: &HeaderMap) -> Result<BodyForm, ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(BodyForm::Json) };
    let text = value.to_str().unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim() {
        "application/json" | "text/json" | "" => Ok(BodyForm::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(BodyForm::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(BodyForm::Protobuf),
        "application/json-patch+json" => Ok(BodyForm::JsonPatch),
        "application/merge-patch+json" => Ok(BodyForm::MergePatch),
        "application/strategic-merge-patch+json" => Ok(BodyForm::StrategicMergePatch),
        "application/apply-patch+yaml" => Ok(BodyForm::Apply),
        other => {
            let message = format!("bodies of type {other:?} are not read; send application/json");
            Err(ApiError::new(Reason::UnsupportedMediaType, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> HeaderMap {
        [(ACCEPT, text.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn the_first_form_that_we_have() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(form(&accept(kubectl)), Ok(Form::Table(Include::Metadata)));
        assert_eq!(form(&accept("application/vnd.kubernetes.protobuf, application/json")), Ok(Form::Object));
        assert_eq!(form(&HeaderMap::new()), Ok(Form::Object));
        assert_eq!(form(&accept("*/*")), Ok(Form::Object));
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(form(&accept(metadata)), Ok(Form::Metadata));
        assert_eq!(
            form(&accept("application/vnd.kubernetes.protobuf")).unwrap_err().reason,
            Reason::NotAcceptable
        );
        let aggregated =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(discovery(&accept(aggregated)), Ok(DiscoveryForm::Aggregated("v2")));
    }
}
