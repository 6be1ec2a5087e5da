//! Header fields that the proxy itself reads, removes and writes.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tulle_engine::{
    decide::client::Client,
    runtime::{
        HttpManager,
        http_manager::{SchemeHandling, ServerHeaderMode, UnderscoreAction},
    },
};
use tulle_http::{
    HeaderList, Known, Method, RequestHead, ResponseHead,
    h1::{hides_origin, strip_hop_by_hop},
};

use super::reply::Reply;

/// Brings a request's fields in order, once those of the hop are gone: an id comes.
pub(crate) fn accept(head: &mut RequestHead, config: &HttpManager, client: &Client) {
    if config.limits.underscores == UnderscoreAction::Drop {
        head.headers.retain(|field| field.known.is_some() || !field.name.contains(&b'_'));
    }
    if let SchemeHandling::Overwrite(scheme) = &config.scheme
        && let Some(scheme) = tulle_http::Scheme::from_bytes(scheme.as_bytes())
    {
        head.scheme = scheme;
        head.headers.set(Known::XForwardedProto, scheme.as_str().as_bytes());
    }
    let ids = config.request_id;
    let foreign = client.edge && !ids.preserve_external;
    if ids.generate && (foreign || head.headers.get(Known::XRequestId).is_none_or(<[u8]>::is_empty)) {
        head.headers.set(Known::XRequestId, &uuid(fastrand::u128(..)));
    }
    if !config.via.is_empty() {
        head.headers.join(Known::Via, config.via.as_bytes());
    }
}

/// Says who we are (`add_user_agent`): our service cluster, to upstreams that want to know it, and as the user agent of a request
/// that has none; and our own name.
pub(crate) fn name_ourselves(head: &mut RequestHead, cluster: &str, node: &str) {
    if !cluster.is_empty() {
        head.headers.set("x-envoy-downstream-service-cluster", cluster.as_bytes());
        if head.headers.get_str("user-agent").is_none_or(str::is_empty) {
            head.headers.set("user-agent", cluster.as_bytes());
        }
    }
    if !node.is_empty() {
        head.headers.set("x-envoy-downstream-service-node", node.as_bytes());
    }
}

/// Brings a response's fields in order: hop-by-hop fields go.
pub(crate) fn accept_response(head: &mut ResponseHead, tunnel: bool) {
    strip_hop_by_hop(&mut head.headers, tunnel);
    if head.status == 204 || tunnel {
        // RFC 9110 section 8.6; HTTP/1 heads have lost it already.
        head.headers.remove(Known::ContentLength);
    }
}

/// Brings an informational head in order.
pub(crate) fn accept_informational(head: &mut ResponseHead) {
    strip_hop_by_hop(&mut head.headers, false);
    head.headers.remove(Known::ContentLength);
}

/// Removes the fields of a request that concern the client's connection only. `false`: it would hide where it came from.
#[must_use]
pub(crate) fn leave_hop(head: &mut RequestHead, upgrade: bool) -> bool {
    if head.headers.contains(Known::Connection) && hides_origin(&head.headers) {
        return false;
    }
    strip_hop_by_hop(&mut head.headers, upgrade);
    true
}

/// The answer to a request that may travel no further (RFC 9110 section 7.6.2); otherwise it has one hop less to go.
pub(crate) fn max_forwards(head: &mut RequestHead) -> Option<Reply> {
    if !matches!(head.method, Method::Trace | Method::Options) {
        return None;
    }
    let hops: u32 = head.headers.get_str("max-forwards")?.parse().ok()?;
    if let Some(left) = hops.checked_sub(1) {
        head.headers.set("max-forwards", left.to_string().as_bytes());
        return None;
    }
    // TRACE shows a request to whoever can make a browser send it: it is not answered with the request.
    let status = if head.method == Method::Trace { 405 } else { 200 };
    let mut reply = Reply::new(status, "", "max_forwards");
    let mut extra = ResponseHead::new(status);
    extra.headers.set("allow", b"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
    reply.headers = Some(Box::new(extra));
    Some(reply)
}

/// Adds `via`, `server` and `date`, to responses of our own too.
pub(crate) fn finish_response(head: &mut ResponseHead, config: &HttpManager, now: SystemTime) {
    if !config.via.is_empty() {
        head.headers.join(Known::Via, config.via.as_bytes());
    }
    match config.server.mode {
        ServerHeaderMode::Overwrite => {
            head.headers.set(Known::Server, config.server.name.as_bytes());
        }
        ServerHeaderMode::AppendIfAbsent if !head.headers.contains(Known::Server) => {
            head.headers.append(Known::Server, config.server.name.as_bytes());
        }
        ServerHeaderMode::AppendIfAbsent | ServerHeaderMode::PassThrough => {}
    }
    if !head.headers.contains(Known::Date) {
        with_date(now, |date| {
            head.headers.append(Known::Date, date);
        });
    }
}

/// The gRPC status in a head or in trailers; -1 if what stands there is none.
pub(crate) fn grpc_status(headers: &HeaderList) -> Option<i32> {
    let text = headers.get_str(Known::GrpcStatus)?.trim();
    let number = |text: &str| text.parse().ok().filter(|status: &i32| *status >= 0);
    (!text.is_empty()).then(|| number(text).unwrap_or(-1))
}

/// A version 4 UUID of these random bits (RFC 9562 section 5.4), in lower case.
pub(crate) fn uuid(random: u128) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let mut out = [b'-'; 36];
    let mut shift = 128;
    for (at, byte) in out.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            shift -= 4;
            *byte = HEX[(bits >> shift & 0xf) as usize];
        }
    }
    out
}

thread_local! {
    static DATE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// The date in the form of RFC 9110 section 5.6.7, written once a second.
fn with_date(now: SystemTime, use_it: impl FnOnce(&[u8])) {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    DATE.with_borrow_mut(|(at, text)| {
        if *at != seconds {
            *at = seconds;
            *text = imf_date(seconds);
        }
        use_it(text.as_bytes());
    });
}

fn imf_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86_400;
    let date = i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map(|t| t.to_zoned(jiff::tz::TimeZone::UTC))
        .unwrap_or_default();
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or_default()];
    let month = MONTHS[usize::try_from(date.month() - 1).unwrap_or_default()];
    format!(
        "{weekday}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT",
        date.day(),
        date.year(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_ids_have_their_form() {
        assert_eq!(imf_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        let id = String::from_utf8(uuid(u128::MAX).to_vec()).unwrap();
        assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
