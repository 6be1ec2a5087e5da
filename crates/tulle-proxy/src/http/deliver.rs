//! The body of a response on its way to the client.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use super::{
    attempt::{ClientFault, Clocks, Late, UpstreamFault},
    flow::{Flow, FlowFault},
    side::{ReadFault, Side, WriteFault},
};

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryEnd {
    /// All of it is with the kernel.
    Complete,
    /// The upstream broke off.
    Upstream(UpstreamFault),
    /// The client went away.
    Client(ClientFault),
    /// Time ran out.
    Late(Late),
}

/// What an upstream has not got yet of the part of a request's body that had been read before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest<'a> {
    /// The bytes.
    pub(crate) bytes: &'a [u8],
    /// Whether the end has been written too.
    pub(crate) ended: bool,
}

/// A response under way; its head has been written to the client.
pub(crate) struct Delivery<'a> {
    /// The client.
    pub(crate) down: &'a mut Side,
    /// The upstream.
    pub(crate) up: &'a mut Side,
    /// What is to be written upstream before what still comes of the request.
    pub(crate) rest: Rest<'a>,
    /// The request's body, which may still be coming.
    pub(crate) request: &'a mut Flow,
    /// The response's body.
    pub(crate) response: &'a mut Flow,
    /// The clocks.
    pub(crate) clocks: &'a mut Clocks,
    /// Whether it is a tunnel, whose client may end its direction long before the other one ends.
    pub(crate) tunnel: bool,
}

impl Delivery<'_> {
    /// Moves both bodies until the response is complete.
    pub(crate) async fn run(&mut self) -> DeliveryEnd {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<DeliveryEnd> {
        let before = (self.request.bytes, self.response.bytes, self.response.passed());
        if let Poll::Ready(Err(fault)) = self.response.poll(cx, self.up, self.down, |_| {}) {
            // What came so far is the client's all the same.
            let _ = self.down.poll_flush(cx);
            return Poll::Ready(response_fault(&fault));
        }
        match self.down.poll_flush(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(DeliveryEnd::Client(ClientFault::Gone)),
            Poll::Ready(Ok(())) if self.response.done => return Poll::Ready(DeliveryEnd::Complete),
            _ => {}
        }
        if !self.rest.bytes.is_empty() || (self.request.done && !self.rest.ended) {
            // An upstream that stops reading may still be answering.
            let _ = self.poll_rest(cx);
        }
        if self.request.done {
            let half_closed = self.tunnel && matches!(self.down, Side::H1(_));
            if !half_closed && self.down.poll_gone(cx).is_ready() {
                return Poll::Ready(DeliveryEnd::Client(ClientFault::Gone));
            }
        } else if self.rest.bytes.is_empty() {
            match self.request.poll(cx, self.down, self.up, |_| {}) {
                Poll::Ready(Ok(())) => self.rest.ended = true,
                Poll::Ready(Err(FlowFault::Read(_))) => {
                    return Poll::Ready(DeliveryEnd::Client(ClientFault::Gone));
                }
                Poll::Ready(Err(FlowFault::Write)) | Poll::Pending => {}
            }
        }
        if !self.request.done && self.down.poll_lost(cx).is_ready() {
            return Poll::Ready(DeliveryEnd::Client(ClientFault::Gone));
        }
        // An upstream that no longer reads may still be answering.
        let _ = self.up.poll_flush(cx);
        if before != (self.request.bytes, self.response.bytes, self.response.passed()) {
            self.clocks.moved();
        }
        if self.response.is_kept_back() {
            // The upstream has done its part.
            self.clocks.route.clear();
            self.clocks.try_idle.clear();
        }
        self.clocks.poll(cx).map(DeliveryEnd::Late)
    }
}

impl Delivery<'_> {
    /// Writes what was read before, and the end of the body where nothing else comes.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteFault>> {
        while !self.rest.bytes.is_empty() {
            let room = ready!(self.up.poll_room(cx))?;
            let (now, later) = self.rest.bytes.split_at(self.rest.bytes.len().min(room));
            self.up.write_data(now)?;
            self.rest.bytes = later;
            self.clocks.moved();
        }
        if self.request.done {
            self.rest.ended = true;
            self.up.write_end(self.down.trailers())?;
        }
        Poll::Ready(Ok(()))
    }
}

fn response_fault(fault: &FlowFault) -> DeliveryEnd {
    match fault {
        FlowFault::Write => DeliveryEnd::Client(ClientFault::Gone),
        FlowFault::Read(ReadFault::Malformed(_) | ReadFault::Encoding(_)) => {
            DeliveryEnd::Upstream(UpstreamFault::Malformed)
        }
        FlowFault::Read(ReadFault::Lost(lost)) => DeliveryEnd::Upstream((*lost).into()),
        FlowFault::Read(ReadFault::Io(_)) => DeliveryEnd::Upstream(UpstreamFault::Closed),
    }
}
