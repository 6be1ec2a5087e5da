//! What a case looked like, as lines, without what may differ between two runs of the same proxy.

use std::{collections::BTreeMap, io::Read as _, sync::LazyLock};

use flate2::read::GzDecoder;
use prost::Message as _;
use regex::{Captures, Regex};
use tulle_proto::envoy::{auth::CheckRequest, ratelimit::RateLimitRequest};

use super::{answer::Seen, client::Received, spans};

static UUID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap());
static ID: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(?:[0-9a-f]{32}|[0-9a-f]{16})\b").unwrap());
static DATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$").unwrap());
static PORT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?::|PortValue\(\s*)(\d{4,5})\b").unwrap());

/// What is left out of a run's texts.
#[derive(Clone, Debug, Default)]
pub struct Normal {
    /// Ephemeral ports by what they are called.
    pub ports: Vec<(u16, &'static str)>,
    /// Names are compared with their case.
    pub cased: bool,
    /// Ids of traces and spans in the order in which they are seen.
    pub ids: std::cell::RefCell<Vec<String>>,
}

/// Fields that are lists: several lines mean the same as one with commas (RFC 9110 section 5.3).
const LISTS: &[&str] =
    &["x-forwarded-for", "x-forwarded-host", "via", "accept", "cache-control", "te", "vary", "connection"];

/// Upstreams that proxies call for themselves.
const CALLED: &[&str] = &["auth", "rls", "web"];

impl Normal {
    /// A line of text.
    pub fn text(&self, text: &str) -> String {
        // The reason for a trace stands in place of the version.
        let text = UUID.replace_all(text, |c: &Captures<'_>| match c[0].as_bytes()[14] {
            reason @ (b'9' | b'a' | b'b') => format!("UUID {}", char::from(reason)),
            _ => "UUID".to_owned(),
        });
        let text = ID.replace_all(&text, |c: &Captures<'_>| self.id(&c[0]));
        PORT.replace_all(&text, |c: &Captures<'_>| {
            let name = self.ports.iter().find(|(port, _)| c[1].parse() == Ok(*port)).map(|(_, n)| *n);
            name.map_or_else(|| c[0].to_owned(), |n| format!(":{n}"))
        })
        .into_owned()
    }

    fn id(&self, id: &str) -> String {
        let mut ids = self.ids.borrow_mut();
        let at = ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        format!("ID{at}/{}", id.len())
    }

    fn field(&self, name: &str, value: &str) -> String {
        let value = match name.to_ascii_lowercase().as_str() {
            "date" if DATE.is_match(value) => "DATE".to_owned(),
            "x-envoy-upstream-service-time" if value.parse::<u64>().is_ok() => "N".to_owned(),
            // A retry tells what is left, which depends on how quick the machine is.
            "x-envoy-expected-rq-timeout-ms" => match value.parse::<u64>() {
                Ok(millis) if millis > 1000 && millis % 1000 > 800 => {
                    (millis.div_ceil(1000) * 1000).to_string()
                }
                Ok(millis) if millis > 1000 && millis % 1000 != 0 => "LEFT".to_owned(),
                _ => value.to_owned(),
            },
            _ => self.text(value.trim()),
        };
        format!("{name}: {value}")
    }

    /// Fields in the order of their names: only the order of one name's lines means something (RFC 9110 section 5.3).
    fn fields(&self, fields: &[(String, String)], to: &mut Vec<String>) {
        let mut lines: Vec<(String, String)> = Vec::new();
        // So that ids get the same numbers whatever the order.
        let mut sorted: Vec<&(String, String)> = fields.iter().collect();
        sorted.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        for (name, value) in sorted {
            let lower = name.to_ascii_lowercase();
            // Nobody has said anything in it.
            if lower == "tracestate" && value.is_empty() {
                continue;
            }
            let name = if self.cased { name } else { &lower };
            if !LISTS.contains(&lower.as_str()) {
                lines.push((lower.clone(), self.field(name, value)));
                continue;
            }
            // An empty item means nothing (RFC 9110 section 5.6.1).
            let items: Vec<&str> = value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
            match lines.iter_mut().find(|(n, _)| *n == lower) {
                Some(_) if items.is_empty() => {}
                Some((_, line)) if line.ends_with(": ") => line.push_str(&items.join(", ")),
                Some((_, line)) => line.push_str(&format!(", {}", items.join(", "))),
                None => lines.push((lower.clone(), self.field(name, &items.join(", ")))),
            }
        }
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        to.extend(lines.into_iter().map(|(_, line)| format!("  {line}")));
    }

