//! `envoy.filters.http.grpc_web`: gRPC for browsers, which cannot read trailers.

use std::{future::poll_fn, task::Poll};

use tulle_http::{Known, Method};

use crate::http::{
    exchange::Exchange,
    reply::{Reply, grpc_status_of, percent_encoded},
    side::{Length, Piece, Side},
};

/// The most of a body that becomes a message.
const LONGEST: usize = 16 * 1024;

/// What a client of gRPC-Web wants of its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Web {
    /// It reads base64 only.
    text: bool,
    /// The response is none of gRPC: its body is to become a message.
    plain: bool,
}

/// Makes a gRPC request of one of gRPC-Web.
pub(super) fn request(x: &mut Exchange<'_>) -> Option<Reply> {
    let headers = &mut x.s.request.headers;
    let text = match headers.get(Known::ContentType)? {
        b"application/grpc-web" | b"application/grpc-web+proto" => false,
        b"application/grpc-web-text" | b"application/grpc-web-text+proto" => true,
        _ => return None,
    };
    let accept = headers.get(Known::Accept);
    let reads_text =
        matches!(accept, Some(b"application/grpc-web-text" | b"application/grpc-web-text+proto"));
    x.left.web = Some(Web { text: reads_text, plain: false });
    headers.set(Known::ContentType, b"application/grpc");
    headers.set(Known::Te, b"trailers");
    if headers.get(Known::GrpcAcceptEncoding).is_none_or(<[u8]>::is_empty) {
        headers.set(Known::GrpcAcceptEncoding, b"identity");
    }
    let has_body = !x.flow.done || x.held.is_some();
    let reply = if text && has_body { x.work_on_request(|work| work.unbase64()) } else { None };
    if has_body {
        // gRPC says how long its messages are.
        x.s.request.headers.remove(Known::ContentLength);
        x.incoming.length = Length::Unknown;
    }
    reply
}

/// The answer to a client of gRPC-Web whose base64 is none.
pub(crate) fn undecodable(x: &Exchange<'_>) -> Option<Reply> {
    x.left.web?;
    let text = "Bad gRPC-web request, invalid base64 data.";
    Some(Reply::new(400, text, "grpc_base_64_decode_failed").closing())
}

/// Says in the head of the response that it is one of gRPC-Web.
pub(super) fn respond(x: &mut Exchange<'_>, length: Length) {
    let Some(mut web) = x.left.web else { return };
    let ended = length.is_empty() || x.s.request.method == Method::Head;
    let head = &mut x.s.response;
    let kind = head.headers.get(Known::ContentType).unwrap_or_default();
    let is_grpc = match ended {
        true => head.headers.contains(Known::GrpcStatus),
        false => head.status == 200 && is_type(kind, b"application/grpc"),
    };
    let is_web = head.status == 200 && is_web(kind);
    head.headers.remove(Known::ContentLength);
    let kind: &[u8] =
        if web.text { b"application/grpc-web-text+proto" } else { b"application/grpc-web+proto" };
    head.headers.set(Known::ContentType, kind);
    if ended {
        return;
    }
    web.plain = !is_grpc && !is_web;
    x.left.web = Some(web);
    if !web.plain {
        x.back.work.get_or_insert_default().web(web.text);
    }
}

/// `kind` alone, or with a suffix.
fn is_type(kind: &[u8], wanted: &[u8]) -> bool {
    kind.strip_prefix(wanted).is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}

fn is_web(kind: &[u8]) -> bool {
    let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
    [&b"application/grpc-web"[..], b"application/grpc-web+proto"].iter().any(|k| kind.eq_ignore_ascii_case(k))
}

/// Whether the body of the response is to become a message in its head.
pub(crate) fn becomes_message(x: &Exchange<'_>) -> bool {
    x.left.web.is_some_and(|web| web.plain)
}

/// Puts the body of a response that is none of gRPC into its head.
pub(crate) fn into_message(x: &mut Exchange<'_>, body: &[u8]) {
    let headers = &mut x.s.response.headers;
    headers.set(Known::GrpcMessage, percent_encoded(body).as_bytes());
    headers.set(Known::GrpcStatus, grpc_status_of(x.s.response.status).to_string().as_bytes());
    headers.set(Known::ContentLength, b"0");
}

/// Reads a response that is none of gRPC to its end; the beginning of its body. `None`: it broke off, or took too long.
pub(crate) async fn read(x: &mut Exchange<'_>, up: &mut Side) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let (flow, clocks) = (&mut x.back, &mut x.s.clocks);
    poll_fn(|cx| {
        loop {
            match up.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data)) => {
                    let data = up.data();
                    let count = data.len();
                    body.extend_from_slice(&data[..count.min(LONGEST - body.len())]);
                    up.consume(count);
                    flow.bytes += count as u64;
                    clocks.moved();
                }
                Poll::Ready(Ok(Piece::End)) => return Poll::Ready(Some(())),
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => return clocks.poll(cx).map(|_| None),
            }
        }
    })
    .await?;
    Some(body)
}
