//! Parser events to a tree, within limits.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::{MAX_DEPTH, MAX_NODES, scalar};
use crate::node::{Data, Entry, Node};

/// Why a document, or a part of it, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Line of the file, from 1.
    pub(crate) line: u32,
    /// Column, from 1.
    pub(crate) column: u32,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) fix: String,
}

/// What a document holds, as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Its values; several, if `...` separates them.
    pub(crate) values: Vec<Node>,
    /// What is wrong with it. The values are good to look for more problems, but not to be used.
    pub(crate) problems: Vec<Problem>,
}

/// Reads one document; the text begins on `first_line` of its file.
pub(crate) fn read_document(text: &str, first_line: u32) -> Read {
    // Documents without aliases have at most a value for every few bytes, however large they are.
    let most_nodes = MAX_NODES.max(text.len() / 4);
    let mut builder = Builder { offset: first_line - 1, most_nodes, ..Builder::default() };
    let text = &*pairs_joined(text);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.event(event, span.start),
            Err(error) => Err(builder.syntax_error(text, &error)),
        };
        if let Err(problem) = step {
            builder.problems.push(problem);
            break;
        }
    }
    Read { values: builder.documents, problems: builder.problems }
}

#[derive(Default)]
struct Builder {
    offset: u32,
    documents: Vec<Node>,
    open: Vec<Frame>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    most_nodes: usize,
    problems: Vec<Problem>,
}

/// A list or mapping whose end has not come yet.
struct Frame {
    anchor: usize,
    line: u32,
    column: u32,
    nodes_before: usize,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: HashMap<Box<str>, u32>,
        merged: Vec<Node>,
        key: Option<(Box<str>, u32, u32)>,
    },
}