    /// The message of a call that a proxy makes, without what differs between two calls.
    fn call(&self, seen: &Seen) -> Option<String> {
        let message = seen.body.get(5..)?;
        let text = match seen.line.split(' ').nth(1)? {
            "/envoy.service.auth.v3.Authorization/Check" => {
                let mut attributes = CheckRequest::decode(message).ok()?.attributes?;
                let mut maps = BTreeMap::new();
                maps.extend(std::mem::take(&mut attributes.context_extensions));
                if let Some(request) = &mut attributes.request {
                    request.time = None;
                    if let Some(http) = &mut request.http {
                        http.id.clear();
                        maps.extend(std::mem::take(&mut http.headers));
                    }
                }
                format!("{attributes:#?}\n{maps:#?}")
            }
            "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit" => {
                format!("{:#?}", RateLimitRequest::decode(message).ok()?)
            }
            _ => return None,
        };
        // Ports stand apart from their addresses there.
        Some(self.text(&text))
    }

    fn body(&self, body: &[u8], trailers: &[(String, String)], to: &mut Vec<String>) {
        let mut unpacked = Vec::new();
        let packed =
            body.starts_with(&[0x1f, 0x8b]) && GzDecoder::new(body).read_to_end(&mut unpacked).is_ok();
        if packed {
            to.push("  (gzip)".to_owned());
        }
        let body = if packed { &unpacked } else { body };
        if !body.is_empty() {
            let mut text = self.text(&super::text(body));
            if text.len() > 2000 {
                text = format!("{}... ({} bytes)", text.chars().take(100).collect::<String>(), body.len());
            }
            to.push(format!("  | {text}"));
        }
        if !trailers.is_empty() {
            to.push("  trailers".to_owned());
            self.fields(trailers, to);
        }
    }

    /// What the client received.
    pub fn received(&self, received: &Received, to: &mut Vec<String>) {
        // A reason phrase means nothing (RFC 9112 section 4).
        let line: Vec<&str> = received.line.splitn(3, ' ').take(2).collect();
        to.push(format!("client: {}", line.join(" ")));
        self.fields(&received.headers, to);
        self.body(&received.body, &received.trailers, to);
        to.extend(received.notes.iter().map(|n| format!("  {n}")));
    }

    /// What an upstream saw.
    pub fn seen(&self, seen: &Seen, to: &mut Vec<String>) {
        to.push(format!("{}: {}", seen.upstream, self.text(&seen.line)));
        if !seen.told.is_empty() {
            to.push(format!("  told: {}", self.text(&seen.told)));
        }
        let call = self.call(seen);
        // Envoy's calls carry these as if they were forwarded.
        let own = |name: &str| {
            let name = name.to_ascii_lowercase();
            ["x-envoy-internal", "x-forwarded-for", "x-envoy-expected-rq-timeout-ms"].contains(&&*name)
        };
        let fields: Vec<_> = seen
            .headers
            .iter()
            .filter(|(n, _)| !CALLED.contains(&&*seen.upstream) || !own(n))
            .cloned()
            .collect();
        self.fields(&fields, to);
        match call {
            Some(call) => to.extend(call.lines().map(|line| format!("  {line}"))),
            None => self.body(&seen.body, &seen.trailers, to),
        }
        if !seen.complete {
            to.push("  (unfinished)".to_owned());
        }
    }

    /// What collectors got.
    pub fn reported(&self, seen: &[Seen], to: &mut Vec<String>) {
        for reports in seen.chunk_by(|a, b| a.upstream == b.upstream) {
            let (first, all) = (&reports[0], reports.iter().collect::<Vec<_>>());
            to.push(format!("{}: {}", first.upstream, self.text(&first.line)));
            // Exporters differ in what they say of themselves.
            let told = |name: &str| name == "content-type" || name.starts_with("x-own");
            let fields: Vec<_> = first.headers.iter().filter(|(n, _)| told(n)).cloned().collect();
            self.fields(&fields, to);
            let text = self.text(&spans::text(&first.upstream, &all));
            to.extend(text.lines().map(|line| format!("  {line}")));
        }
    }
}
