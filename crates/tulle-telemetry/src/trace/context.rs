//! Where a request belongs: trace, parent and sampling, as headers tell it.

use super::{hex, unhex};

/// Names a trace; never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

/// Names a span of a trace; never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// The id of these random bits.
    pub fn new(random: u128) -> Self {
        Self(random.max(1).to_be_bytes())
    }

    /// From 32 hexadecimal digits, or from 16: the rest is zero then (Zipkin's short ids).
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = match text.len() {
            32 => unhex(text)?,
            16 => {
                let mut long = [0; 16];
                long[8..].copy_from_slice(&unhex::<8>(text)?);
                long
            }
            _ => return None,
        };
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        let mut out = [0; 32];
        hex(&self.0, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

impl SpanId {
    /// The id of these random bits.
    pub fn new(random: u64) -> Self {
        Self(random.max(1).to_be_bytes())
    }

    /// From 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).filter(|bytes| *bytes != [0; 8]).map(Self)
    }

    /// 16 hexadecimal digits.
    pub fn to_hex(self) -> String {
        let mut out = [0; 16];
        hex(&self.0, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// What the sender of a request said of its own span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its trace.
    pub trace: TraceId,
    /// Its span.
    pub span: SpanId,
    /// The span above that one, if it said so (B3).
    pub above: Option<SpanId>,
    /// Whether it is sampled; `None` leaves that to us (B3).
    pub sampled: Option<bool>,
}

/// What headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Only whether the request is to be sampled (B3).
    Decision(bool),
    /// A context.
    Parent(Parent),
    /// Something that is none: headers are left alone then.
    Malformed,
}

/// Length of a `traceparent` of version 00.
pub const TRACEPARENT: usize = 55;

/// Reads `traceparent` (W3C Trace Context section 3.2). As in Envoy, only what is as long as version 00 is read.
pub fn w3c(traceparent: Option<&str>) -> Found {
    let Some(text) = traceparent else { return Found::Nothing };
    parse_w3c(text.trim()).map_or(Found::Malformed, Found::Parent)
}

fn parse_w3c(text: &str) -> Option<Parent> {
    if text.len() != TRACEPARENT {
        return None;
    }
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let [version] = unhex::<1>(version)?;
    let [flags] = unhex::<1>(flags)?;
    if parts.next().is_some() || version == 0xff || trace.len() != 32 {
        return None;
    }
    let sampled = Some(flags & 1 == 1);
    Some(Parent { trace: TraceId::parse(trace)?, span: SpanId::parse(span)?, above: None, sampled })
}

/// A `traceparent` of version 00.
pub fn traceparent(trace: TraceId, span: SpanId, sampled: bool) -> [u8; TRACEPARENT] {
    let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hex(&trace.0, &mut out[3..35]);
    hex(&span.0, &mut out[36..52]);
    out[54] = if sampled { b'1' } else { b'0' };
    out
}

/// The headers of B3, as far as they are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct B3<'a> {
    /// `b3`.
    pub single: Option<&'a str>,
    /// `x-b3-traceid`.
    pub trace: Option<&'a str>,
    /// `x-b3-spanid`.
    pub span: Option<&'a str>,
    /// `x-b3-parentspanid`.
    pub parent: Option<&'a str>,
    /// `x-b3-sampled`.
    pub sampled: Option<&'a str>,
    /// `x-b3-flags`.
    pub flags: Option<&'a str>,
}

impl B3<'_> {
    /// Whether a trace is named in several headers.
    pub fn is_multi(&self) -> bool {
        self.trace.is_some() && self.span.is_some()
    }

    /// Reads them; one header wins over several.
    pub fn read(&self) -> Found {
        if let Some(text) = self.single {
            return single(text.trim()).unwrap_or(Found::Malformed);
        }
        let sampled = match (self.flags, self.sampled) {
            (Some("1"), _) => Some(true),
            (_, Some(text)) => Some(text == "1" || text.eq_ignore_ascii_case("true")),
            (_, None) => None,
        };
        let (Some(trace), Some(span)) = (self.trace, self.span) else {
            return sampled.map_or(Found::Nothing, Found::Decision);
        };
        let (Some(trace), Some(span)) = (TraceId::parse(trace), SpanId::parse(span)) else {
            return Found::Malformed;
        };
        let above = match self.parent.filter(|p| !p.is_empty()) {
            Some(text) => match SpanId::parse(text) {
                Some(above) => Some(above),
                None => return Found::Malformed,
            },
            None => None,
        };
        Found::Parent(Parent { trace, span, above, sampled })
    }
}

