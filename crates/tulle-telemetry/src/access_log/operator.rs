//! The operators and what each writes.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::access_log::record::{Headers, MetadataForm, RequestRecord};
use crate::access_log::time::TimeFormat;

/// Where metadata comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataSource {
    /// What filters left (`DYNAMIC_METADATA`).
    Dynamic,
    /// The route's (`METADATA(ROUTE:...)`): provenance is `istio:config` and `istio:rule`.
    Route,
    /// The cluster's (`CLUSTER_METADATA`).
    Cluster,
    /// The endpoint's (`UPSTREAM_METADATA`).
    UpstreamHost,
    /// The filter chain's (`METADATA(LISTENER_FILTER_CHAIN:...)`).
    FilterChain,
}

/// Which part of an address is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// `IP:PORT`, IPv6 in brackets.
    Whole,
    /// `IP`.
    WithoutPort,
    /// `PORT`.
    Port,
}

/// Which headers an operator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderSet {
    Request,
    Response,
    Trailer,
}

/// Which of two names counts, the second if the first is missing; lower case, or a pseudo-header with its colon.
#[derive(Clone, Debug)]
pub(super) struct HeaderNames {
    pub(super) set: HeaderSet,
    pub(super) main: String,
    pub(super) alternative: Option<String>,
}

