//! From a format string to pieces.

use crate::access_log::operator::{
    Address, HeaderNames, HeaderSet, MetadataSource, Operator, ReadAddress, millis,
};
use crate::access_log::record::RequestRecord;
use crate::access_log::time::TimeFormat;

/// Why a format cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A `%` that begins no operator.
    #[error("a % at byte {0} begins no operator; write %% for a percent sign")]
    Unterminated(usize),
    /// An operator that does not exist here.
    #[error("operator %{0}% is not supported")]
    Unknown(String),
    /// An operator with arguments that it cannot have.
    #[error("operator %{operator}%: {problem}")]
    Argument {
        /// The operator as written.
        operator: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// A part of a line.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Literal(Box<[u8]>),
    Operator { operator: Operator, limit: Option<usize> },
}

/// Appends all pieces; `missing` stands for values that are not there.
pub(super) fn render_text(pieces: &[Piece], record: &RequestRecord<'_>, missing: &[u8], out: &mut Vec<u8>) {
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.extend_from_slice(text),
            Piece::Operator { operator, limit } => {
                if !write_limited(operator, *limit, record, out) {
                    out.extend_from_slice(missing);
                }
            }
        }
    }
}

/// Appends a value, cut to `limit` bytes.
pub(super) fn write_limited(
    operator: &Operator,
    limit: Option<usize>,
    record: &RequestRecord<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    let written = operator.write(record, out);
    if let Some(limit) = limit {
        out.truncate(start.saturating_add(limit));
    }
    written
}

/// Whether some operator asks for trailers.
pub(super) fn reads_trailers(pieces: &[Piece]) -> bool {
    pieces.iter().any(|piece| match piece {
        Piece::Literal(_) => false,
        Piece::Operator { operator, limit: _ } => operator.reads_trailers(),
    })
}

pub(super) fn parse(format: &str) -> Result<Vec<Piece>, FormatError> {
    let (mut pieces, mut literal) = (Vec::new(), Vec::new());
    let mut at = 0;
    let bytes = format.as_bytes();
    while at < bytes.len() {
        if bytes[at] != b'%' {
            literal.push(bytes[at]);
            at += 1;
            continue;
        }
        if bytes.get(at + 1) == Some(&b'%') {
            literal.push(b'%');
            at += 2;
            continue;
        }
        let end = operator_end(bytes, at + 1).ok_or(FormatError::Unterminated(at))?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
        }
        pieces.push(parse_operator(&format[at + 1..end])?);
        at = end + 1;
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    Ok(pieces)
}

/// The closing `%` of the operator that begins at `start`; one inside parentheses does not close it.
fn operator_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut inside = false;
    for (i, b) in bytes.iter().enumerate().skip(start) {
        match b {
            b'(' => inside = true,
            b')' => inside = false,
            b'%' if !inside => return Some(i),
            _ => {}
        }
    }
    None
}

/// `NAME`, `NAME(ARGUMENT)` or either with `:LIMIT`.
fn parse_operator(text: &str) -> Result<Piece, FormatError> {
    let wrong = |problem| FormatError::Argument { operator: text.to_owned(), problem };
    let (name, argument, rest) = match text.split_once('(') {
        Some((name, rest)) => {
            let (argument, rest) = rest.rsplit_once(')').ok_or_else(|| wrong("no closing parenthesis"))?;
            (name, Some(argument), rest)
        }
        None => {
            let name = text.split(':').next().unwrap_or_default();
            (name, None, &text[name.len()..])
        }
    };
    let limit = match rest.strip_prefix(':') {
        Some(digits) => Some(digits.parse().map_err(|_| wrong("the length is not a number"))?),
        None if rest.is_empty() => None,
        None => return Err(wrong("unexpected text after the closing parenthesis")),
    };
    let operator = match argument {
        Some(argument) => with_argument(name, argument, text)?,
        None => simple(name).ok_or_else(|| FormatError::Unknown(text.to_owned()))?,
    };
    Ok(Piece::Operator { operator, limit })
}

fn with_argument(name: &str, argument: &str, text: &str) -> Result<Operator, FormatError> {
    let wrong = |problem| FormatError::Argument { operator: text.to_owned(), problem };
    match name {
        "REQ" => headers(HeaderSet::Request, argument).ok_or_else(|| wrong("no header name")),
        "RESP" => headers(HeaderSet::Response, argument).ok_or_else(|| wrong("no header name")),
        "TRAILER" => headers(HeaderSet::Trailer, argument).ok_or_else(|| wrong("no header name")),
        "START_TIME" => TimeFormat::parse(argument).map(Operator::StartTime).map_err(wrong),
        "DYNAMIC_METADATA" => {
            metadata(MetadataSource::Dynamic, argument).ok_or_else(|| wrong("no namespace"))
        }
        "CLUSTER_METADATA" => {
            metadata(MetadataSource::Cluster, argument).ok_or_else(|| wrong("no namespace"))
        }
        "UPSTREAM_METADATA" => {
            metadata(MetadataSource::UpstreamHost, argument).ok_or_else(|| wrong("no namespace"))
        }
        "METADATA" => {
            let (kind, rest) = argument.split_once(':').ok_or_else(|| wrong("no namespace"))?;
            let source = match kind {
                "DYNAMIC" => MetadataSource::Dynamic,
                "ROUTE" => MetadataSource::Route,
                "CLUSTER" => MetadataSource::Cluster,
                "UPSTREAM_HOST" => MetadataSource::UpstreamHost,
                "LISTENER_FILTER_CHAIN" => MetadataSource::FilterChain,
                _ => {
                    return Err(wrong(
                        "write DYNAMIC, ROUTE, CLUSTER, UPSTREAM_HOST or LISTENER_FILTER_CHAIN",
                    ));
                }
            };
            metadata(source, rest).ok_or_else(|| wrong("no namespace"))
        }
        "GRPC_STATUS" => match argument {
            "" | "CAMEL_STRING" => Ok(Operator::GrpcStatus),
            "NUMBER" => Ok(Operator::GrpcStatusNumber),
            _ => Err(wrong("write CAMEL_STRING or NUMBER")),
        },
        _ => Err(FormatError::Unknown(text.to_owned())),
    }
}

