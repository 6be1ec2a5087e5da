//! What is wrong with a resource, where, and what to do about it.

use std::fmt;
use std::sync::Arc;

use crate::ResourceRef;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// Accepted, but probably not what was meant, or without effect.
    Warning,
    /// The resource is refused; its last good version stays in force.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A place in a file. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceSpan {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for SourceSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The way from the top of a document to a value, such as `spec.http[2].route[0].weight`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(String);

impl FieldPath {
    /// The top of the document.
    pub fn root() -> Self {
        Self::default()
    }

    /// The field `name` below this one. A name with a dot or bracket in it is written in brackets and quotes.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        if name.contains(['.', '[', '/']) {
            return Self(format!("{}[{name:?}]", self.0));
        }
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// Element `index` of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The path as text; empty at the top.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for FieldPath {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One finding: `file:line: kind ns/name: field.path: message; fix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Stable code (`ISTnnnn` where Istio has one, else `TULnnnn`); empty for plain syntax and schema errors.
    pub code: &'static str,
    /// Where it was written, if it came from a file.
    pub span: Option<SourceSpan>,
    /// The resource concerned, as far as it could be read.
    pub resource: Option<ResourceRef>,
    /// The field concerned; empty for the resource as a whole.
    pub field: FieldPath,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it, in one clause; empty if the message says it all.
    pub fix: String,
}

impl Diagnostic {
    /// A diagnostic without place or resource; add them with the `with_` methods.
    pub fn new(severity: Severity, field: FieldPath, message: impl Into<String>) -> Self {
        Self {
            severity,
            code: "",
            span: None,
            resource: None,
            field,
            message: message.into(),
            fix: String::new(),
        }
    }

    /// An error at `field`.
    pub fn error(field: FieldPath, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, field, message)
    }

    /// A warning at `field`.
    pub fn warning(field: FieldPath, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, field, message)
    }

    /// Adds the way out.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// Adds the stable code.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// Adds the place.
    #[must_use]
    pub fn with_span(mut self, span: SourceSpan) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds the resource.
    #[must_use]
    pub fn with_resource(mut self, resource: ResourceRef) -> Self {
        self.resource = Some(resource);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = &self.span {
            write!(f, "{span}: ")?;
        }
        if let Some(resource) = &self.resource {
            write!(f, "{resource}: ")?;
        }
        if !self.field.as_str().is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        if !self.code.is_empty() {
            write!(f, " [{}]", self.code)?;
        }
        Ok(())
    }
}

/// Every finding of one pass, in the order they were made.
pub type Diagnostics = Vec<Diagnostic>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_the_contract_says() {
        let path = FieldPath::root().field("spec").field("http").index(2).field("route").index(0);
        let d = Diagnostic::error(
            path.field("destination").field("subset"),
            "no DestinationRule defines subset v3",
        )
        .with_fix("define it or use v1")
        .with_resource(ResourceRef::new("networking.istio.io", "VirtualService", "shop", "cart"))
        .with_span(SourceSpan { file: "cart.yaml".into(), line: 7, column: 3 });
        assert_eq!(
            d.to_string(),
            "cart.yaml:7: VirtualService shop/cart: spec.http[2].route[0].destination.subset: \
             no DestinationRule defines subset v3; define it or use v1"
        );
    }

    #[test]
    fn odd_keys_are_quoted() {
        assert_eq!(FieldPath::from("metadata.labels").field("a.b/c").as_str(), "metadata.labels[\"a.b/c\"]");
    }
}
