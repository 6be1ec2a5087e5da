//! Cutting a file into its documents.

use super::Problem;

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    /// Line of the file that the text begins on, from 1.
    pub(crate) first_line: u32,
    /// The text, or why it cannot be one.
    pub(crate) text: Result<&'a str, Problem>,
}

/// Cuts `bytes` at the lines that begin with `---`. Such a line cannot be inside of a value (YAML 1.2, section 9.1.2).
pub(crate) fn split(bytes: &[u8]) -> Vec<Document<'_>> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let problem =
            Problem { line: 1, column: 1, message: "is UTF-16".into(), fix: "save the file as UTF-8".into() };
        return vec![Document { first_line: 1, text: Err(problem) }];
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut out = Vec::new();
    let (mut start, mut first_line, mut line, mut at) = (0, 1, 1, 0);
    while at < bytes.len() {
        let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n + 1);
        if at > start && is_marker(&bytes[at..end]) {
            out.push(document(&bytes[start..at], first_line));
            (start, first_line) = (at, line);
        }
        line += breaks(&bytes[at..end]);
        at = end;
    }
    out.push(document(&bytes[start..], first_line));
    // Directives (`%YAML 1.2`) and comments before the first marker are not a document.
    out.retain(|d| !matches!(d.text, Ok(text) if is_prologue(text)));
    out
}

/// Line breaks in `bytes` as YAML counts them (section 5.4): LF, CR LF, and CR alone.
fn breaks(bytes: &[u8]) -> u32 {
    let alone = |(i, b): &(usize, &u8)| **b == b'\n' || (**b == b'\r' && bytes.get(i + 1) != Some(&b'\n'));
    u32::try_from(bytes.iter().enumerate().filter(alone).count()).unwrap_or(u32::MAX)
}

fn is_marker(line: &[u8]) -> bool {
    line.starts_with(b"---") && line.get(3).is_none_or(u8::is_ascii_whitespace)
}

fn is_prologue(text: &str) -> bool {
    text.lines().all(|l| l.trim().is_empty() || l.starts_with(['%', '#']) || l.trim_start().starts_with('#'))
}

fn document(bytes: &[u8], first_line: u32) -> Document<'_> {
    let problem = |at: usize, message: String, fix: &str| {
        let column = bytes[..at].iter().rev().take_while(|b| **b != b'\n').count() + 1;
        Problem {
            line: first_line.saturating_add(breaks(&bytes[..at])),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            message,
            fix: fix.into(),
        }
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        problem(at, format!("is not UTF-8: byte 0x{:02x}", bytes[at]), "save the file as UTF-8")
    });
    // The parser takes a null for the end of the text; none of them may stand in YAML (1.2.2, section 5.1).
    let text = text.and_then(|text| match bytes.iter().position(is_control) {
        Some(at) => Err(problem(
            at,
            format!("has the control character 0x{:02x}", bytes[at]),
            "remove it, or escape it in quotes",
        )),
        None => Ok(text),
    });
    Document { first_line, text }
}

fn is_control(byte: &u8) -> bool {
    matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_markers_and_counts_lines() {
        let docs = split(b"%YAML 1.2\n---\na: 1\n---   # next\nb: |\n  ---\n----\n--- c\n");
        let seen: Vec<_> = docs.iter().map(|d| (d.first_line, *d.text.as_ref().unwrap())).collect();
        assert_eq!(seen, [(2, "---\na: 1\n"), (4, "---   # next\nb: |\n  ---\n----\n"), (8, "--- c\n")]);
    }

    #[test]
    fn says_where_bytes_are_not_text() {
        let docs = split(b"\xef\xbb\xbfa: 1\r\n---\r\nb: 1\r\nc: \xff\r\n");
        assert_eq!(*docs[0].text.as_ref().unwrap(), "a: 1\r\n");
        let problem = docs[1].text.as_ref().unwrap_err();
        assert_eq!((problem.line, problem.column), (4, 4));
        assert!(split(b"\xff\xfea\0").first().unwrap().text.is_err());
        for control in [0u8, 7, 27, 127] {
            let text = [b"a: 1\nb: x".as_slice(), &[control], b"\nc: lost\n"].concat();
            let problem = split(&text)[0].text.clone().unwrap_err();
            assert_eq!((problem.line, problem.column), (2, 5), "{problem:?}");
        }
    }
}
