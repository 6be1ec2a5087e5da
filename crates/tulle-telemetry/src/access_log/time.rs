//! `%START_TIME(...)%`: a subset of strftime in UTC, with Envoy's fractions of a second.

use std::time::Duration;

use crate::access_log::operator::write_number;

/// A compiled time format.
#[derive(Clone, Debug)]
pub(super) struct TimeFormat(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<[u8]>),
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    DaySpaced,
    Weekday,
    DayOfYear,
    Hour,
    Minute,
    Second,
    /// Fraction of the second with this many digits, 1 to 9.
    Fraction(u8),
    EpochSeconds,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

impl Default for TimeFormat {
    /// `%Y-%m-%dT%H:%M:%S.%3fZ`.
    fn default() -> Self {
        use Part::{Day, Fraction, Hour, Literal, Minute, Month, Second, Year};
        let text = |t: &str| Literal(t.as_bytes().into());
        Self(vec![
            Year,
            text("-"),
            Month,
            text("-"),
            Day,
            text("T"),
            Hour,
            text(":"),
            Minute,
            text(":"),
            Second,
            text("."),
            Fraction(3),
            text("Z"),
        ])
    }
}

impl TimeFormat {
    /// Compiles a format; the empty one is the default.
    pub(super) fn parse(format: &str) -> Result<Self, &'static str> {
        if format.is_empty() {
            return Ok(Self::default());
        }
        let (mut parts, mut literal) = (Vec::new(), Vec::new());
        let mut rest = format;
        while let Some(c) = rest.chars().next() {
            if c != '%' {
                literal.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
                rest = &rest[c.len_utf8()..];
                continue;
            }
            let (new, len) = conversion(&rest[1..])?;
            for part in new {
                match part {
                    Part::Literal(text) => literal.extend_from_slice(&text),
                    part => {
                        if !literal.is_empty() {
                            parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                        }
                        parts.push(part);
                    }
                }
            }
            rest = &rest[1 + len..];
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self(parts))
    }

    /// Appends the time, given as duration since the epoch.
    pub(super) fn write(&self, since_epoch: Duration, out: &mut Vec<u8>) {
        let date = Date::of(since_epoch.as_secs());
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Year => padded(date.year, 4, b'0', out),
                Part::ShortYear => padded(date.year % 100, 2, b'0', out),
                Part::Month => padded(date.month, 2, b'0', out),
                Part::MonthName => out.extend_from_slice(MONTHS[date.month as usize - 1].as_bytes()),
                Part::Day => padded(date.day, 2, b'0', out),
                Part::DaySpaced => padded(date.day, 2, b' ', out),
                Part::Weekday => out.extend_from_slice(WEEKDAYS[(date.days % 7) as usize].as_bytes()),
                Part::DayOfYear => padded(date.day_of_year, 3, b'0', out),
                Part::Hour => padded(date.second_of_day / 3600, 2, b'0', out),
                Part::Minute => padded(date.second_of_day / 60 % 60, 2, b'0', out),
                Part::Second => padded(date.second_of_day % 60, 2, b'0', out),
                Part::Fraction(digits) => {
                    let scaled = since_epoch.subsec_nanos() / 10u32.pow(9 - u32::from(*digits));
                    padded(u64::from(scaled), *digits, b'0', out);
                }
                Part::EpochSeconds => write_number(since_epoch.as_secs(), out),
            }
        }
    }
}