impl Builder {
    fn event(&mut self, event: Event<'_>, mark: Marker) -> Result<(), Problem> {
        let (line, column) = self.place(mark);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let data = scalar_data(&text, style, tag.as_deref())
                    .map_err(|message| problem(line, column, message, "remove the tag"))?;
                self.add(Node { data, line, column }, 1, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), (line, column), FrameKind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let map = FrameKind::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.open(anchor, tag.as_deref(), (line, column), map)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => match self.anchors.get(&id) {
                Some((node, size)) => {
                    let (mut node, size) = (node.clone(), *size);
                    (node.line, node.column) = (line, column);
                    self.add(node, size, 0)
                }
                None => {
                    Err(problem(line, column, "is an alias of a value that holds it".into(), "write it out"))
                }
            },
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn place(&self, mark: Marker) -> (u32, u32) {
        let line = u32::try_from(mark.line()).unwrap_or(u32::MAX).max(1);
        (line.saturating_add(self.offset), u32::try_from(mark.col()).unwrap_or(u32::MAX).saturating_add(1))
    }

    fn open(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        (line, column): (u32, u32),
        kind: FrameKind,
    ) -> Result<(), Problem> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("is nested more than {MAX_DEPTH} levels deep");
            return Err(problem(line, column, message, ""));
        }
        if let Some(tag) = tag.filter(|t| !t.is_yaml_core_schema()) {
            return Err(problem(line, column, format!("has the unknown tag {tag}"), "remove the tag"));
        }
        self.open.push(Frame { anchor, line, column, nodes_before: self.nodes, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let data = match frame.kind {
            FrameKind::List(items) => Data::List(items),
            FrameKind::Map { mut entries, mut seen, merged, .. } => {
                for node in merged {
                    self.merge(node, &mut entries, &mut seen);
                }
                Data::Map(entries)
            }
        };
        let size = self.nodes - frame.nodes_before;
        self.nodes = frame.nodes_before;
        self.add(Node { data, line: frame.line, column: frame.column }, size + 1, frame.anchor)
    }

    /// Adds what a `<<` key names, under the keys that are already there (YAML merge keys).
    fn merge(&mut self, node: Node, entries: &mut Vec<Entry>, seen: &mut HashMap<Box<str>, u32>) {
        let (line, column) = (node.line, node.column);
        match node.data {
            Data::Map(more) => {
                for entry in more {
                    if !seen.contains_key(&entry.key) {
                        seen.insert(entry.key.clone(), entry.line);
                        entries.push(entry);
                    }
                }
            }
            Data::List(items) if items.iter().all(|i| matches!(i.data, Data::Map(_))) => {
                for item in items {
                    self.merge(item, entries, seen);
                }
            }
            _ => self.problems.push(problem(line, column, "<< must name a mapping".into(), "")),
        }
    }

    /// Puts a finished value, of `size` values in all, where it belongs.
    fn add(&mut self, node: Node, size: usize, anchor: usize) -> Result<(), Problem> {
        let copies = if anchor > 0 { 2 } else { 1 };
        self.nodes = self.nodes.saturating_add(size.saturating_mul(copies));
        if self.nodes > self.most_nodes {
            let most = self.most_nodes;
            let message =
                format!("the document has more than {most} values once its aliases are written out");
            return Err(problem(
                node.line,
                node.column,
                message,
                "write it with fewer aliases or in several documents",
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|f| &mut f.kind) {
            None => self.documents.push(node),
            Some(FrameKind::List(items)) => items.push(node),
            Some(FrameKind::Map { entries, seen, merged, key }) => match key.take() {
                None => *key = Some((key_text(&node)?, node.line, node.column)),
                Some((name, _, _)) if &*name == "<<" => merged.push(node),
                Some((name, line, column)) => match seen.get(&name) {
                    Some(first) => {
                        let message =
                            format!("{name:?} is given twice in this mapping, first on line {first}");
                        self.problems.push(problem(line, column, message, "keep one"));
                    }
                    None => {
                        seen.insert(name.clone(), line);
                        entries.push(Entry { key: name, line, column, value: node });
                    }
                },
            },
        }
        Ok(())
    }

    /// What the parser says, at the line that has to be changed.
    fn syntax_error(&self, text: &str, error: &ScanError) -> Problem {
        let (mut line, mut column) = self.place(*error.marker());
        let said = error.info();
        if said.contains("recursion limit") {
            return problem(line, column, format!("is nested more than {MAX_DEPTH} levels deep"), "");
        }
        let within = (line - self.offset) as usize;
        let lines = || text.lines().enumerate().map(|(i, l)| (i + 1, l));
        let content = |l: &str| !l.trim().is_empty() && !l.trim_start().starts_with('#');
        let mut found = None;
        if said.contains("tab") {
            // It is told where the value before the tab begins.
            found = lines().skip(within.saturating_sub(1)).take(64).find(|(_, l)| indent(l).contains('\t'));
        } else if said.contains("simple key expect") || said.contains("could not find expected ':'") {
            // It is told where the next value begins: the line with the key is above.
            found = lines().take(within.saturating_sub(1)).filter(|(_, l)| content(l)).last();
        }
        if let Some((at, shown)) = found.filter(|(at, _)| *at != within) {
            line = self.offset.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
            column = u32::try_from(indent(shown).chars().count()).unwrap_or(u32::MAX).saturating_add(1);
        }
        let shown = found.map_or_else(|| lines().nth(within.saturating_sub(1)).map_or("", |l| l.1), |l| l.1);
        let fix = match () {
            () if indent(shown).contains('\t') || said.contains("tab") => "indent with blanks, not with tabs",
            () if shown.contains('\t') => "write blanks instead of the tab on this line",
            () if said.contains("simple key expect") => "write a colon after the key",
            () => "",
        };
        problem(line, column, format!("is not valid YAML: {said}"), fix)
    }
}

/// The blanks and tabs that a line begins with.
fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}

/// JSON writes characters beyond the first 65536 as two escapes (RFC 8259 section 7), YAML as one.
fn pairs_joined(text: &str) -> Cow<'_, str> {
    if !text.trim_start().starts_with(['{', '[']) || !(text.contains("\\ud") || text.contains("\\uD")) {
        return text.into();
    }
    let unit = |s: &str| {
        let hex = s.strip_prefix("\\u")?.get(..4).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u16::from_str_radix(hex, 16).ok()
    };
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let pair = unit(rest).zip(rest.get(6..).and_then(unit));
        let joined = pair.and_then(|(high, low)| char::decode_utf16([high, low]).next()).and_then(Result::ok);
        let taken = match joined {
            Some(c) if c > '\u{ffff}' => {
                out.push(c);
                12
            }
            _ => {
                let taken = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..taken]);
                taken
            }
        };
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out.into()
}

