//! What a peer may make us hold for one message head.

/// Limits on one message head (or trailer section); a head beyond them is refused, never truncated.
///
/// The defaults are Envoy's (`max_request_headers_kb` 60, `max_headers_count` 100).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest head in bytes: start line, every field line and the empty line (HTTP/1); names, values and 32 bytes for
    /// each field (HTTP/2, RFC 9113 section 6.5.2). Over it: 431. Default 61,440.
    pub head_bytes: usize,
    /// Most field lines in one head. Over it: 431. Default 100.
    pub headers: usize,
    /// Longest request target in bytes. Over it: 414. Default 61,440, so that `head_bytes` decides.
    pub target_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 60 * 1024, headers: 100, target_bytes: 60 * 1024 }
    }
}
