//! Field names that the proxy knows by number.

use std::fmt;

macro_rules! known {
    ($($variant:ident $text:literal,)*) => {
        /// A field name that is looked up often enough to have a number. Lookups by `Known` compare one byte per field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is the name it stands for")]
        pub enum Known { $($variant,)* }

        const TEXTS: &[&str] = &[$($text,)*];
        const ALL: &[Known] = &[$(Known::$variant,)*];
    };
}

known! {
    Accept "accept",
    AcceptEncoding "accept-encoding",
    AcceptLanguage "accept-language",
    AcceptRanges "accept-ranges",
    AccessControlAllowCredentials "access-control-allow-credentials",
    AccessControlAllowHeaders "access-control-allow-headers",
    AccessControlAllowMethods "access-control-allow-methods",
    AccessControlAllowOrigin "access-control-allow-origin",
    AccessControlExposeHeaders "access-control-expose-headers",
    AccessControlMaxAge "access-control-max-age",
    AccessControlRequestHeaders "access-control-request-headers",
    AccessControlRequestMethod "access-control-request-method",
    Age "age",
    Allow "allow",
    Authorization "authorization",
    B3 "b3",
    CacheControl "cache-control",
    Connection "connection",
    ContentDisposition "content-disposition",
    ContentEncoding "content-encoding",
    ContentLanguage "content-language",
    ContentLength "content-length",
    ContentRange "content-range",
    ContentType "content-type",
    Cookie "cookie",
    Date "date",
    Etag "etag",
    Expect "expect",
    Expires "expires",
    Forwarded "forwarded",
    GrpcAcceptEncoding "grpc-accept-encoding",
    GrpcEncoding "grpc-encoding",
    GrpcMessage "grpc-message",
    GrpcStatus "grpc-status",
    GrpcTimeout "grpc-timeout",
    Host "host",
    Http2Settings "http2-settings",
    IfModifiedSince "if-modified-since",
    IfNoneMatch "if-none-match",
    KeepAlive "keep-alive",
    LastModified "last-modified",
    Location "location",
    Origin "origin",
    ProxyAuthenticate "proxy-authenticate",
    ProxyAuthorization "proxy-authorization",
    ProxyConnection "proxy-connection",
    Range "range",
    Referer "referer",
    RetryAfter "retry-after",
    SecWebsocketAccept "sec-websocket-accept",
    SecWebsocketExtensions "sec-websocket-extensions",
    SecWebsocketKey "sec-websocket-key",
    SecWebsocketProtocol "sec-websocket-protocol",
    SecWebsocketVersion "sec-websocket-version",
    Server "server",
    SetCookie "set-cookie",
    StrictTransportSecurity "strict-transport-security",
    Te "te",
    Traceparent "traceparent",
    Tracestate "tracestate",
    Trailer "trailer",
    TransferEncoding "transfer-encoding",
    Upgrade "upgrade",
    UserAgent "user-agent",
    Vary "vary",
    Via "via",
    WwwAuthenticate "www-authenticate",
    XB3Flags "x-b3-flags",
    XB3ParentSpanId "x-b3-parentspanid",
    XB3Sampled "x-b3-sampled",
    XB3SpanId "x-b3-spanid",
    XB3TraceId "x-b3-traceid",
    XClientTraceId "x-client-trace-id",
    XEnvoyAttemptCount "x-envoy-attempt-count",
    XEnvoyDecoratorOperation "x-envoy-decorator-operation",
    XEnvoyExpectedRqTimeoutMs "x-envoy-expected-rq-timeout-ms",
    XEnvoyExternalAddress "x-envoy-external-address",
    XEnvoyForceTrace "x-envoy-force-trace",
    XEnvoyInternal "x-envoy-internal",
    XEnvoyMaxRetries "x-envoy-max-retries",
    XEnvoyOriginalHost "x-envoy-original-host",
    XEnvoyOriginalPath "x-envoy-original-path",
    XEnvoyPeerMetadata "x-envoy-peer-metadata",
    XEnvoyPeerMetadataId "x-envoy-peer-metadata-id",
    XEnvoyRetryGrpcOn "x-envoy-retry-grpc-on",
    XEnvoyRetryOn "x-envoy-retry-on",
    XEnvoyUpstreamRqPerTryTimeoutMs "x-envoy-upstream-rq-per-try-timeout-ms",
    XEnvoyUpstreamRqTimeoutMs "x-envoy-upstream-rq-timeout-ms",
    XEnvoyUpstreamServiceTime "x-envoy-upstream-service-time",
    XForwardedClientCert "x-forwarded-client-cert",
    XForwardedFor "x-forwarded-for",
    XForwardedHost "x-forwarded-host",
    XForwardedPort "x-forwarded-port",
    XForwardedProto "x-forwarded-proto",
    XRequestId "x-request-id",
}

