//! Where a reader or validator is, without allocation until something must be reported.

use tulle_base::FieldPath;

/// A place in a document: a step, and the place above it.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    above: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    /// The top of the document.
    pub const ROOT: At<'static> = At { above: None, step: Step::Root };

    /// The field `name` below this place.
    pub fn field<'b>(&'b self, name: &'b str) -> At<'b> {
        At { above: Some(self), step: Step::Field(name) }
    }

    /// Element `index` of the list at this place.
    pub fn index(&self, index: usize) -> At<'_> {
        At { above: Some(self), step: Step::Index(index) }
    }

    /// The path from the top.
    pub fn path(&self) -> FieldPath {
        let above = self.above.map(At::path).unwrap_or_default();
        match self.step {
            Step::Root => above,
            Step::Field(name) => above.field(name),
            Step::Index(i) => above.index(i),
        }
    }
}