/// The parts of the conversion at the start of `text` (without its `%`), and how long it is.
fn conversion(text: &str) -> Result<(Vec<Part>, usize), &'static str> {
    use Part::{Day, Fraction, Hour, Literal, Minute, Month, Second, ShortYear, Year};
    let lit = |t: &str| Literal(t.as_bytes().into());
    let bytes = text.as_bytes();
    let parts = match bytes.first() {
        Some(b'Y') => vec![Year],
        Some(b'y') => vec![ShortYear],
        Some(b'm') => vec![Month],
        Some(b'b' | b'h') => vec![Part::MonthName],
        Some(b'd') => vec![Day],
        Some(b'e') => vec![Part::DaySpaced],
        Some(b'a') => vec![Part::Weekday],
        Some(b'j') => vec![Part::DayOfYear],
        Some(b'H') => vec![Hour],
        Some(b'M') => vec![Minute],
        Some(b'S') => vec![Second],
        Some(b's') => vec![Part::EpochSeconds],
        Some(b'f') => vec![Fraction(9)],
        Some(b'F') => vec![Year, lit("-"), Month, lit("-"), Day],
        Some(b'T') => vec![Hour, lit(":"), Minute, lit(":"), Second],
        Some(b'D') => vec![Month, lit("/"), Day, lit("/"), ShortYear],
        Some(b'z') => vec![lit("+0000")],
        Some(b'Z') => vec![lit("UTC")],
        Some(b'%') => vec![lit("%")],
        Some(b'n') => vec![lit("\n")],
        Some(b't') => vec![lit("\t")],
        Some(d @ b'1'..=b'9') if bytes.get(1) == Some(&b'f') => return Ok((vec![Fraction(d - b'0')], 2)),
        Some(b'E') => return absl_seconds(bytes),
        _ => return Err("the time format has a conversion that is not supported"),
    };
    Ok((parts, 1))
}

/// `%E3S`: seconds with three digits of their fraction.
fn absl_seconds(bytes: &[u8]) -> Result<(Vec<Part>, usize), &'static str> {
    match (bytes.get(1), bytes.get(2)) {
        (Some(d @ b'1'..=b'9'), Some(b'S')) => {
            Ok((vec![Part::Second, Part::Literal((*b".").into()), Part::Fraction(d - b'0')], 3))
        }
        _ => Err("the time format has a conversion that is not supported"),
    }
}

fn padded(mut n: u64, width: u8, fill: u8, out: &mut Vec<u8>) {
    if width == 2 && n < 100 {
        #[allow(clippy::cast_possible_truncation, reason = "two digits")]
        let (tens, ones) = ((n / 10) as u8, (n % 10) as u8);
        out.extend_from_slice(&[if tens == 0 { fill } else { b'0' + tens }, b'0' + ones]);
        return;
    }
    let mut digits = [fill; 9];
    for place in digits[..usize::from(width)].iter_mut().rev() {
        #[allow(clippy::cast_possible_truncation, reason = "a digit")]
        {
            *place = b'0' + (n % 10) as u8;
        }
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[..usize::from(width)]);
}

/// A day in the Gregorian calendar and the second within it.
struct Date {
    days: u64,
    year: u64,
    month: u64,
    day: u64,
    day_of_year: u64,
    second_of_day: u64,
}

impl Date {
    fn of(seconds: u64) -> Self {
        let days = seconds / 86_400;
        // Counted from 0000-03-01, so that the leap day is the last of its year and 400 years are one era.
        let shifted = days + 719_468;
        let (era, in_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
        let from_march = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * from_march + 2) / 153;
        let day = from_march - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let day_of_year =
            if month <= 2 { from_march - 306 + 1 } else { from_march + 59 + u64::from(leap) + 1 };
        Self { days, year, month, day, day_of_year, second_of_day: seconds % 86_400 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(format: &str, seconds: u64, nanos: u32) -> String {
        let mut out = Vec::new();
        TimeFormat::parse(format).unwrap().write(Duration::new(seconds, nanos), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_and_fractions() {
        assert_eq!(render("", 1_460_753_820, 310_900_000), "2016-04-15T20:57:00.310Z");
        assert_eq!(render("%F %T %j %a %e", 0, 0), "1970-01-01 00:00:00 001 Thu  1");
        assert_eq!(render("%Y/%m/%d %j %b %a", 951_782_400, 0), "2000/02/29 060 Feb Tue");
        assert_eq!(render("%s.%6f %E3S %y %%", 1_735_689_599, 123_456_789), "1735689599.123456 59.123 24 %");
        assert_eq!(render("%j %F", 1_735_603_200, 0), "366 2024-12-31");
        assert_eq!(render("%e|%d|%H", 1_735_689_599, 0), "31|31|23");
        assert!(TimeFormat::parse("%Q").is_err());
        assert!(TimeFormat::parse("%").is_err());
    }
}
