//! Errors as the Kubernetes API tells them: `metav1.Status` with a reason that programs understand, a message for people, and
//! a cause for each field that is wrong.

use serde_json::{Map, Value, json};
use tulle_api::kind::KindInfo;
use tulle_base::{Diagnostic, Severity};
use tulle_store::StoreError;

/// Most causes in one answer; the message says how many more there are.
const MAX_CAUSES: usize = 200;

/// Why a request was not done: becomes a `metav1.Status`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{reason:?}: {message}")]
pub struct ApiError {
    /// Which kind of failure.
    pub reason: Reason,
    /// What happened, for people.
    pub message: String,
    /// The object concerned, as far as it is known.
    pub details: Map<String, Value>,
}

/// The kinds of failure, with Kubernetes' names (`metav1.StatusReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// 400: the request cannot be understood.
    BadRequest,
    /// 401: no valid token.
    Unauthorized,
    /// 403: not allowed for this user, or for anybody.
    Forbidden,
    /// 404: no such object or path.
    NotFound,
    /// 405: not done to this resource.
    MethodNotAllowed,
    /// 406: none of the wanted formats.
    NotAcceptable,
    /// 409: there is one already.
    AlreadyExists,
    /// 409: it changed in the meantime, or another manager owns the field.
    Conflict,
    /// 410: too old; list again.
    Expired,
    /// 413: the body is too large.
    RequestEntityTooLarge,
    /// 415: a format that is not read.
    UnsupportedMediaType,
    /// 422: fields are wrong.
    Invalid,
    /// 429: too many at once.
    TooManyRequests,
    /// 500: not the client's fault.
    InternalError,
    /// 503: the store is away.
    ServiceUnavailable,
    /// 504: took too long, or asks for a version that is not there yet.
    Timeout,
}

impl Reason {
    /// The HTTP status code.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

impl ApiError {
    /// A failure without details.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), details: Map::new() }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// 404 for an object, in Kubernetes' words.
    pub fn not_found(info: &KindInfo, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(info));
        Self::new(Reason::NotFound, message).about(info, name)
    }

    /// 409: there is one already.
    pub fn already_exists(info: &KindInfo, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(info));
        Self::new(Reason::AlreadyExists, message).about(info, name)
    }

    /// 409, in Kubernetes' words and with the reason.
    pub fn conflict(info: &KindInfo, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(info));
        Self::new(Reason::Conflict, message).about(info, name)
    }

    /// 410: what follows this version is not known any more.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    /// 422 with a cause for each error among `problems`; 400 when only unknown fields are wrong, as Kubernetes answers then.
    pub fn invalid(info: &KindInfo, name: &str, problems: &[Diagnostic]) -> Self {
        let errors: Vec<&Diagnostic> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
        let causes: Vec<Value> = errors
            .iter()
            .take(MAX_CAUSES)
            .map(|p| json!({"reason": cause(p), "message": text(p), "field": p.field.as_str()}))
            .collect();
        let lines: Vec<String> = errors
            .iter()
            .take(MAX_CAUSES)
            .map(|p| match p.field.as_str() {
                "" => text(p),
                field => format!("{field}: {}", text(p)),
            })
            .collect();
        let more = errors.len().saturating_sub(MAX_CAUSES);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let list = if lines.len() == 1 { lines.concat() } else { format!("[{}{more}]", lines.join(", ")) };
        let subject = if info.group.is_empty() {
            info.kind.to_owned()
        } else {
            format!("{}.{}", info.kind, info.group)
        };
        let mut error = if errors.iter().all(|p| is_unknown_field(p)) {
            let message = format!("{subject} {name:?}: strict decoding error: {list}");
            Self::new(Reason::BadRequest, message)
        } else {
            Self::new(Reason::Invalid, format!("{subject} {name:?} is invalid: {list}"))
        };
        error.details.insert("name".into(), name.into());
        error.details.insert("group".into(), info.group.into());
        error.details.insert("kind".into(), info.kind.into());
        error.details.insert("causes".into(), causes.into());
        error
    }

    /// 429 or 503 with the seconds after which to try again.
    pub fn later(reason: Reason, message: impl Into<String>, seconds: u32) -> Self {
        let mut error = Self::new(reason, message);
        error.details.insert("retryAfterSeconds".into(), seconds.into());
        error
    }

    /// Names the object.
    #[must_use]
    pub fn about(mut self, info: &KindInfo, name: &str) -> Self {
        self.details.insert("name".into(), name.into());
        if !info.group.is_empty() {
            self.details.insert("group".into(), info.group.into());
        }
        self.details.insert("kind".into(), info.plural.into());
        self
    }

    /// The `metav1.Status`.
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": format!("{:?}", self.reason), "code": self.reason.code(),
        });
        if !self.details.is_empty() {
            status["details"] = Value::Object(self.details.clone());
        }
        status
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound(_) => Self::new(Reason::NotFound, message),
            StoreError::Conflict { .. } | StoreError::Replaced { .. } => Self::new(Reason::Conflict, message),
            StoreError::Expired { .. } => Self::expired(message),
            StoreError::Invalid { reason, .. } if reason.is_about_the_spec() => {
                Self::new(Reason::Invalid, message)
            }
            StoreError::Invalid { .. } => Self::bad_request(message),
            StoreError::Unreachable(_) | StoreError::Closed => {
                Self::later(Reason::ServiceUnavailable, message, 1)
            }
            _ => Self::new(Reason::InternalError, message),
        }
    }
}

