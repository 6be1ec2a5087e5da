//! Results as Prometheus writes them.

use crate::query::{Outcome, Spelled, number_text};

/// `{"status":"success","data":…}` with what `data` writes.
pub(super) fn success(data: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"{\"status\":\"success\",\"data\":".to_vec();
    data(&mut out);
    out.extend_from_slice(b"}");
    out
}

/// The result of a query.
pub(super) fn outcome(out: &mut Vec<u8>, outcome: &Outcome) {
    let kind = match outcome {
        Outcome::Scalar(..) => "scalar",
        Outcome::Text(..) => "string",
        Outcome::Vector(..) => "vector",
        Outcome::Matrix(_) => "matrix",
    };
    out.extend_from_slice(format!("{{\"resultType\":\"{kind}\",\"result\":").as_bytes());
    match outcome {
        Outcome::Scalar(at, value) => pair(out, *at, &number_text(*value)),
        Outcome::Text(at, value) => pair(out, *at, value),
        Outcome::Vector(at, all) => list(out, all, |out, (labels, value)| {
            out.extend_from_slice(b"{\"metric\":");
            metric(out, labels);
            out.extend_from_slice(b",\"value\":");
            pair(out, *at, &number_text(*value));
            out.push(b'}');
        }),
        Outcome::Matrix(all) => list(out, all, |out, (labels, values)| {
            out.extend_from_slice(b"{\"metric\":");
            metric(out, labels);
            out.extend_from_slice(b",\"values\":");
            list(out, values, |out, (at, value)| pair(out, *at, &number_text(*value)));
            out.push(b'}');
        }),
    }
    out.push(b'}');
}

/// Labels as an object.
pub(super) fn metric(out: &mut Vec<u8>, labels: &Spelled) {
    out.push(b'{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text(out, name);
        out.push(b':');
        text(out, value);
    }
    out.push(b'}');
}

/// A list of anything.
pub(super) fn list<T>(out: &mut Vec<u8>, all: &[T], one: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in all.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        one(out, item);
    }
    out.push(b']');
}

/// A text in quotes.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    // Texts are always written, and a Vec takes all.
    let _ = serde_json::to_writer(out, text);
}

/// Seconds with their thousandths, and a value as text.
fn pair(out: &mut Vec<u8>, at: i64, value: &str) {
    let sign = if at < 0 { "-" } else { "" };
    let (seconds, millis) = (at.unsigned_abs() / 1000, at.unsigned_abs() % 1000);
    let time = if millis == 0 { format!("{sign}{seconds}") } else { format!("{sign}{seconds}.{millis:03}") };
    out.extend_from_slice(b"[");
    out.extend_from_slice(time.as_bytes());
    out.push(b',');
    text(out, value);
    out.push(b']');
}
