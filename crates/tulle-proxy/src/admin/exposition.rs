//! Whether what an application says are metrics.
//!
//! One line that Prometheus cannot read costs a whole scrape, and with it the proxy's own metrics: what is not well formed is not
//! passed on.

use tulle_telemetry::metrics::Format;

/// The number of the first line that is no metric, counted from 1.
pub(super) fn first_bad_line(text: &str, format: Format) -> Option<usize> {
    let lines = text.lines().enumerate();
    let mut ended = false;
    for (index, line) in lines {
        let good = match line.trim_end() {
            // Nothing may follow the end of OpenMetrics.
            _ if ended => false,
            "# EOF" => {
                ended = true;
                true
            }
            "" => format == Format::Text,
            comment if comment.starts_with('#') => true,
            sample => is_sample(sample, format).is_some(),
        };
        if !good {
            return Some(index + 1);
        }
    }
    (format == Format::OpenMetrics && !ended).then(|| text.lines().count() + 1)
}

/// `name{labels} value [timestamp] [# {labels} value [timestamp]]`
fn is_sample(line: &str, format: Format) -> Option<()> {
    let line = line.trim_start();
    let rest = name(line, |c| c == ':')?;
    let rest = labels(rest.trim_start())?;
    let (numbers, exemplar) = match rest.split_once(" # ") {
        Some((numbers, exemplar)) if format == Format::OpenMetrics => (numbers, Some(exemplar)),
        _ => (rest, None),
    };
    are_numbers(numbers)?;
    match exemplar {
        Some(exemplar) if exemplar.starts_with('{') => are_numbers(labels(exemplar)?),
        Some(_) => None,
        None => Some(()),
    }
}

fn are_numbers(text: &str) -> Option<()> {
    let mut numbers = text.split_ascii_whitespace();
    let value = numbers.next()?;
    value.parse::<f64>().ok().or_else(|| value.strip_prefix('+')?.parse().ok())?;
    if let Some(timestamp) = numbers.next() {
        timestamp.parse::<f64>().ok()?;
    }
    numbers.next().is_none().then_some(())
}

/// What follows a name.
fn name(text: &str, also: fn(char) -> bool) -> Option<&str> {
    let first = text.chars().next()?;
    if !(first.is_ascii_alphabetic() || first == '_' || also(first)) {
        return None;
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || also(c)));
    Some(&text[end.unwrap_or(text.len())..])
}

/// What follows labels, if there are any.
fn labels(text: &str) -> Option<&str> {
    let Some(mut rest) = text.strip_prefix('{') else { return Some(text) };
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some(after);
        }
        rest = name(rest, |_| false)?.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
        let mut escaped = false;
        let end = rest.find(|c| match (escaped, c) {
            (false, '"') => true,
            (before, c) => {
                escaped = !before && c == '\\';
                false
            }
        })?;
        rest = rest[end + 1..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_from_other_texts() {
        let good = "# HELP a b\n# TYPE a counter\na 1\na{x=\"1\",y=\"q\\\"}{\"} 1.5e3 1700000000000\n\nns:rule{} NaN\nb_bucket{le=\"+Inf\",} +Inf\n";
        assert_eq!(first_bad_line(good, Format::Text), None);
        let bad = ["<html>", "a", "a{x} 1", "a{x=\"1} 1", "a 1 2 3", "a x", "1a 1", "{} 1", "a 1 # {} 1"];
        for line in bad {
            assert_eq!(first_bad_line(&format!("a 1\n{line}\n"), Format::Text), Some(2), "{line}");
        }
    }

    #[test]
    fn openmetrics_ends_and_has_exemplars() {
        let good = "# TYPE a counter\na_total 1 # {trace_id=\"x\"} 0.5 12.5\n# EOF\n";
        assert_eq!(first_bad_line(good, Format::OpenMetrics), None);
        for (text, line) in [("a 1\n", 2), ("# EOF\na 1\n", 2), ("a 1 # x\n# EOF\n", 1), ("\n# EOF\n", 1)] {
            assert_eq!(first_bad_line(text, Format::OpenMetrics), Some(line), "{text}");
        }
    }
}
