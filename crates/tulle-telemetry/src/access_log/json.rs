//! JSON lines.

use std::fmt::Write as _;

use crate::access_log::JsonFormat;
use crate::access_log::operator::Operator;
use crate::access_log::parse::{FormatError, Piece, parse, write_limited};
use crate::access_log::record::RequestRecord;

/// A compiled JSON format.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Text that is JSON already.
    Literal(Box<[u8]>),
    /// One operator alone: typed, `null` if missing.
    Value { operator: Operator, limit: Option<usize> },
    /// Several pieces: always a string.
    Text(Vec<Piece>),
    /// Members, with their names as JSON strings and colon.
    Object(Vec<(Box<[u8]>, Node)>),
    /// Elements.
    List(Vec<Node>),
}

pub(super) fn compile(format: &JsonFormat) -> Result<Node, FormatError> {
    Ok(match format {
        JsonFormat::Null => Node::Literal((*b"null").into()),
        JsonFormat::Bool(b) => Node::Literal(b.to_string().into_bytes().into()),
        JsonFormat::Number(n) if n.is_finite() => Node::Literal(n.to_string().into_bytes().into()),
        JsonFormat::Number(_) => Node::Literal((*b"null").into()),
        JsonFormat::Format(text) => compile_text(text)?,
        JsonFormat::List(items) => Node::List(items.iter().map(compile).collect::<Result<_, _>>()?),
        JsonFormat::Object(members) => {
            let member = |(name, value): (&String, &JsonFormat)| {
                let mut key = quoted(name.as_bytes());
                key.push(b':');
                Ok((key.into(), compile(value)?))
            };
            Node::Object(members.iter().map(member).collect::<Result<_, FormatError>>()?)
        }
    })
}

fn compile_text(text: &str) -> Result<Node, FormatError> {
    let mut pieces = parse(text)?;
    match pieces.len() {
        0 => Ok(Node::Literal((*b"\"\"").into())),
        1 => Ok(match pieces.remove(0) {
            Piece::Literal(text) => Node::Literal(quoted(&text).into()),
            Piece::Operator { operator, limit } => Node::Value { operator, limit },
        }),
        _ => Ok(Node::Text(pieces)),
    }
}

/// Whether some operator asks for trailers.
pub(super) fn reads_trailers(node: &Node) -> bool {
    match node {
        Node::Literal(_) => false,
        Node::Value { operator, limit: _ } => operator.reads_trailers(),
        Node::Text(pieces) => crate::access_log::parse::reads_trailers(pieces),
        Node::Object(members) => members.iter().any(|(_, value)| reads_trailers(value)),
        Node::List(items) => items.iter().any(reads_trailers),
    }
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    out.extend_from_slice(text);
    close_string(&mut out, 1);
    out
}

/// Appends a line.
pub(super) fn render_line(root: &Node, record: &RequestRecord<'_>, omit_empty: bool, out: &mut Vec<u8>) {
    if !render(root, record, omit_empty, out) {
        out.extend_from_slice(b"{}");
    }
    out.push(b'\n');
}

/// Appends the value of `node`. False and nothing if it is missing and `omit_empty`, as Envoy does: `null` and objects
/// without members are missing then too, lists and empty sets of flags are not.
fn render(node: &Node, record: &RequestRecord<'_>, omit_empty: bool, out: &mut Vec<u8>) -> bool {
    match node {
        Node::Literal(text) if omit_empty && **text == *b"null" => return false,
        Node::Literal(text) => out.extend_from_slice(text),
        Node::Value { operator, limit } => return render_value(operator, *limit, record, omit_empty, out),
        Node::Text(pieces) => {
            out.push(b'"');
            let start = out.len();
            let missing: &[u8] = if omit_empty { b"" } else { b"-" };
            crate::access_log::parse::render_text(pieces, record, missing, out);
            close_string(out, start);
        }
        Node::Object(members) => {
            let mark = out.len();
            out.push(b'{');
            for (key, value) in members {
                let start = out.len();
                if out.last() != Some(&b'{') {
                    out.push(b',');
                }
                out.extend_from_slice(key);
                if !render(value, record, omit_empty, out) {
                    out.truncate(start);
                }
            }
            if omit_empty && out.len() == mark + 1 {
                out.truncate(mark);
                return false;
            }
            out.push(b'}');
        }
        Node::List(items) => {
            out.push(b'[');
            for item in items {
                let start = out.len();
                if out.last() != Some(&b'[') {
                    out.push(b',');
                }
                if !render(item, record, omit_empty, out) {
                    out.truncate(start);
                }
            }
            out.push(b']');
        }
    }
    true
}

fn render_value(
    operator: &Operator,
    limit: Option<usize>,
    record: &RequestRecord<'_>,
    omit_empty: bool,
    out: &mut Vec<u8>,
) -> bool {
    let mark = out.len();
    if operator.is_number() {
        if operator.write(record, out) {
            return true;
        }
    } else if operator.write_json(record, out) {
        return true;
    } else {
        out.push(b'"');
        if write_limited(operator, limit, record, out) {
            close_string(out, mark + 1);
            return true;
        }
        out.truncate(mark);
    }
    let flags = is_flags(operator);
    if flags || !omit_empty {
        out.extend_from_slice(if flags { b"\"-\"" } else { b"null" });
    }
    flags || !omit_empty
}

/// Envoy prints an empty set of flags as `-` in JSON too.
fn is_flags(operator: &Operator) -> bool {
    matches!(operator, Operator::ResponseFlags | Operator::ResponseFlagsLong)
}

/// Escapes what stands in `out` from `start` on and closes the string. Allocates only if there is something to escape.
fn close_string(out: &mut Vec<u8>, start: usize) {
    let plain = |b: &u8| (0x20..0x7f).contains(b) && *b != b'"' && *b != b'\\';
    if !out[start..].iter().all(plain) {
        let escaped = escape(&String::from_utf8_lossy(&out[start..]));
        out.truncate(start);
        out.extend_from_slice(escaped.as_bytes());
    }
    out.push(b'"');
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
