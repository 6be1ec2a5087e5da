//! YAML and JSON texts as a tree with line numbers.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, SpannedEventReceiver, Tag};
use tulle_base::FieldPath;

use super::Problem;

/// A value in a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Line, from 1; 0 where there is none.
    pub line: u32,
    /// The value.
    pub kind: NodeKind,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// Members in order; no name is there twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// What it is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "null",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Number(_) => "a number",
            NodeKind::String(_) => "a text",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "an object",
        }
    }
}

impl From<&serde_json::Value> for Node {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        let kind = match value {
            Value::Null => NodeKind::Null,
            Value::Bool(b) => NodeKind::Bool(*b),
            Value::Number(n) => NodeKind::Number(n.to_string()),
            Value::String(s) => NodeKind::String(s.clone()),
            Value::Array(items) => NodeKind::List(items.iter().map(Node::from).collect()),
            Value::Object(members) => {
                NodeKind::Map(members.iter().map(|(name, value)| (name.clone(), value.into())).collect())
            }
        };
        Node { line: 0, kind }
    }
}

/// Deepest nesting.
const MAX_DEPTH: usize = 200;
/// Most values, aliases expanded.
const MAX_NODES: usize = 2_000_000;

/// Parses one YAML document (of which JSON is a part). Anchors and aliases are resolved, merge keys (`<<`) are not.
///
/// # Errors
/// What is wrong, with its line.
pub fn parse_document(text: &str) -> Result<Node, Problem> {
    let mut builder = Builder::default();
    let at = |line: u32, message: String| Problem { path: FieldPath::root(), line, message };
    let result = Parser::new_from_str(text).load(&mut builder, true);
    if let Some((line, message)) = builder.problem {
        return Err(at(line, message));
    }
    if let Err(error) = result {
        return Err(at(line_of(error.marker().line()), error.info().to_owned()));
    }
    match builder.documents.len() {
        0 => Ok(Node { line: 1, kind: NodeKind::Map(Vec::new()) }),
        1 => Ok(builder.documents.remove(0)),
        _ => Err(at(builder.documents[1].line, "only one document is expected".to_owned())),
    }
}

fn line_of(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// A list or object that is not finished.
struct Open {
    node: Node,
    anchor: usize,
    /// The name whose value comes next.
    key: Option<String>,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    problem: Option<(u32, String)>,
}

impl Builder {
    fn fail(&mut self, line: u32, message: impl Into<String>) {
        if self.problem.is_none() {
            self.problem = Some((line, message.into()));
        }
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, node: Node, anchor: usize) {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.fail(node.line, format!("more than {MAX_NODES} values"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let line = node.line;
        let Some(Open { node: parent, key, .. }) = self.open.last_mut() else {
            self.documents.push(node);
            return;
        };
        let mut problem = None;
        match &mut parent.kind {
            NodeKind::List(items) => items.push(node),
            NodeKind::Map(members) => match key.take() {
                Some(name) if members.iter().any(|(known, _)| *known == name) => {
                    problem = Some(format!("{name:?} is there twice"));
                }
                Some(name) => members.push((name, node)),
                None => match node.kind {
                    NodeKind::String(name) | NodeKind::Number(name) => *key = Some(name),
                    NodeKind::Bool(b) => *key = Some(b.to_string()),
                    NodeKind::Null => *key = Some("null".to_owned()),
                    NodeKind::List(_) | NodeKind::Map(_) => {
                        problem = Some("a name must be a text".to_owned());
                    }
                },
            },
            _ => {}
        }
        if let Some(problem) = problem {
            self.fail(line, problem);
        }
    }

    fn start(&mut self, line: u32, kind: NodeKind, anchor: usize) {
        if self.open.len() >= MAX_DEPTH {
            return self.fail(line, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.open.push(Open { node: Node { line, kind }, anchor, key: None });
    }

    fn end(&mut self) {
        if let Some(Open { node, anchor, key: _ }) = self.open.pop() {
            self.put(node, anchor);
        }
    }
}

impl<'input> SpannedEventReceiver<'input> for Builder {
    fn on_event(&mut self, event: Event<'input>, span: Span) {
        if self.problem.is_some() {
            return;
        }
        let line = line_of(span.start.line());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = scalar(&text, style, tag.as_deref());
                self.put(Node { line, kind }, anchor);
            }
            Event::SequenceStart(anchor, _) => self.start(line, NodeKind::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.start(line, NodeKind::Map(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.nodes += count(&node);
                    self.put(node, 0);
                }
                None => self.fail(line, "an alias without its anchor"),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.kind {
        NodeKind::List(items) => items.iter().map(count).sum(),
        NodeKind::Map(members) => members.iter().map(|(_, node)| count(node)).sum(),
        _ => 0,
    }
}

/// Resolves a scalar by YAML 1.2's core schema.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> NodeKind {
    let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str");
    match text {
        _ if is_text => NodeKind::String(text.to_owned()),
        "" | "~" | "null" | "Null" | "NULL" => NodeKind::Null,
        "true" | "True" | "TRUE" => NodeKind::Bool(true),
        "false" | "False" | "FALSE" => NodeKind::Bool(false),
        _ if is_number(text) => NodeKind::Number(text.to_owned()),
        _ => NodeKind::String(text.to_owned()),
    }
}

/// A decimal number, or a hexadecimal or octal one with its prefix.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|b| (b'0'..b'8').contains(&b));
    }
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().any(|b| b.is_ascii_digit())
        && unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && unsigned.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_kinds() {
        let node = parse_document("a: 1\nb:\n  - x\n  - \"2\"\n  - true\n").unwrap();
        let NodeKind::Map(members) = node.kind else { panic!("no map") };
        assert_eq!(members[0].1, Node { line: 1, kind: NodeKind::Number("1".into()) });
        let NodeKind::List(items) = &members[1].1.kind else { panic!("no list") };
        assert_eq!(items[1], Node { line: 4, kind: NodeKind::String("2".into()) });
        assert_eq!(items[2].kind, NodeKind::Bool(true));
    }

    #[test]
    fn mistakes_have_lines() {
        assert_eq!(parse_document("a: 1\na: 2\n").unwrap_err().to_string(), "line 2: \"a\" is there twice");
        assert_eq!(parse_document("a: [1\nb: 2").unwrap_err().path, FieldPath::root());
        assert!(parse_document("a: 1\n---\nb: 1\n").is_err());
    }

    #[test]
    fn aliases_cannot_explode() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let below = level - 1;
            let list = vec![format!("*a{below}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(parse_document(&text).unwrap_err().message.contains("more than"));
    }

    #[test]
    fn json_is_yaml() {
        let node = parse_document("{\"a\": [1, 2.5, null, {\"b\": \"c\\n\"}]}").unwrap();
        let value: serde_json::Value = serde_json::json!({"a": [1, 2.5, null, {"b": "c\n"}]});
        fn strip(node: &Node) -> Node {
            let kind = match &node.kind {
                NodeKind::List(items) => NodeKind::List(items.iter().map(strip).collect()),
                NodeKind::Map(m) => NodeKind::Map(m.iter().map(|(k, v)| (k.clone(), strip(v))).collect()),
                kind => kind.clone(),
            };
            Node { line: 0, kind }
        }
        assert_eq!(strip(&node), Node::from(&value));
    }
}