fn headers(set: HeaderSet, argument: &str) -> Option<Operator> {
    let (main, alternative) = match argument.split_once('?') {
        Some((main, alternative)) => (main, Some(alternative.to_ascii_lowercase())),
        None => (argument, None),
    };
    if set == HeaderSet::Response && main.eq_ignore_ascii_case(":status") {
        return Some(Operator::ResponseStatus);
    }
    let names = HeaderNames { set, main: main.to_ascii_lowercase(), alternative };
    (!names.main.is_empty()).then_some(Operator::Header(names))
}

fn metadata(source: MetadataSource, argument: &str) -> Option<Operator> {
    let mut parts = argument.split(':').map(str::to_owned);
    let namespace = parts.next().filter(|n| !n.is_empty())?;
    Some(Operator::Metadata(source, namespace, parts.collect()))
}

fn simple(name: &str) -> Option<Operator> {
    simple_text(name).or_else(|| simple_number(name)).or_else(|| address(name)).or_else(|| {
        Some(match name {
            "START_TIME" => Operator::StartTime(TimeFormat::default()),
            "RESPONSE_FLAGS" => Operator::ResponseFlags,
            "RESPONSE_FLAGS_LONG" => Operator::ResponseFlagsLong,
            "GRPC_STATUS" => Operator::GrpcStatus,
            "LOCAL_REPLY_BODY" => Operator::LocalReplyBody,
            "UPSTREAM_TRANSPORT_FAILURE_REASON" => Operator::TransportFailure,
            "TRACE_ID" => Operator::Trace,
            "SPAN_ID" => Operator::Span,
            "GRPC_STATUS_NUMBER" => Operator::GrpcStatusNumber,
            _ => return None,
        })
    })
}

fn simple_text(name: &str) -> Option<Operator> {
    Some(Operator::Text(match name {
        "PROTOCOL" => |r| r.protocol,
        "UPSTREAM_PROTOCOL" => |r| r.upstream_protocol,
        "RESPONSE_CODE_DETAILS" => |r| r.response_code_details,
        "CONNECTION_TERMINATION_DETAILS" => |r| r.connection_termination_details,
        "UPSTREAM_CLUSTER" => |r| r.upstream_cluster,
        "UPSTREAM_CLUSTER_RAW" => |r| r.upstream_cluster_raw,
        "REQUESTED_SERVER_NAME" => |r| r.requested_server_name,
        "ROUTE_NAME" => |r| r.route_name,
        "VIRTUAL_CLUSTER_NAME" => |_| "",
        "FILTER_CHAIN_NAME" => |r| r.filter_chain_name,
        "DOWNSTREAM_PEER_URI_SAN" => |r| r.downstream_peer_uri_san,
        "DOWNSTREAM_LOCAL_URI_SAN" => |r| r.downstream_local_uri_san,
        "UPSTREAM_PEER_URI_SAN" => |r| r.upstream_peer_uri_san,
        "DOWNSTREAM_TLS_VERSION" => |r| r.downstream_tls_version,
        "DOWNSTREAM_TLS_CIPHER" => |r| r.downstream_tls_cipher,
        _ => return None,
    }))
}

fn simple_number(name: &str) -> Option<Operator> {
    Some(Operator::Number(match name {
        "RESPONSE_CODE" => |r| Some(u64::from(r.response_code)),
        "BYTES_RECEIVED" => |r| Some(r.bytes_received),
        "BYTES_SENT" => |r| Some(r.bytes_sent),
        "DURATION" => |r| millis(r.duration),
        "REQUEST_DURATION" => |r| millis(r.request_duration),
        "RESPONSE_DURATION" => |r| millis(r.response_duration),
        "RESPONSE_TX_DURATION" => |r| millis(r.duration?.checked_sub(r.response_duration?)),
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => |r| Some(u64::from(r.attempts)),
        "CONNECTION_ID" => |r| Some(r.connection_id),
        _ => return None,
    }))
}

fn address(name: &str) -> Option<Operator> {
    let (base, part) = if let Some(base) = name.strip_suffix("_WITHOUT_PORT") {
        (base.to_owned(), Address::WithoutPort)
    } else if let Some(base) = name.strip_suffix("_PORT") {
        (format!("{base}_ADDRESS"), Address::Port)
    } else {
        (name.to_owned(), Address::Whole)
    };
    let read: ReadAddress = match base.as_str() {
        "UPSTREAM_HOST" if part == Address::Whole => |r| r.upstream_host,
        "UPSTREAM_REMOTE_ADDRESS" => |r| r.upstream_remote_address,
        "UPSTREAM_LOCAL_ADDRESS" => |r| r.upstream_local_address,
        "DOWNSTREAM_LOCAL_ADDRESS" => |r| r.downstream_local_address,
        "DOWNSTREAM_REMOTE_ADDRESS" => |r| r.downstream_remote_address,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => |r| r.downstream_direct_remote_address,
        _ => return None,
    };
    Some(Operator::Address(read, part))
}