/// The texts of a record that need no more than copying.
pub(super) type ReadText = for<'r, 'a> fn(&'r RequestRecord<'a>) -> &'a str;
/// The addresses of a record.
pub(super) type ReadAddress = fn(&RequestRecord<'_>) -> Option<SocketAddr>;
/// The numbers of a record.
pub(super) type ReadNumber = fn(&RequestRecord<'_>) -> Option<u64>;

/// One compiled operator.
#[derive(Clone, Debug)]
pub(super) enum Operator {
    Text(ReadText),
    Number(ReadNumber),
    Address(ReadAddress, Address),
    StartTime(TimeFormat),
    ResponseFlags,
    ResponseFlagsLong,
    GrpcStatus,
    GrpcStatusNumber,
    /// `%RESP(:STATUS)%`: a text, unlike `%RESPONSE_CODE%`.
    ResponseStatus,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`: with underscores for blanks, so that it is one word.
    TransportFailure,
    /// `%TRACE_ID%`.
    Trace,
    /// `%SPAN_ID%`.
    Span,
    /// `%LOCAL_REPLY_BODY%`: empty rather than missing.
    LocalReplyBody,
    Header(HeaderNames),
    Metadata(MetadataSource, String, Vec<String>),
}

impl Operator {
    /// Whether the value is a number in JSON.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::GrpcStatusNumber | Self::Address(_, Address::Port))
    }

    /// Whether it is about the trailers of the response.
    pub(super) fn reads_trailers(&self) -> bool {
        matches!(self, Self::Header(HeaderNames { set: HeaderSet::Trailer, .. }))
    }

    /// Appends a value that is no text as JSON; false and nothing if it is a text, or missing.
    pub(super) fn write_json(&self, record: &RequestRecord<'_>, out: &mut Vec<u8>) -> bool {
        let Self::Metadata(source, namespace, path) = self else { return false };
        let start = out.len();
        let is_json = record.metadata.write(*source, namespace, path, out) == Some(MetadataForm::Json);
        if !is_json {
            out.truncate(start);
        }
        is_json
    }

    /// Appends the value; false and nothing if there is none.
    pub(super) fn write(&self, record: &RequestRecord<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Text(read) => write_bytes(read(record).as_bytes(), out),
            Self::Number(read) => read(record).is_some_and(|n| {
                write_number(n, out);
                true
            }),
            Self::Address(read, part) => read(record).is_some_and(|address| {
                write_address(address, *part, out);
                true
            }),
            Self::StartTime(format) => {
                format.write(record.start, out);
                true
            }
            Self::ResponseFlags => write_flags(record, out, false),
            Self::ResponseFlagsLong => write_flags(record, out, true),
            Self::GrpcStatus => record.grpc_status.is_some_and(|status| {
                write_grpc_status(status, out);
                true
            }),
            Self::GrpcStatusNumber => record.grpc_status.is_some_and(|status| {
                write_signed(status, out);
                true
            }),
            Self::TransportFailure => {
                let blank = |b: &u8| if b.is_ascii_whitespace() { b'_' } else { *b };
                out.extend(record.upstream_transport_failure_reason.as_bytes().iter().map(blank));
                !record.upstream_transport_failure_reason.is_empty()
            }
            Self::Trace => record.trace.is_some_and(|(id, _)| write_bytes(id.to_hex().as_bytes(), out)),
            Self::Span => record.trace.is_some_and(|(_, id)| write_bytes(id.to_hex().as_bytes(), out)),
            Self::LocalReplyBody => {
                out.extend_from_slice(record.local_reply_body);
                true
            }
            Self::ResponseStatus if record.response_code == 0 => false,
            Self::ResponseStatus => {
                write_number(u64::from(record.response_code), out);
                true
            }
            Self::Header(names) => {
                let value = header(record, names.set, &names.main);
                let value =
                    value.or_else(|| names.alternative.as_deref().and_then(|n| header(record, names.set, n)));
                value.is_some_and(|v| write_bytes(v, out))
            }
            Self::Metadata(source, namespace, path) => {
                record.metadata.write(*source, namespace, path, out).is_some()
            }
        }
    }
}

/// Milliseconds, as all durations are printed.
pub(super) fn millis(duration: Option<Duration>) -> Option<u64> {
    duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn header<'a>(record: &RequestRecord<'a>, set: HeaderSet, name: &str) -> Option<&'a [u8]> {
    let some = |text: &'a [u8]| (!text.is_empty()).then_some(text);
    let from = |headers: Headers<'a>| headers.header(name);
    match (set, name) {
        (HeaderSet::Request, ":method") => some(record.method),
        (HeaderSet::Request, ":path") => some(record.path),
        (HeaderSet::Request, ":authority" | "host") => some(record.authority),
        (HeaderSet::Request, ":scheme") => some(record.scheme),
        (HeaderSet::Request, _) => from(record.request_headers),
        (HeaderSet::Response, _) => from(record.response_headers),
        (HeaderSet::Trailer, _) => from(record.response_trailers),
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(bytes);
    !bytes.is_empty()
}

pub(super) fn write_number(mut n: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        #[allow(clippy::cast_possible_truncation, reason = "a digit")]
        {
            digits[at] = b'0' + (n % 10) as u8;
        }
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_signed(n: i32, out: &mut Vec<u8>) {
    if n < 0 {
        out.push(b'-');
    }
    write_number(u64::from(n.unsigned_abs()), out);
}

fn write_address(address: SocketAddr, part: Address, out: &mut Vec<u8>) {
    match (address, part) {
        (_, Address::Port) => write_number(u64::from(address.port()), out),
        (SocketAddr::V4(v4), _) => {
            for (at, octet) in v4.ip().octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                write_number(u64::from(octet), out);
            }
            if part == Address::Whole {
                out.push(b':');
                write_number(u64::from(v4.port()), out);
            }
        }
        // Writing to a Vec cannot fail.
        (SocketAddr::V6(_), Address::Whole) => drop(write!(out, "{address}")),
        (SocketAddr::V6(v6), Address::WithoutPort) => drop(write!(out, "{}", v6.ip())),
    }
}

fn write_flags(record: &RequestRecord<'_>, out: &mut Vec<u8>, long: bool) -> bool {
    if record.response_flags.is_empty() {
        return false;
    }
    if long {
        record.response_flags.write_long(out);
    } else {
        record.response_flags.write_short(out);
    }
    true
}

/// In camel case, as Envoy's default for `%GRPC_STATUS%`; unknown ones as their number.
fn write_grpc_status(status: i32, out: &mut Vec<u8>) {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    match usize::try_from(status).ok().and_then(|status| NAMES.get(status)) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => write_signed(status, out),
    }
}
