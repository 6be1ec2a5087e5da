//! Texts with `%VARIABLES%`.

use super::context::{At, Context};
use super::matcher::header_key;
use super::value::text;
use crate::runtime::headers::{Template, TemplatePart, Variable};

/// Reads a header value or path with Envoy's command operators. `%%` is a percent sign.
pub(super) fn template(cx: &mut Context<'_>, at: &At<'_>, source: &str) -> Option<Template> {
    if !source.contains('%') {
        return Some(Template::Text(text(source)));
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = source;
    while let Some(start) = rest.find('%') {
        literal.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let Some(end) = rest.find('%') else {
            cx.refuse(at, format!("{source:?} has a % without its partner; write %% for a percent sign"));
            return None;
        };
        if end == 0 {
            literal.push('%');
        } else {
            if !literal.is_empty() {
                parts.push(TemplatePart::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(TemplatePart::Variable(variable(cx, at, &rest[..end])?));
        }
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    if parts.is_empty() {
        return Some(Template::Text(literal.into()));
    }
    if !literal.is_empty() {
        parts.push(TemplatePart::Text(literal.into()));
    }
    Some(Template::Parts(parts))
}

fn variable(cx: &mut Context<'_>, at: &At<'_>, operator: &str) -> Option<Variable> {
    let found = match operator {
        "PROTOCOL" => Variable::Protocol,
        "HOSTNAME" => Variable::Hostname,
        "DOWNSTREAM_REMOTE_ADDRESS" => Variable::DownstreamRemoteAddress,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Variable::DownstreamRemoteAddressWithoutPort,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Variable::DownstreamDirectRemoteAddress,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Variable::DownstreamDirectRemoteAddressWithoutPort,
        "DOWNSTREAM_LOCAL_ADDRESS" => Variable::DownstreamLocalAddress,
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Variable::DownstreamLocalAddressWithoutPort,
        "DOWNSTREAM_LOCAL_PORT" => Variable::DownstreamLocalPort,
        "DOWNSTREAM_PEER_URI_SAN" => Variable::DownstreamPeerUriSan,
        "DOWNSTREAM_LOCAL_URI_SAN" => Variable::DownstreamLocalUriSan,
        "DOWNSTREAM_PEER_SUBJECT" => Variable::DownstreamPeerSubject,
        "DOWNSTREAM_TLS_VERSION" => Variable::DownstreamTlsVersion,
        "REQUESTED_SERVER_NAME" => Variable::RequestedServerName,
        "UPSTREAM_REMOTE_ADDRESS" | "UPSTREAM_HOST" => Variable::UpstreamRemoteAddress,
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Variable::UpstreamCluster,
        "RESPONSE_CODE" => Variable::ResponseCode,
        "RESPONSE_FLAGS" => Variable::ResponseFlags,
        "RESPONSE_CODE_DETAILS" => Variable::ResponseCodeDetails,
        "ROUTE_NAME" => Variable::RouteName,
        "VIRTUAL_CLUSTER_NAME" => Variable::VirtualClusterName,
        "START_TIME" => Variable::StartTime,
        "STREAM_ID" => Variable::StreamId,
        _ => return header_variable(cx, at, operator),
    };
    Some(found)
}

/// `REQ(X?Y):Z` or `RESP(X?Y):Z`.
fn header_variable(cx: &mut Context<'_>, at: &At<'_>, operator: &str) -> Option<Variable> {
    let unknown = || format!("%{operator}% is not a variable that can be used here");
    let Some((kind, arguments)) = operator.split_once('(') else {
        cx.refuse(at, unknown());
        return None;
    };
    let Some((names, length)) = arguments.split_once(')') else {
        cx.refuse(at, unknown());
        return None;
    };
    let max_len = match length.strip_prefix(':') {
        Some(digits) => match digits.parse::<usize>() {
            Ok(len) => Some(len),
            Err(_) => {
                cx.refuse(at, unknown());
                return None;
            }
        },
        None if length.is_empty() => None,
        None => {
            cx.refuse(at, unknown());
            return None;
        }
    };
    if kind == "DYNAMIC_METADATA" && max_len.is_none() {
        let mut steps = names.split(':').map(text);
        let filter = steps.next().unwrap_or_default();
        return Some(Variable::DynamicMetadata { filter, path: steps.collect() });
    }
    let (first, second) = names.split_once('?').map_or((names, None), |(a, b)| (a, Some(b)));
    let name = header_key(cx, at, first)?;
    let alternative = match second {
        Some(second) => Some(header_key(cx, at, second)?),
        None => None,
    };
    match kind {
        "REQ" => Some(Variable::RequestHeader { name, alternative, max_len }),
        "RESP" => Some(Variable::ResponseHeader { name, alternative, max_len }),
        _ => {
            cx.refuse(at, unknown());
            None
        }
    }
}