/// `TRACE-SPAN[-SAMPLED[-PARENT]]`, or `SAMPLED` alone.
fn single(text: &str) -> Option<Found> {
    let decision = |text: &str| match text {
        "1" | "d" => Some(true),
        "0" => Some(false),
        _ => None,
    };
    if !text.contains('-') {
        return decision(text).map(Found::Decision);
    }
    let mut parts = text.split('-');
    let (trace, span) = (TraceId::parse(parts.next()?)?, SpanId::parse(parts.next()?)?);
    let mut third = parts.next();
    let mut sampled = None;
    if let Some(known) = third.and_then(decision) {
        sampled = Some(known);
        third = parts.next();
    }
    let above = match third {
        Some(text) => Some(SpanId::parse(text)?),
        None => None,
    };
    if parts.next().is_some() {
        return None;
    }
    Some(Found::Parent(Parent { trace, span, above, sampled }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parent(sampled: Option<bool>, above: Option<&str>) -> Found {
        let above = above.and_then(SpanId::parse);
        let (trace, span) = (TraceId::parse(TRACE).unwrap(), SpanId::parse(SPAN).unwrap());
        Found::Parent(Parent { trace, span, above, sampled })
    }

    #[test]
    fn w3c_contexts() {
        let check = |text: &str, wanted: Found| assert_eq!(w3c(Some(text)), wanted, "{text}");
        assert_eq!(w3c(None), Found::Nothing);
        check(&format!("00-{TRACE}-{SPAN}-01"), parent(Some(true), None));
        check(&format!("00-{TRACE}-{SPAN}-00"), parent(Some(false), None));
        check(&format!("cc-{TRACE}-{SPAN}-ff"), parent(Some(true), None));
        check(&format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), parent(Some(true), None));
        for bad in [
            "",
            "00",
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}-01-x"),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-{TRACE}-{SPAN}-0g"),
            &format!("00_{TRACE}_{SPAN}_01"),
        ] {
            check(bad, Found::Malformed);
        }
        let (trace, span) = (TraceId::parse(TRACE).unwrap(), SpanId::parse(SPAN).unwrap());
        assert_eq!(&traceparent(trace, span, true)[..], format!("00-{TRACE}-{SPAN}-01").as_bytes());
        assert_eq!((trace.to_hex(), span.to_hex()), (TRACE.to_owned(), SPAN.to_owned()));
    }

    #[test]
    fn b3_contexts() {
        fn one(text: &str) -> Found {
            B3 { single: Some(text), ..B3::default() }.read()
        }
        assert_eq!(one(&format!("{TRACE}-{SPAN}")), parent(None, None));
        assert_eq!(one(&format!("{TRACE}-{SPAN}-1")), parent(Some(true), None));
        assert_eq!(one(&format!("{TRACE}-{SPAN}-d")), parent(Some(true), None));
        assert_eq!(one(&format!("{TRACE}-{SPAN}-0-{SPAN}")), parent(Some(false), Some(SPAN)));
        assert_eq!(
            (one("0"), one("1"), one("x")),
            (Found::Decision(false), Found::Decision(true), Found::Malformed)
        );
        assert_eq!(one(&format!("{TRACE}-{SPAN}-1-{SPAN}-1")), Found::Malformed);
        let many = B3 { trace: Some(TRACE), span: Some(SPAN), sampled: Some("0"), ..B3::default() };
        assert_eq!(many.read(), parent(Some(false), None));
        assert_eq!(B3 { flags: Some("1"), ..many }.read(), parent(Some(true), None));
        assert_eq!(B3 { span: None, ..many }.read(), Found::Decision(false));
        assert_eq!(B3 { span: Some("zz"), ..many }.read(), Found::Malformed);
        assert!(B3 { trace: Some(&TRACE[16..]), ..many }.is_multi());
        assert_eq!(B3::default().read(), Found::Nothing);
    }
}
