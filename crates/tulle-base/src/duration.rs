//! Durations as Go and protobuf JSON write them.

use std::time::Duration;

/// Reads a Go duration: a sequence of decimal numbers with units `ns`, `us`/`µs`, `ms`, `s`, `m`, `h`, such as
/// `1h2m3.5s`, or a bare `0` (Go's `time.ParseDuration`, without the sign: no field here may be negative).
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration such as 500ms, 10s or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.starts_with('-') {
        return Err(format!("{text:?} is negative; a duration here is zero or more"));
    }
    let (mut rest, mut total) = (text, 0f64);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let nanos = match &rest[..unit_len] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(bad()),
        };
        total += number * nanos;
        rest = &rest[unit_len..];
    }
    // 2^63 ns, the longest duration that Go has.
    if total > 9.223_372_036_854_775e18 {
        return Err(format!("{text:?} is longer than 292 years"));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within 0..2^63"
    )]
    Ok(Duration::from_nanos(total.round() as u64))
}

/// Writes a duration as protobuf JSON does: seconds with as many decimals as needed and an `s`.
pub fn to_json(duration: Duration) -> String {
    let nanos = duration.subsec_nanos();
    if nanos == 0 {
        return format!("{}s", duration.as_secs());
    }
    let text = format!("{}.{nanos:09}", duration.as_secs());
    format!("{}s", text.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_durations() {
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1h2m3.5s"), Ok(Duration::from_millis(3_723_500)));
        for bad in ["", "5", "s", "1x", "-1s", "1.2.3s", "9999999h", "5 s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_proto_json() {
        assert_eq!(to_json(Duration::from_secs(10)), "10s");
        assert_eq!(to_json(Duration::from_millis(2_500)), "2.5s");
    }
}
