//! Rendering of header values with variables.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tulle_http::{Known, RequestHead, ResponseHead};

use super::matcher::HeaderView;
use super::view::Connection;
use crate::runtime::headers::{Template, TemplatePart, Variable};
use crate::runtime::matcher::HeaderKey;
use crate::runtime::metadata::{Metadata, Value, json, lookup};

/// What variables may say, beside the heads themselves.
#[derive(Clone, Copy, Debug)]
pub struct FormatContext<'a> {
    /// The client's connection.
    pub connection: &'a Connection<'a>,
    /// Name of the route; empty before there is one.
    pub route_name: &'a str,
    /// Name of the cluster; empty before there is one.
    pub cluster: &'a str,
    /// The endpoint, once there is one.
    pub upstream: Option<SocketAddr>,
    /// Response flags so far, such as `UF`; empty for none.
    pub response_flags: &'a str,
    /// Why the response is as it is; empty before there is one.
    pub response_details: &'a str,
    /// Name of this machine.
    pub hostname: &'a str,
    /// When the request began.
    pub start: SystemTime,
    /// Metadata of the request, once a filter has written some.
    pub metadata: Option<&'a Metadata>,
}

/// Writes what `template` says to the end of `out`. A variable without value writes nothing.
pub fn render(
    template: &Template,
    cx: &FormatContext<'_>,
    request: Option<&RequestHead>,
    response: Option<&ResponseHead>,
    out: &mut String,
) {
    match template {
        Template::Text(text) => out.push_str(text),
        Template::Parts(parts) => {
            for part in parts {
                match part {
                    TemplatePart::Text(text) => out.push_str(text),
                    TemplatePart::Variable(variable) => write(variable, cx, request, response, out),
                }
            }
        }
    }
}

fn write(
    variable: &Variable,
    cx: &FormatContext<'_>,
    request: Option<&RequestHead>,
    response: Option<&ResponseHead>,
    out: &mut String,
) {
    let c = cx.connection;
    let peer = c.tls.and_then(|tls| tls.peer);
    match variable {
        Variable::RequestHeader { name, alternative, max_len } => {
            header(request, name, alternative.as_ref(), *max_len, out);
        }
        Variable::ResponseHeader { name: HeaderKey::Status, alternative: _, max_len: _ } => {
            if let Some(response) = response {
                display(response.status, out);
            }
        }
        Variable::ResponseHeader { name, alternative, max_len } => {
            header(response, name, alternative.as_ref(), *max_len, out);
        }
        Variable::Protocol => out.push_str(request.map_or("", |r| r.version.as_str())),
        Variable::Hostname => out.push_str(cx.hostname),
        Variable::DownstreamRemoteAddress => display(c.remote, out),
        Variable::DownstreamRemoteAddressWithoutPort => display(c.remote.ip(), out),
        Variable::DownstreamDirectRemoteAddress => display(c.direct_remote, out),
        Variable::DownstreamDirectRemoteAddressWithoutPort => display(c.direct_remote.ip(), out),
        Variable::DownstreamLocalAddress => display(c.local, out),
        Variable::DownstreamLocalAddressWithoutPort => display(c.local.ip(), out),
        Variable::DownstreamLocalPort => display(c.local.port(), out),
        Variable::DownstreamPeerUriSan => join(peer.map_or(&[], |p| p.uri_sans), out),
        Variable::DownstreamLocalUriSan => out.push_str(c.tls.map_or("", |tls| tls.local_uri_san)),
        Variable::DownstreamPeerSubject => out.push_str(peer.map_or("", |p| p.subject)),
        Variable::DownstreamTlsVersion => out.push_str(c.tls.map_or("", |tls| tls.version)),
        Variable::RequestedServerName => out.push_str(c.server_name),
        Variable::UpstreamRemoteAddress => {
            if let Some(upstream) = cx.upstream {
                display(upstream, out);
            }
        }
        Variable::UpstreamCluster => out.push_str(cx.cluster),
        // Before there is a response, Envoy writes 0.
        Variable::ResponseCode => display(response.map_or(0, |r| r.status), out),
        Variable::ResponseFlags => {
            out.push_str(if cx.response_flags.is_empty() { "-" } else { cx.response_flags })
        }
        Variable::ResponseCodeDetails => out.push_str(cx.response_details),
        Variable::RouteName => out.push_str(cx.route_name),
        Variable::VirtualClusterName => {}
        Variable::DynamicMetadata { filter, path } => metadata(cx.metadata, filter, path, out),
        Variable::StartTime => iso8601(cx.start, out),
        Variable::StreamId => {
            out.push_str(request.and_then(|r| r.headers.get_str(Known::XRequestId)).unwrap_or_default());
        }
    }
}

/// A text as it is, other values as JSON; without path the whole of a filter's metadata.
fn metadata(metadata: Option<&Metadata>, filter: &str, path: &[std::sync::Arc<str>], out: &mut String) {
    let Some(metadata) = metadata else { return };
    if path.is_empty() {
        if let Some(fields) = metadata.get(filter) {
            out.push_str(&json(&Value::Struct(fields.clone())).to_string());
        }
        return;
    }
    match lookup(metadata, filter, path) {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => out.push_str(text),
        Some(value) => out.push_str(&json(value).to_string()),
    }
}

fn display(value: impl std::fmt::Display, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

fn join(values: &[&str], out: &mut String) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(value);
    }
}

fn header(
    head: Option<&impl HeaderView>,
    name: &HeaderKey,
    alternative: Option<&HeaderKey>,
    max_len: Option<usize>,
    out: &mut String,
) {
    let Some(head) = head else { return };
    let value = head.first(name).or_else(|| head.first(alternative?));
    let Some(text) = value.and_then(|value| std::str::from_utf8(value).ok()) else { return };
    match max_len {
        Some(max) => out.extend(text.chars().take(max)),
        None => out.push_str(text),
    }
}

/// Writes a time as `2026-08-01T12:34:56.789Z`.
pub fn iso8601(time: SystemTime, out: &mut String) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", since.subsec_millis());
}

/// Year, month and day of a number of days since 1970-01-01 (Gregorian; eras of 400 years from March).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_785_585_296, "2026-08-01T11:54:56.000Z"),
        ] {
            let mut out = String::new();
            iso8601(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), &mut out);
            assert_eq!(out, want);
        }
    }
}
