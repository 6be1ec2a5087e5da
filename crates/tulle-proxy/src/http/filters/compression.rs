//! `envoy.filters.http.compressor` and `envoy.filters.http.decompressor`.

use tulle_engine::{
    decide::compression::{self, Body},
    runtime::{
        compression::{Compressor, Decompressor},
        filter::FilterOverride,
    },
};
use tulle_http::{Known, Method};

use crate::http::{exchange::Exchange, reply::Reply, side::Length};

/// Remembers what the client takes, and compresses the request where that is asked for.
pub(super) fn compress_request(
    x: &mut Exchange<'_>,
    number: usize,
    filter: &Compressor,
    change: Option<&FilterOverride>,
) -> Option<Reply> {
    let remove = match change {
        Some(FilterOverride::Compressor(change)) => change.remove_accept_encoding,
        _ => None,
    };
    let headers = &mut x.s.request.headers;
    if compression::accepts_gzip(headers.get(Known::AcceptEncoding), filter.options.choose_first) {
        x.left.accepts.push(number);
    }
    let enabled = filter.response.enabled || matches!(change, Some(FilterOverride::Compressor(_)));
    if enabled && remove.unwrap_or(filter.options.remove_accept_encoding) {
        headers.remove(Known::AcceptEncoding);
    }
    let body = Body { is_empty: x.flow.done && x.held.is_none(), length: known(x.incoming.length) };
    if compression::compress_request(filter, headers, body) {
        return x.work_on_request(|work| work.compress(filter.level));
    }
    None
}

/// Compresses the response, if the client takes that.
pub(super) fn compress_response(
    x: &mut Exchange<'_>,
    number: usize,
    filter: &Compressor,
    change: Option<&FilterOverride>,
    length: Length,
) {
    let body = Body { is_empty: is_empty(x, length), length: said(x).or(known(length)) };
    let accepts = x.left.accepts.contains(&number);
    let (level, turned_on) = match change {
        Some(FilterOverride::Compressor(change)) => (change.level.unwrap_or(filter.level), true),
        _ => (filter.level, false),
    };
    let compresses = if turned_on && !filter.response.enabled {
        let mut on = filter.clone();
        on.response.enabled = true;
        compression::compress_response(&on, &mut x.s.response, body, accepts)
    } else {
        compression::compress_response(filter, &mut x.s.response, body, accepts)
    };
    if compresses {
        x.back.work.get_or_insert_default().compress(level);
    }
}

/// Decompresses the request, and tells upstreams that they may compress.
pub(super) fn decompress_request(x: &mut Exchange<'_>, filter: &Decompressor) -> Option<Reply> {
    compression::advertise(filter, &mut x.s.request.headers);
    let is_empty = x.flow.done && x.held.is_none();
    if compression::decompress(filter.request, &mut x.s.request.headers, is_empty) {
        return x.work_on_request(|work| work.decompress(filter.max_ratio));
    }
    None
}

/// Decompresses the response.
pub(super) fn decompress_response(x: &mut Exchange<'_>, filter: &Decompressor, length: Length) {
    let is_empty = is_empty(x, length);
    if compression::decompress(filter.response, &mut x.s.response.headers, is_empty) {
        x.back.work.get_or_insert_default().decompress(filter.max_ratio);
    }
}

fn known(length: Length) -> Option<u64> {
    match length {
        Length::Known(length) if length > 0 => Some(length),
        Length::Known(_) | Length::None | Length::Unknown => None,
    }
}

/// The length that the response's head says, even where no body follows.
fn said(x: &Exchange<'_>) -> Option<u64> {
    x.s.response.headers.get_str(Known::ContentLength)?.parse().ok()
}

/// Whether no body follows the head of the response.
fn is_empty(x: &Exchange<'_>, length: Length) -> bool {
    length.is_empty() || x.s.request.method == Method::Head || matches!(x.s.response.status, 204 | 304)
}
