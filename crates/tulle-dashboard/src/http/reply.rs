//! Answers.

use std::io::Write as _;

use serde_json::{Value, json};

/// What is said of an answer to caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caching {
    /// Not to be kept.
    #[default]
    Never,
    /// To be asked for again; the tag tells whether it is another.
    Ask,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// What tells it from others of the same path, if it may be asked for again.
    pub tag: Option<String>,
    /// A cookie to set.
    pub cookie: Option<String>,
    /// `content-encoding`.
    pub encoding: Option<&'static str>,
    /// For caches.
    pub caching: Caching,
}

/// The smallest body that is worth packing.
const WORTH: usize = 1024;

impl Reply {
    pub(super) fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status, content_type, body, tag: None, cookie: None, encoding: None, caching: Caching::Never }
    }

    pub(super) fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.as_bytes().to_vec())
    }

    pub(super) fn json(body: Vec<u8>) -> Self {
        Self::new(200, "application/json", body)
    }

    /// A page's answer with a tag. The moment at which it was made is no part of what it says.
    pub(super) fn page(mut value: Value) -> Self {
        let time = value.get_mut("time").map(Value::take);
        let said = value.to_string();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, said.as_bytes());
        let tag: String = digest.as_ref().iter().take(12).map(|b| format!("{b:02x}")).collect();
        let body = match time {
            None => said,
            Some(time) => {
                value["time"] = time;
                value.to_string()
            }
        };
        let mut reply = Self::json(body.into_bytes());
        reply.tag = Some(format!("W/\"{tag}\""));
        reply.caching = Caching::Ask;
        reply
    }

    /// Prometheus' error format.
    pub(super) fn error(status: u16, kind: &str, message: &str) -> Self {
        let body = json!({"status": "error", "errorType": kind, "error": message});
        Self::new(status, "application/json", body.to_string().into_bytes())
    }

    /// The pages' error format.
    pub(super) fn refused(status: u16, reason: &str, message: &str, fix: &str) -> Self {
        Self::refused_with(status, reason, message, fix, json!({}))
    }

    /// The same with more beside the error.
    pub(super) fn refused_with(status: u16, reason: &str, message: &str, fix: &str, mut more: Value) -> Self {
        more["error"] = json!({
            "status": status, "reason": reason, "message": message, "fix": (!fix.is_empty()).then_some(fix),
        });
        Self::new(status, "application/json", more.to_string().into_bytes())
    }

    pub(super) fn unavailable() -> Self {
        Self::error(503, "unavailable", "the query could not be run")
    }

    /// Packs a large body for a client that takes it so.
    #[must_use]
    pub(super) fn packed(mut self, encodings: &str) -> Self {
        let takes = encodings.split(',').any(|e| {
            let mut parts = e.split(';');
            let name = parts.next().unwrap_or("").trim();
            let refused = parts.any(|p| matches!(p.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            name.eq_ignore_ascii_case("gzip") && !refused
        });
        if !takes || self.encoding.is_some() || self.body.len() < WORTH {
            return self;
        }
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        if packer.write_all(&self.body).is_ok()
            && let Ok(packed) = packer.finish()
            && packed.len() < self.body.len()
        {
            self.body = packed;
            self.encoding = Some("gzip");
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_tells_what_is_said_and_not_when() {
        let page = |time: f64, x: i32| Reply::page(json!({"time": time, "x": x}));
        assert_eq!(page(1.0, 1).tag, page(2.0, 1).tag);
        assert_ne!(page(1.0, 1).tag, page(1.0, 2).tag);
        assert_eq!(page(1.0, 1).body, br#"{"time":1.0,"x":1}"#);
    }

    #[test]
    fn large_bodies_are_packed_for_who_takes_it() {
        let large = || Reply::text(200, &"abc ".repeat(1000));
        assert_eq!(large().packed("br, gzip;q=0.5").encoding, Some("gzip"));
        assert!(large().packed("gzip").body.len() < 100);
        for encodings in ["", "br", "gzip;q=0", "xgzip"] {
            assert_eq!(large().packed(encodings).encoding, None, "{encodings}");
        }
        assert_eq!(Reply::text(200, "small").packed("gzip").encoding, None);
    }
}
