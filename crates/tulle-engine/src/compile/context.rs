//! Where the compilation is, and what it has found.

use std::collections::HashMap;
use std::time::Duration;

use tulle_base::nearest::nearest;
use tulle_base::{Diagnostic, Diagnostics, FieldPath, Severity};
use tulle_proto::Message;
use tulle_proto::envoy::google;

use super::Files;

/// The way to a field, made into text only when something is said about it.
#[derive(Clone, Copy)]
pub(super) struct At<'p> {
    parent: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Field(&'p str),
    Index(usize),
}

impl At<'static> {
    pub(super) const ROOT: At<'static> = At { parent: None, step: Step::Root };
}

impl<'p> At<'p> {
    pub(super) fn field<'s>(&'s self, name: &'s str) -> At<'s> {
        At { parent: Some(self), step: Step::Field(name) }
    }

    pub(super) fn index(&self, index: usize) -> At<'_> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    pub(super) fn path(&self) -> FieldPath {
        let parent = self.parent.map(At::path).unwrap_or_default();
        match self.step {
            Step::Root => parent,
            Step::Field(name) => parent.field(name.strip_prefix("r#").unwrap_or(name)),
            Step::Index(index) => parent.index(index),
        }
    }
}

/// What a compilation has found so far.
pub(super) struct Context<'f> {
    files: &'f dyn Files,
    problems: Vec<(FieldPath, String)>,
    notes: Diagnostics,
    depth: u32,
}

/// Deepest nesting of matchers and rules; deeper ones are refused instead of overflowing the stack.
const MAX_DEPTH: u32 = 64;

impl<'f> Context<'f> {
    pub(super) fn new(files: &'f dyn Files) -> Self {
        Self { files, problems: Vec::new(), notes: Vec::new(), depth: 0 }
    }

    pub(super) fn finish(self) -> (Vec<(FieldPath, String)>, Diagnostics) {
        (self.problems, self.notes)
    }

    /// The field cannot be.
    pub(super) fn refuse(&mut self, at: &At<'_>, why: impl Into<String>) {
        self.problems.push((at.path(), why.into()));
    }

    /// The field is without effect.
    pub(super) fn note(&mut self, at: &At<'_>, why: impl Into<String>) {
        self.notes.push(Diagnostic::new(Severity::Info, at.path(), format!("has no effect: {}", why.into())));
    }

    pub(super) fn problems(&self) -> usize {
        self.problems.len()
    }

    /// Runs `inner` one level deeper; too deep is refused.
    pub(super) fn deeper<T>(&mut self, at: &At<'_>, inner: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            self.refuse(at, format!("is nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        self.depth += 1;
        let out = inner(self);
        self.depth -= 1;
        out
    }

    pub(super) fn required<'m, T>(&mut self, at: &At<'_>, value: Option<&'m T>) -> Option<&'m T> {
        if value.is_none() {
            self.refuse(at, "is required");
        }
        value
    }

    /// A value of an enum; unknown numbers are refused.
    pub(super) fn choice<E: TryFrom<i32>>(&mut self, at: &At<'_>, value: i32) -> Option<E> {
        let known = E::try_from(value).ok();
        if known.is_none() {
            self.refuse(at, format!("{value} is not a known value"));
        }
        known
    }

