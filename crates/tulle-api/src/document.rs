//! One YAML or JSON document that is no manifest, such as a proxy's bootstrap.

use std::sync::Arc;

use tulle_base::{Diagnostic, Diagnostics, FieldPath, SourceSpan};

use crate::node::Node;
use crate::yaml::{self, Problem};

/// Reads the only document of a file, within the limits of manifests (16 MiB, 64 levels). `file` is the name for messages.
///
/// # Errors
/// Everything that is wrong with its syntax, with line and column; also when there is no document, or more than one.
pub fn parse_document(file: &str, bytes: &[u8]) -> Result<Node, Diagnostics> {
    let file: Arc<str> = file.into();
    let error = |problem: Problem| {
        let Problem { line, column, message, fix } = problem;
        let mut diagnostic = Diagnostic::error(FieldPath::root(), message);
        diagnostic.span = Some(SourceSpan { file: Arc::clone(&file), line, column });
        diagnostic.fix = fix;
        diagnostic
    };
    let one = |message: &str| {
        let message = message.to_owned();
        vec![error(Problem { line: 1, column: 1, message, fix: "give exactly one document".to_owned() })]
    };
    if bytes.len() > yaml::MAX_BYTES {
        return Err(one("is larger than 16 MiB"));
    }
    let mut nodes = Vec::new();
    for document in yaml::split(bytes) {
        let text = document.text.map_err(|p| vec![error(p)])?;
        let read = yaml::read_document(text, document.first_line);
        if !read.problems.is_empty() {
            return Err(read.problems.into_iter().map(error).collect());
        }
        nodes.extend(read.values);
    }
    nodes.retain(|node| !node.is_null());
    match (nodes.pop(), nodes.is_empty()) {
        (Some(node), true) => Ok(node),
        (None, _) => Err(one("is empty")),
        (Some(_), false) => Err(one("has several documents")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_document() {
        let node = parse_document("b.yaml", b"# c\n---\nadmin: {port: 1}\n").unwrap();
        assert_eq!(node.to_json(), serde_json::json!({ "admin": { "port": 1 } }));
        assert_eq!(node.locate("admin.port").0, 3);
        for bad in [&b""[..], b"a: 1\n---\nb: 2\n", b"a: [\n"] {
            let errors = parse_document("b.yaml", bad).unwrap_err();
            assert_eq!(errors[0].span.as_ref().map(|s| &*s.file), Some("b.yaml"));
        }
    }
}
