//! Traces: contexts that travel in headers, spans, and the forms in which they are sent to collectors.
//!
//! * [`context`]: W3C `traceparent`, B3 in one header and in several.
//! * [`request_id`]: what `x-request-id` says of sampling (Envoy's UUID extension).
//! * [`span`]: a finished span, and the events in it.
//! * [`otlp`], [`zipkin`]: spans as collectors take them.
//!
//! Pure: time and randomness are arguments, and nothing here sends anything.

pub mod context;
pub mod otlp;
pub mod request_id;
pub mod span;
pub mod zipkin;

pub use context::{Found, Parent, SpanId, TraceId};
pub use request_id::Reason;
pub use span::{Event, Kind, Span};

/// Lower-case hexadecimal digits of `bytes` into `out`, which is twice as long.
pub(crate) fn hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// The bytes of hexadecimal digits of either case; `None` if there is another character, or not exactly `N` bytes.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
