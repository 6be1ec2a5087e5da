//! From the place of an object to the place of a field in it.

use std::collections::HashMap;

use tulle_base::Diagnostic;

use crate::node::{Data, Node};
use crate::yaml;

/// Gives each of `findings` about an object of `file` the place of its field, where it had that of the object.
///
/// For what is found after the objects were read ([`crate::parse_manifests`]): `bytes` are those of the file, read once more.
/// What is in no document of it stays as it is.
pub fn refine_places<'a>(file: &str, bytes: &[u8], findings: impl IntoIterator<Item = &'a mut Diagnostic>) {
    let mut wanted: HashMap<(u32, u32), Vec<&mut Diagnostic>> = HashMap::new();
    for finding in findings {
        let Some(span) = finding.span.as_ref().filter(|s| &*s.file == file) else { continue };
        if !finding.field.as_str().is_empty() {
            wanted.entry((span.line, span.column)).or_default().push(finding);
        }
    }
    if wanted.is_empty() || bytes.len() > yaml::MAX_BYTES {
        return;
    }
    for document in yaml::split(bytes) {
        let Ok(text) = document.text else { continue };
        for node in &yaml::read_document(text, document.first_line).values {
            object(node, &mut wanted);
        }
    }
}

fn object(node: &Node, wanted: &mut HashMap<(u32, u32), Vec<&mut Diagnostic>>) {
    if let Some(Data::List(items)) = node.get("items").map(|n| &n.data) {
        items.iter().for_each(|item| object(item, wanted));
    }
    for finding in wanted.remove(&(node.line, node.column)).unwrap_or_default() {
        let (line, column) = node.locate(finding.field.as_str());
        if let Some(span) = finding.span.as_mut().filter(|_| line > 0) {
            (span.line, span.column) = (line, column);
        }
    }
}

#[cfg(test)]
mod tests {
    use tulle_base::FieldPath;

    use super::*;

    #[test]
    fn the_line_of_the_field() {
        let text = b"apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Service\n    metadata:\n      name: a\n    spec:\n      ports:\n        - port: 80\n";
        let (objects, _) = crate::parse_manifests("a.yaml", text);
        let origin = objects[0].origin.clone().unwrap();
        let finding = |path| Diagnostic::warning(FieldPath::from(path), "odd").with_span(origin.clone());
        let mut found = vec![finding("spec.ports[0].port"), finding("spec.selector"), finding("")];
        refine_places("a.yaml", text, &mut found);
        let lines: Vec<u32> = found.iter().map(|d| d.span.as_ref().unwrap().line).collect();
        assert_eq!(lines, [10, 8, origin.line]);
    }
}