impl Known {
    /// How many there are.
    pub const COUNT: usize = ALL.len();

    /// The name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        TEXTS[self as usize]
    }

    /// The known name written `text` in any case.
    #[must_use]
    #[inline]
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        // Most texts are in lower case already.
        find(text, |name| name == text || name.eq_ignore_ascii_case(text))
    }

    /// [`Known::from_bytes`] for a text that holds token characters only: there the case may be folded by setting a bit.
    #[inline]
    pub(crate) fn from_token(text: &[u8]) -> Option<Self> {
        find(text, |name| eq_folded(text, name))
    }

    /// Every known name, in alphabetical order.
    #[must_use]
    pub fn all() -> &'static [Self] {
        ALL
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[inline]
fn find(text: &[u8], equal: impl Fn(&[u8]) -> bool) -> Option<Known> {
    if text.is_empty() {
        return None;
    }
    let mut slot = slot_of(text);
    loop {
        let id = SLOTS[slot];
        if id == EMPTY {
            return None;
        }
        if equal(TEXTS[usize::from(id)].as_bytes()) {
            return Some(ALL[usize::from(id)]);
        }
        slot = (slot + 1) % SLOT_COUNT;
    }
}

/// Whether the bytes are equal with bit 5 set in each.
#[inline]
fn eq_folded(a: &[u8], b: &[u8]) -> bool {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    if a.len() != b.len() {
        return false;
    }
    let word = |text: &[u8], at: usize| match text.get(at..at + 8) {
        Some(word) => u64::from_le_bytes(word.try_into().expect("eight bytes")) | FOLD,
        None => 0,
    };
    if a.len() < 8 {
        return a.iter().zip(b).all(|(a, b)| a | 0x20 == b | 0x20);
    }
    let last = a.len() - 8;
    let mut at = 0;
    while at < last {
        if word(a, at) != word(b, at) {
            return false;
        }
        at += 8;
    }
    word(a, last) == word(b, last)
}

const SLOT_COUNT: usize = 1024;
const EMPTY: u8 = u8::MAX;

/// Open addressing, filled at compile time: at most a tenth full, so that an unknown name meets an empty slot at once.
static SLOTS: [u8; SLOT_COUNT] = {
    assert!(TEXTS.len() < EMPTY as usize);
    let mut slots = [EMPTY; SLOT_COUNT];
    let mut id = 0;
    while id < TEXTS.len() {
        let mut slot = slot_of(TEXTS[id].as_bytes());
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = id as u8;
        id += 1;
    }
    slots
};

/// Hash of a non-empty name over its length and four of its bytes; setting bit 5 folds the case of letters.
const fn slot_of(name: &[u8]) -> usize {
    let len = name.len();
    let a = (name[0] | 0x20) as usize;
    let b = (name[len - 1] | 0x20) as usize;
    let c = (name[len / 2] | 0x20) as usize;
    let d = (name[len * 3 / 4] | 0x20) as usize;
    (len.wrapping_mul(0x9e5)
        ^ a.wrapping_mul(0x1f1)
        ^ b.wrapping_mul(0x35)
        ^ c.wrapping_mul(0x247)
        ^ d.wrapping_mul(0x71d))
        % SLOT_COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for known in Known::all() {
            assert_eq!(Known::from_bytes(known.as_str().as_bytes()), Some(*known));
            assert_eq!(Known::from_bytes(known.as_str().to_ascii_uppercase().as_bytes()), Some(*known));
        }
        assert!(TEXTS.is_sorted());
    }

    #[test]
    fn other_names_are_not_found() {
        for text in [
            "",
            "a",
            "hos",
            "hosts",
            "x-request-ie",
            "x_request_id",
            "content_length",
            "content\rlength",
            "b\x13",
        ] {
            assert_eq!(Known::from_bytes(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn probes_are_short() {
        let mut longest = 0;
        for text in TEXTS {
            let mut slot = slot_of(text.as_bytes());
            let mut probes = 1;
            while TEXTS[usize::from(SLOTS[slot])] != *text {
                slot = (slot + 1) % SLOT_COUNT;
                probes += 1;
            }
            longest = longest.max(probes);
        }
        assert!(longest <= 3, "{longest}");
    }
}