    /// A duration, zero or more.
    pub(super) fn duration(&mut self, at: &At<'_>, value: Option<&google::Duration>) -> Option<Duration> {
        let google::Duration { seconds, nanos } = *value?;
        match (u64::try_from(seconds), u32::try_from(nanos)) {
            (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 && seconds <= 315_576_000_000 => {
                Some(Duration::new(seconds, nanos))
            }
            _ => {
                self.refuse(at, "is not a duration of zero or more");
                None
            }
        }
    }

    /// A duration above zero.
    pub(super) fn positive(&mut self, at: &At<'_>, value: Option<&google::Duration>) -> Option<Duration> {
        let duration = self.duration(at, value)?;
        if duration.is_zero() {
            self.refuse(at, "must be above zero");
            return None;
        }
        Some(duration)
    }

    /// A limit that zero switches off: `default` if it is not given.
    pub(super) fn limit(
        &mut self,
        at: &At<'_>,
        value: Option<&google::Duration>,
        default: Option<Duration>,
    ) -> Option<Duration> {
        match value {
            None => default,
            Some(_) => self.duration(at, value).filter(|d| !d.is_zero()),
        }
    }

    /// A port from 0 to 65 535.
    pub(super) fn port(&mut self, at: &At<'_>, value: u32) -> Option<u16> {
        let port = u16::try_from(value).ok();
        if port.is_none() {
            self.refuse(at, format!("{value} is not a port; use 0 to 65535"));
        }
        port
    }

    /// An unsigned number between two bounds.
    pub(super) fn between(&mut self, at: &At<'_>, value: u32, min: u32, max: u32) -> Option<u32> {
        if (min..=max).contains(&value) {
            return Some(value);
        }
        self.refuse(at, format!("{value} must be between {min} and {max}"));
        None
    }

    /// The message of type `M` in an `Any`.
    pub(super) fn unpack<M: Message>(&mut self, at: &At<'_>, any: &google::Any) -> Option<M> {
        match tulle_proto::unpack(any) {
            Ok(message) => Some(message),
            Err(error) => {
                self.refuse(at, error.to_string());
                None
            }
        }
    }

    /// An extension whose type is not known here.
    pub(super) fn unknown_extension(&mut self, at: &At<'_>, any: &google::Any, what: &str, known: &[&str]) {
        let found = tulle_proto::any::full_name(&any.type_url);
        // The long common beginning of these names would make everything look alike.
        let end = |name: &str| name.rsplitn(4, '.').take(3).collect::<Vec<_>>().join(".");
        let ends: Vec<String> = known.iter().map(|url| end(tulle_proto::any::full_name(url))).collect();
        let near = nearest(&end(found), ends.iter().map(String::as_str))
            .and_then(|near| known.iter().zip(&ends).find(|(_, end)| *end == near));
        let hint = match near {
            Some((url, _)) => format!("; did you mean {}?", tulle_proto::any::full_name(url)),
            None => String::new(),
        };
        self.refuse(at, format!("{what} {found:?} is not supported{hint}"));
    }

    pub(super) fn read_file(&mut self, at: &At<'_>, path: &str) -> Option<Vec<u8>> {
        match self.files.read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.refuse(at, format!("{path:?}: {error}"));
                None
            }
        }
    }
}

/// Whether a field was written.
pub(super) trait Written {
    /// Whether it differs from what protobuf takes for "not set".
    fn is_written(&self) -> bool;
}

impl<T> Written for Option<T> {
    fn is_written(&self) -> bool {
        self.is_some()
    }
}
impl<T> Written for Vec<T> {
    fn is_written(&self) -> bool {
        !self.is_empty()
    }
}
impl<K, V> Written for HashMap<K, V> {
    fn is_written(&self) -> bool {
        !self.is_empty()
    }
}
impl Written for String {
    fn is_written(&self) -> bool {
        !self.is_empty()
    }
}
impl Written for bool {
    fn is_written(&self) -> bool {
        *self
    }
}
impl Written for i32 {
    fn is_written(&self) -> bool {
        *self != 0
    }
}
impl Written for i64 {
    fn is_written(&self) -> bool {
        *self != 0
    }
}
impl Written for u32 {
    fn is_written(&self) -> bool {
        *self != 0
    }
}
impl Written for u64 {
    fn is_written(&self) -> bool {
        *self != 0
    }
}

/// Refuses each of these fields if it was written. The binding has the field's name.
macro_rules! refuse {
    ($cx:expr, $at:expr, $($field:ident: $why:expr),+ $(,)?) => {
        $(if $crate::compile::context::Written::is_written($field) {
            $cx.refuse(&$at.field(stringify!($field)), $why);
        })+
    };
}

/// Notes each of these fields as without effect if it was written. The binding has the field's name.
macro_rules! no_effect {
    ($cx:expr, $at:expr, $($field:ident: $why:expr),+ $(,)?) => {
        $(if $crate::compile::context::Written::is_written($field) {
            $cx.note(&$at.field(stringify!($field)), $why);
        })+
    };
}

/// Why a feature is refused that is simply not there.
pub(super) const UNSUPPORTED: &str = "is not supported";
/// Why options of HTTP/3 have no effect, and the protocol is refused.
pub(super) const NO_HTTP3: &str = "HTTP/3 is not spoken here";
