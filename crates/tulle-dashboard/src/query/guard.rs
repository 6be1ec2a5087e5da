//! What is refused before the parser sees it, and after: texts that would cost much to parse.

use promql_parser::parser::Expr;
use regex::RegexBuilder;

use super::QueryLimits;

/// The most regular expressions in a query.
const MAX_REGEXES: usize = 64;
/// The most memory that one may take; the parser's own limit is 10 MB for each.
pub(super) const REGEX_SIZE: usize = 512 << 10;

/// Refuses texts that are too long, and regular expressions that are too many or too large.
pub(super) fn check(text: &str, limits: &QueryLimits) -> Result<(), String> {
    if text.len() > limits.text {
        return Err(format!("a query of {} bytes; {} are allowed", text.len(), limits.text));
    }
    let mut regexes = 0;
    let mut rest = text;
    // Whether the last token asks for a regular expression.
    let mut wanted = false;
    while let Some(c) = rest.chars().next() {
        match c {
            '"' | '\'' | '`' => {
                let (inside, behind) = string(rest, c);
                if std::mem::take(&mut wanted) {
                    regexes += 1;
                    let built = RegexBuilder::new(&format!("^(?:{inside})$")).size_limit(REGEX_SIZE).build();
                    if let Err(regex::Error::CompiledTooBig(_)) = built {
                        return Err("a regular expression that is too large".to_owned());
                    }
                }
                rest = behind;
            }
            '#' => rest = rest.find('\n').map_or("", |end| &rest[end..]),
            '=' | '!' if rest[1..].starts_with('~') => {
                wanted = true;
                rest = &rest[2..];
            }
            c => {
                wanted &= c.is_whitespace();
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    if regexes > MAX_REGEXES {
        return Err(format!("{regexes} regular expressions; {MAX_REGEXES} are allowed"));
    }
    Ok(())
}

/// The text in quotes, with doubled backslashes made single, and what is behind it.
fn string(text: &str, quote: char) -> (String, &str) {
    let mut inside = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return (inside, &text[at + 1..]);
        }
        if c == '\\' && quote != '`' {
            match chars.next() {
                Some((_, '\\')) => inside.push('\\'),
                Some((_, other)) => {
                    inside.push('\\');
                    inside.push(other);
                }
                None => {}
            }
        } else {
            inside.push(c);
        }
    }
    (inside, "")
}

/// Refuses trees that are too deep to be evaluated by recursion.
pub(super) fn check_depth(expr: &Expr, most: usize) -> Result<(), String> {
    let mut open = vec![(expr, 1)];
    while let Some((expr, depth)) = open.pop() {
        if depth > most {
            return Err(format!("it nests deeper than {most}"));
        }
        let mut add = |inner| open.push((inner, depth + 1));
        match expr {
            Expr::Aggregate(e) => {
                add(&e.expr);
                if let Some(param) = &e.param {
                    add(param);
                }
            }
            Expr::Unary(e) => add(&e.expr),
            Expr::Binary(e) => {
                add(&e.lhs);
                add(&e.rhs);
            }
            Expr::Paren(e) => add(&e.expr),
            Expr::Subquery(e) => add(&e.expr),
            Expr::Call(e) => e.args.args.iter().for_each(|a| add(a)),
            Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::VectorSelector(_)
            | Expr::MatrixSelector(_)
            | Expr::Extension(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costly_texts_are_refused() {
        let limits = QueryLimits::default();
        for (text, refused) in [
            (r#"a{b=~"x|y", c!~'[0-9]{3}'}"#.to_owned(), false),
            (r#"a{b=~"\\pL{5000}"}"#.to_owned(), true),
            ("a{b =~\n`\\pL{5000}`}".to_owned(), true),
            (r#"a{b="\\pL{5000}"} # =~ "\\pL{5000}""#.to_owned(), false),
            (format!("a{{{}}}", r#"b=~"x","#.repeat(65)), true),
            ("x".repeat(40_000), true),
            ("a{b=~\"é".to_owned(), false),
            ("é!".to_owned(), false),
        ] {
            assert_eq!(check(&text, &limits).is_err(), refused, "{text:.80}");
        }
        let deep = format!("{}1{}", "(".repeat(200), ")".repeat(200));
        let expr = promql_parser::parser::parse(&deep).expect("a query");
        assert!(check_depth(&expr, 128).is_err() && check_depth(&expr, 300).is_ok());
    }
}
