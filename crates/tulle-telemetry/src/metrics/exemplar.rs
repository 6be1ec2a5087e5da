//! Exemplars: the trace of a request that fell into a bucket, as OpenMetrics shows it.

use std::fmt;

/// The id of a trace: 128 bits, or 64 as older B3 writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId {
    id: u128,
    short: bool,
}

impl TraceId {
    /// The sampled trace of a request, from the values of its headers `traceparent` (W3C), `b3`, or `x-b3-traceid` with
    /// `x-b3-sampled`. Traces that nobody keeps are none.
    pub fn of_headers<'a>(get: impl Fn(TraceHeader) -> Option<&'a [u8]>) -> Option<Self> {
        if let Some(parent) = get(TraceHeader::Traceparent) {
            return Self::w3c(parent);
        }
        if let Some(single) = get(TraceHeader::B3) {
            let mut parts = single.split(|b| *b == b'-');
            let (trace, _span, sampled) = (parts.next()?, parts.next()?, parts.next());
            return Self::hex(trace).filter(|_| matches!(sampled, Some(b"1" | b"d")));
        }
        let trace = Self::hex(get(TraceHeader::B3TraceId)?)?;
        matches!(get(TraceHeader::B3Sampled), Some(b"1" | b"true")).then_some(trace)
    }

    /// `00-TRACE-SPAN-FLAGS`, if the flags say that it is sampled.
    fn w3c(parent: &[u8]) -> Option<Self> {
        let mut parts = parent.split(|b| *b == b'-');
        let (version, trace, _span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let sampled = u8::from_str_radix(std::str::from_utf8(flags).ok()?, 16).ok()? & 1 == 1;
        (version.len() == 2 && trace.len() == 32 && sampled).then(|| Self::hex(trace)).flatten()
    }

    fn hex(text: &[u8]) -> Option<Self> {
        let short = match text.len() {
            16 => true,
            32 => false,
            _ => return None,
        };
        if !text.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let id = u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok().filter(|id| *id != 0)?;
        Some(Self { id, short })
    }
}

/// Headers that name traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceHeader {
    /// `traceparent`
    Traceparent,
    /// `b3`
    B3,
    /// `x-b3-traceid`
    B3TraceId,
    /// `x-b3-sampled`
    B3Sampled,
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.short {
            true => write!(f, "{:016x}", self.id),
            false => write!(f, "{:032x}", self.id),
        }
    }
}

/// A request in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    /// Which bucket of the duration.
    pub(crate) bucket: u8,
    /// Its trace.
    pub(crate) trace: TraceId,
    /// Its duration in milliseconds.
    pub(crate) value: u64,
    /// When it ended, in milliseconds after 1970.
    pub(crate) at: u64,
}

/// At least this long each exemplar stays, in milliseconds: what is not shown need not be looked for.
pub(crate) const STAYS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(TraceHeader, &'static str)]) -> Option<String> {
        let get = |wanted| headers.iter().find(|(h, _)| *h == wanted).map(|(_, value)| value.as_bytes());
        TraceId::of_headers(get).map(|id| id.to_string())
    }

    #[test]
    fn sampled_traces_are_found_in_each_form() {
        use TraceHeader::{B3, B3Sampled, B3TraceId, Traceparent};
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of(&[(Traceparent, w3c)]).as_deref(), Some(trace));
        assert_eq!(
            of(&[(B3, "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")]).as_deref(),
            Some(trace)
        );
        assert_eq!(
            of(&[(B3TraceId, "a3ce929d0e0e4736"), (B3Sampled, "1")]).as_deref(),
            Some("a3ce929d0e0e4736")
        );
    }

    #[test]
    fn what_is_not_sampled_or_no_trace_is_none() {
        use TraceHeader::{B3, B3Sampled, B3TraceId, Traceparent};
        for headers in [
            vec![(Traceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")],
            vec![(Traceparent, "00-00000000000000000000000000000000-00f067aa0ba902b7-01")],
            vec![(Traceparent, "garbage")],
            vec![(Traceparent, "00-zzf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")],
            vec![(B3, "0")],
            vec![(B3, "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0")],
            vec![(B3TraceId, "a3ce929d0e0e4736")],
            vec![(B3TraceId, "+3ce929d0e0e4736"), (B3Sampled, "1")],
            vec![],
        ] {
            assert_eq!(of(&headers), None, "{headers:?}");
        }
    }
}