fn problem(line: u32, column: u32, message: String, fix: &str) -> Problem {
    Problem { line, column, message, fix: fix.to_owned() }
}

fn scalar_data(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Data, String> {
    let plain = style == ScalarStyle::Plain;
    match tag {
        None if plain => Ok(scalar::resolve(text)),
        None => Ok(Data::String(text.into())),
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(Data::String(text.into())),
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" | "binary" | "timestamp" => Ok(Data::String(text.into())),
            "int" | "float" | "bool" | "null" => Ok(scalar::resolve(text)),
            _ => Err(format!("has the unknown tag {tag}")),
        },
        Some(tag) => Err(format!("has the unknown tag {tag}")),
    }
}

fn key_text(node: &Node) -> Result<Box<str>, Problem> {
    match &node.data {
        Data::String(text) | Data::Bool(_, text) | Data::Int(_, text) | Data::Float(_, text) => {
            Ok(text.clone())
        }
        Data::Null => Ok("".into()),
        Data::List(_) | Data::Map(_) => {
            let message = format!("a key must be text but is {}", node.describe());
            Err(problem(node.line, node.column, message, "quote it if it contains { or ["))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> serde_json::Value {
        read_document(text, 1).values[0].to_json()
    }

    fn problems(text: &str) -> Vec<(u32, String)> {
        read_document(text, 1).problems.into_iter().map(|p| (p.line, p.message)).collect()
    }

    #[test]
    fn reads_both_styles() {
        let block = json("a:\n  - 1\n  - {b: yes, c: 'yes'}\nd: |\n  x\n  y\ne: !!str 5\n");
        let flow = serde_json::json!({"a": [1, {"b": true, "c": "yes"}], "d": "x\ny\n", "e": "5"});
        assert_eq!(block, flow);
        assert_eq!(json(&flow.to_string()), flow);
        let escapes = r#"{"a": "\ud83d\ude00 \\ud83d \u00e4 \/ \\"}"#;
        assert_eq!(json(escapes), serde_json::from_str::<serde_json::Value>(escapes).unwrap());
    }

    #[test]
    fn aliases_and_merge_keys() {
        let text = "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n";
        assert_eq!(json(text)["use"], serde_json::json!({"x": 1, "y": 3}));
    }

    #[test]
    fn bombs_are_defused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 9].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        let found = problems(&bomb);
        assert!(found[0].1.contains("aliases"), "{found:?}");
        let deep = "[".repeat(5000);
        assert_eq!(problems(&deep)[0].0, 1);
        let deep: String = (0..3000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
        assert!(problems(&deep)[0].1.contains("levels deep"));
    }

    #[test]
    fn duplicates_are_all_reported_with_their_lines() {
        let found = problems("a: 1\nb: 2\na: 3\nc:\n  d: 1\n  d: 2\n");
        assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [3, 6]);
        assert_eq!(found[0].1, "\"a\" is given twice in this mapping, first on line 1");
    }

    #[test]
    fn tabs_are_named() {
        let found = read_document("a:\n\tb: 1\n", 1).problems;
        assert_eq!((found[0].line, &*found[0].fix), (2, "indent with blanks, not with tabs"));
    }
}
