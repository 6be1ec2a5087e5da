//! `envoy.filters.http.buffer`.

use std::{future::poll_fn, task::Poll};

use tulle_http::HeaderList;
use tulle_telemetry::details as d;

use crate::http::{
    attempt::{ClientFault, Late, client_fault},
    exchange::Exchange,
    flow::Flow,
    forward,
    reply::Reply,
    side::{Piece, ReadFault},
};

/// How the waiting ended.
enum End {
    Complete,
    /// The limit is passed, and the rest may follow.
    More,
    Broken(ReadFault),
    Late(Late),
}

/// Holds the request until it is complete. It goes on with a length, and with its body at hand for any number of tries.
pub(super) async fn hold(x: &mut Exchange<'_>, limit: u32) -> Option<Reply> {
    gather(x, limit, false).await.err()
}

/// The same; with `partial`, a body that is longer is not refused: its beginning comes back, and it goes on as it comes.
pub(super) async fn gather(
    x: &mut Exchange<'_>,
    limit: u32,
    partial: bool,
) -> Result<Option<Vec<u8>>, Reply> {
    let limit = limit as usize;
    if let Some(held) = x.held.as_ref().filter(|held| held.len() > limit) {
        return if partial { Ok(Some(held[..limit].to_vec())) } else { Err(too_large(x)) };
    }
    if x.flow.done {
        return Ok(None);
    }
    x.let_body_come();
    let mut body = Vec::new();
    match read(x, &mut body, limit).await {
        End::Complete => {}
        End::More if partial => {
            let beginning = body[..limit].to_vec();
            x.flow.work.get_or_insert_default().put_back(body);
            return Ok(Some(beginning));
        }
        End::More => return Err(too_large(x)),
        End::Broken(fault) => {
            return Err(match client_fault(&fault) {
                ClientFault::Malformed => x.malformed(),
                ClientFault::Encoding => x.undecodable(),
                ClientFault::Gone => {
                    forward::client_gone(x);
                    Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT)
                }
            });
        }
        End::Late(Late::Idle) => return Err(forward::idle(x)),
        End::Late(_) => return Err(forward::too_slow(x)),
    }
    x.flow.done = true;
    x.flow.work = None;
    x.s.clocks.request.clear();
    x.hold(body);
    Ok(None)
}

fn too_large(x: &Exchange<'_>) -> Reply {
    x.manager.stats.downstream_rq_too_large.inc();
    Reply::new(413, "Payload Too Large", d::REQUEST_PAYLOAD_TOO_LARGE).closing()
}

async fn read(x: &mut Exchange<'_>, body: &mut Vec<u8>, limit: usize) -> End {
    let (down, clocks, flow) = (&mut *x.down, &mut x.s.clocks, &mut x.flow);
    poll_fn(|cx| {
        let _ = down.poll_flush(cx);
        loop {
            match down.poll_piece(cx) {
                Poll::Ready(Ok(Piece::End)) => {
                    if let Err(fault) = end(flow, body) {
                        return Poll::Ready(End::Broken(fault));
                    }
                    return Poll::Ready(if body.len() > limit { End::More } else { End::Complete });
                }
                Poll::Ready(Ok(Piece::Data)) => {
                    let count = match put(flow, down.data(), body) {
                        Ok(count) => count,
                        Err(fault) => return Poll::Ready(End::Broken(fault)),
                    };
                    flow.bytes += count as u64;
                    down.consume(count);
                    clocks.moved();
                    if body.len() > limit {
                        return Poll::Ready(End::More);
                    }
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(End::Broken(fault)),
                Poll::Pending => return clocks.poll(cx).map(End::Late),
            }
        }
    })
    .await
}

/// Puts a piece of the body to the rest, through the work of the filters before this one. Returns how much of it.
fn put(flow: &mut Flow, data: &[u8], body: &mut Vec<u8>) -> Result<usize, ReadFault> {
    let count = match &mut flow.work {
        None => {
            body.extend_from_slice(data);
            data.len()
        }
        Some(work) => {
            let count = work.feed(data)?;
            body.extend_from_slice(work.waiting());
            work.take(work.waiting().len());
            count
        }
    };
    if let Some(messages) = &mut flow.messages {
        messages.feed(&data[..count]);
    }
    Ok(count)
}

/// Puts what the work of the filters makes of the end.
fn end(flow: &mut Flow, body: &mut Vec<u8>) -> Result<(), ReadFault> {
    if let Some(work) = &mut flow.work {
        work.end(&HeaderList::new())?;
        body.extend_from_slice(work.waiting());
        work.take(work.waiting().len());
    }
    Ok(())
}