/// `deployments.apps`, or `pods` for the core group.
pub(crate) fn qualified(info: &KindInfo) -> String {
    if info.group.is_empty() { info.plural.to_owned() } else { format!("{}.{}", info.plural, info.group) }
}

/// Message and way out.
pub(crate) fn text(problem: &Diagnostic) -> String {
    if problem.fix.is_empty() {
        problem.message.clone()
    } else {
        format!("{}; {}", problem.message, problem.fix)
    }
}

/// Whether a finding is about a field that its kind does not have.
pub(crate) fn is_unknown_field(problem: &Diagnostic) -> bool {
    problem.message.starts_with("unknown field")
}

/// The reason of a cause (`metav1.CauseType`), read from the finding's words.
fn cause(problem: &Diagnostic) -> &'static str {
    let message = problem.message.as_str();
    if is_unknown_field(problem) {
        "UnexpectedServerResponse"
    } else if message.starts_with("is required") {
        "FieldValueRequired"
    } else if message.contains("twice") || message.contains("duplicate") {
        "FieldValueDuplicate"
    } else if message.starts_with("must be one of") || message.contains("is none of") {
        "FieldValueNotSupported"
    } else if message.starts_with("cannot be set") || message.contains("must not be set") {
        "FieldValueForbidden"
    } else {
        "FieldValueInvalid"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tulle_api::Kind;
    use tulle_base::FieldPath;

    #[test]
    fn every_wrong_field_is_a_cause() {
        let info = Kind::VirtualService.info();
        let problems = [
            Diagnostic::error(FieldPath::from("spec.hosts"), "is required"),
            Diagnostic::warning(FieldPath::from("spec.x"), "deprecated"),
            Diagnostic::error(FieldPath::from("spec.http[0].timeout"), "must be a duration")
                .with_fix("write 5s"),
        ];
        let status = ApiError::invalid(info, "a", &problems).to_json();
        assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")));
        assert_eq!(
            status["message"],
            "VirtualService.networking.istio.io \"a\" is invalid: [spec.hosts: is required, \
             spec.http[0].timeout: must be a duration; write 5s]"
        );
        let causes = status["details"]["causes"].as_array().unwrap();
        assert_eq!((causes.len(), &causes[0]["reason"]), (2, &json!("FieldValueRequired")));
    }

    #[test]
    fn unknown_fields_alone_are_a_bad_request() {
        let problem =
            [Diagnostic::error(FieldPath::from("spec.hots"), "unknown field")
                .with_fix("did you mean hosts?")];
        let error = ApiError::invalid(Kind::VirtualService.info(), "a", &problem);
        assert_eq!(error.reason, Reason::BadRequest);
        assert!(
            error.message.contains("strict decoding error: spec.hots: unknown field; did you mean hosts?")
        );
    }
}
