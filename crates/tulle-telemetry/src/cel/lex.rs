//! From text to tokens.

use super::CelError;

/// A token, and where it begins (bytes from 1).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Name(String),
    Text(String),
    Int(i64),
    Double(f64),
    /// An operator or bracket.
    Sign(&'static str),
}

impl TokenKind {
    /// As it is written, for errors.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Text(text) => format!("'{text}'"),
            Self::Int(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Sign(sign) => (*sign).to_owned(),
        }
    }
}

/// Longer ones first.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "?", ":", "+", "-", "*", "/", "%", "(", ")", "[", "]",
    "{", "}", ".", ",",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, CelError> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len() + 1;
        let Some(first) = rest.chars().next() else { return Ok(out) };
        let (kind, used) = match first {
            '\'' | '"' => quoted(rest, first, false).ok_or(CelError::Text(at))?,
            'r' | 'R' if rest[1..].starts_with(['\'', '"']) => {
                let quote = if rest[1..].starts_with('"') { '"' } else { '\'' };
                let (kind, used) = quoted(&rest[1..], quote, true).ok_or(CelError::Text(at))?;
                (kind, used + 1)
            }
            '0'..='9' => number(rest)?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                (TokenKind::Name(rest[..end].to_owned()), end)
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| CelError::Unexpected {
                    found: first.to_string(),
                    at,
                    expected: "an expression",
                })?;
                (TokenKind::Sign(sign), sign.len())
            }
        };
        out.push(Token { kind, at });
        rest = &rest[used..];
    }
}

/// The text in quotes at the start, and its length as written.
fn quoted(from: &str, quote: char, raw: bool) -> Option<(TokenKind, usize)> {
    let mut out = String::new();
    let mut chars = from.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((TokenKind::Text(out), at + c.len_utf8())),
            '\n' => return None,
            '\\' if !raw => out.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                c @ ('\\' | '\'' | '"' | '`' | '?') => c,
                _ => return None,
            }),
            c => out.push(c),
        }
    }
    None
}

fn number(from: &str) -> Result<(TokenKind, usize), CelError> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(from);
    let fraction = match from[whole..].strip_prefix('.') {
        Some(after) if digits(after) > 0 => 1 + digits(after),
        _ => 0,
    };
    let end = whole + fraction;
    let written = &from[..end];
    let wrong = || CelError::Number(written.to_owned());
    if fraction > 0 {
        return Ok((TokenKind::Double(written.parse().map_err(|_| wrong())?), end));
    }
    // `400u` is an unsigned number: the same here.
    let unsigned = usize::from(from[end..].starts_with(['u', 'U']));
    Ok((TokenKind::Int(written.parse().map_err(|_| wrong())?), end + unsigned))
}
