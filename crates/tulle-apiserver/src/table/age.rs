//! Spans of time in few letters, as kubectl prints them.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The span from `moment` (RFC 3339) to `now` (seconds after 1970-01-01T00:00:00Z); `<unknown>` without a moment.
pub fn age(moment: &str, now: i64) -> String {
    match moment.parse::<Timestamp>() {
        Ok(moment) => span(now - moment.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// A span of seconds: two units while it is short, one when it is long.
pub fn span(seconds: i64) -> String {
    let two = |big: i64, unit: char, small: i64, small_unit: char| match (seconds % big) / small {
        0 => format!("{}{unit}", seconds / big),
        rest => format!("{}{unit}{rest}{small_unit}", seconds / big),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two(MINUTE, 'm', 1, 's'),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two(HOUR, 'h', MINUTE, 'm'),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two(DAY, 'd', HOUR, 'h'),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(YEAR, 'y', DAY, 'd'),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_letters() {
        for (seconds, text) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 120, "3h2m"),
            (8 * HOUR + 120, "8h"),
            (2 * DAY, "2d"),
            (2 * DAY + HOUR, "2d1h"),
            (9 * DAY + HOUR, "9d"),
            (2 * YEAR + DAY, "2y1d"),
            (9 * YEAR, "9y"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(age("2026-08-01T10:00:00Z", 1_785_578_400 + 65), "65s");
        assert_eq!(age("", 0), "<unknown>");
    }
}
