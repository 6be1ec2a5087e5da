//! `label_replace` and `label_join`.

use promql_parser::parser::Call;
use regex::RegexBuilder;

use super::QueryError;
use super::eval::{Evaluator, Row, Steps};
use super::guard::REGEX_SIZE;
use super::labels::{get, with};

/// `label_replace(v, target, replacement, source, regex)`.
pub(super) fn label_replace(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    steps: Steps,
) -> Result<Vec<Row>, QueryError> {
    let text = |i: usize| evaluator.text(call.args.args.get(i).map(|e| &**e));
    let (target, replacement, source, pattern) = (text(1)?, text(2)?, text(3)?, text(4)?);
    check_label(&target)?;
    let regex =
        RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(REGEX_SIZE).build().map_err(|_| {
            QueryError::Evaluate(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
    let rows = evaluator.vector(evaluator.argument(call, 0)?, steps)?;
    let (target, source) = (evaluator.table.id(&target), evaluator.table.id(&source));
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let value = get(&row.labels, source).map_or("", |v| evaluator.table.text(v));
        let mut made = String::new();
        let labels = match regex.captures(value) {
            Some(captures) => {
                captures.expand(&replacement, &mut made);
                let value = (!made.is_empty()).then(|| evaluator.table.id(&made));
                with(&row.labels, target, value)
            }
            None => row.labels,
        };
        out.push(Row { labels, values: row.values });
    }
    evaluator.unique(out)
}

/// `label_join(v, target, separator, source…)`.
pub(super) fn label_join(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    steps: Steps,
) -> Result<Vec<Row>, QueryError> {
    let texts: Vec<String> =
        call.args.args.iter().skip(1).map(|e| evaluator.text(Some(e))).collect::<Result<_, _>>()?;
    let [target, separator, sources @ ..] = &texts[..] else {
        return Err(QueryError::Evaluate("label_join() needs a target and a separator".to_owned()));
    };
    check_label(target)?;
    let rows = evaluator.vector(evaluator.argument(call, 0)?, steps)?;
    let target = evaluator.table.id(target);
    let sources: Vec<u32> = sources.iter().map(|s| evaluator.table.id(s)).collect();
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let parts: Vec<&str> =
            sources.iter().map(|s| get(&row.labels, *s).map_or("", |v| evaluator.table.text(v))).collect();
        let made = parts.join(separator);
        let value = (!made.is_empty()).then(|| evaluator.table.id(&made));
        out.push(Row { labels: with(&row.labels, target, value), values: row.values });
    }
    evaluator.unique(out)
}

fn check_label(name: &str) -> Result<(), QueryError> {
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if fits { Ok(()) } else { Err(QueryError::Evaluate(format!("invalid destination label name {name:?}"))) }
}
