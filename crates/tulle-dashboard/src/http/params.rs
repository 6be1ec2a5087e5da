//! Parameters as browsers and Prometheus' clients write them.

/// Names and values, in order; names may come several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

/// Why a parameter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid parameter {name:?}: {reason}")]
pub(super) struct BadParam {
    name: String,
    reason: String,
}

/// The largest time that is taken, in seconds after 1970: far beyond what a store has.
const LAST: f64 = 1e12;

impl Params {
    /// Reads `a=b&c=d`.
    pub fn parse(text: &str) -> Self {
        let mut params = Self::default();
        params.add(text);
        params
    }

    /// Adds what another text says.
    pub fn add(&mut self, text: &str) {
        self.0.extend(text.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        }));
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(n, _)| n.as_str())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A moment in milliseconds: seconds since 1970, or as RFC 3339 writes it.
    pub(super) fn time(&self, name: &str, default: i64) -> Result<i64, BadParam> {
        let Some(text) = self.get(name).filter(|t| !t.is_empty()) else { return Ok(default) };
        if let Ok(seconds) = text.parse::<f64>() {
            if seconds.is_finite() && seconds.abs() <= LAST {
                #[allow(clippy::cast_possible_truncation, reason = "checked")]
                return Ok((seconds * 1000.0).round() as i64);
            }
        } else if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Ok(moment.as_millisecond());
        }
        Err(bad(name, format!("cannot parse {text:?} to a valid timestamp")))
    }

    /// A duration in milliseconds: seconds, or as `15s` and `1h30m`.
    pub(super) fn duration(&self, name: &str) -> Result<Option<i64>, BadParam> {
        let Some(text) = self.get(name).filter(|t| !t.is_empty()) else { return Ok(None) };
        let fail = || bad(name, format!("cannot parse {text:?} to a valid duration"));
        let seconds = match text.parse::<f64>() {
            Ok(seconds) => seconds,
            Err(_) => promql_parser::util::parse_duration(text).map_err(|_| fail())?.as_secs_f64(),
        };
        if !(-LAST / 1e3..LAST / 1e3).contains(&seconds) {
            return Err(fail());
        }
        // By way of nanoseconds that are cut off, as in Prometheus: 33.3 s are 33,299 ms.
        #[allow(clippy::cast_possible_truncation, reason = "checked")]
        Ok(Some((seconds * 1e9) as i64 / 1_000_000))
    }
}

pub(super) fn bad(name: &str, reason: String) -> BadParam {
    BadParam { name: name.to_owned(), reason }
}

/// Reads percent signs and pluses.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .filter(|h| h.iter().all(u8::is_ascii_hexdigit))
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations() {
        let params = Params::parse("a=1.5&b=2023-11-14T22%3A13%3A20Z&c=1h30m&d=15&e=%zz+x&f=nan&g=1e300");
        assert_eq!(params.time("a", 0), Ok(1_500));
        assert_eq!(params.time("b", 0), Ok(1_700_000_000_000));
        assert_eq!(params.time("missing", 7), Ok(7));
        assert!(params.time("e", 0).is_err() && params.time("f", 0).is_err() && params.time("g", 0).is_err());
        assert_eq!((params.duration("c"), params.duration("d")), (Ok(Some(5_400_000)), Ok(Some(15_000))));
        assert_eq!(params.get("e"), Some("%zz x"));
        assert!(params.duration("e").is_err() && params.duration("g").is_err());
    }
}
