//! A body on its way from one side to the other.

use std::task::{Context, Poll, ready};

use tulle_http::HeaderList;

use super::{
    codec::Work,
    side::{Piece, ReadFault, Side},
};

/// A body on its way from one side to the other.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// The end has been passed on.
    pub(crate) done: bool,
    /// Bytes of body so far, without framing.
    pub(crate) bytes: u64,
    /// Counts gRPC messages, where that is asked for.
    pub(crate) messages: Option<Messages>,
    /// What filters do with the body, where they do something.
    pub(crate) work: Option<Box<Work>>,
    /// Bytes that came out of that work.
    pub(crate) worked: u64,
}

/// Counts length-prefixed gRPC messages in a body ("gRPC over HTTP2", Length-Prefixed-Message).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Messages {
    /// Messages that have begun.
    pub(crate) count: u64,
    /// Bytes of the present message still to come.
    left: u64,
    head: [u8; 5],
    have: usize,
}

impl Messages {
    /// Counts what begins in `data`, the next piece.
    pub(crate) fn feed(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left > 0 {
                let skip = usize::try_from(self.left).unwrap_or(usize::MAX).min(data.len());
                self.left -= skip as u64;
                data = &data[skip..];
                continue;
            }
            self.head[self.have] = data[0];
            self.have += 1;
            data = &data[1..];
            if self.have == self.head.len() {
                let [_, a, b, c, d] = self.head;
                self.left = u64::from(u32::from_be_bytes([a, b, c, d]));
                self.have = 0;
                self.count += 1;
            }
        }
    }
}

/// Which half of a transfer failed.
#[derive(Debug)]
pub(crate) enum FlowFault {
    /// The side that is read.
    Read(ReadFault),
    /// The side that is written.
    Write,
}

impl Flow {
    /// Bytes of body that have been passed on.
    pub(crate) fn passed(&self) -> u64 {
        if self.work.is_some() { self.worked } else { self.bytes }
    }

    /// Whether all of it has been read, though it is kept back to go slowly.
    pub(crate) fn is_kept_back(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.pace.is_some() && work.has_ended())
    }

    /// Moves what can be moved. Ready when the end has been passed on; otherwise one side waits. `copy` sees every byte.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Side,
        to: &mut Side,
        mut copy: impl FnMut(&[u8]),
    ) -> Poll<Result<(), FlowFault>> {
        if self.work.is_some() {
            return self.poll_work(cx, from, to, copy);
        }
        while !self.done {
            let room = ready!(to.poll_room(cx)).map_err(|_| FlowFault::Write)?;
            match ready!(from.poll_piece(cx)).map_err(FlowFault::Read)? {
                Piece::Data => {
                    let data = from.data();
                    let data = &data[..data.len().min(room)];
                    copy(data);
                    if let Some(messages) = &mut self.messages {
                        messages.feed(data);
                    }
                    to.write_data(data).map_err(|_| FlowFault::Write)?;
                    let count = data.len();
                    from.consume(count);
                    self.bytes += count as u64;
                }
                Piece::End => {
                    to.write_end(from.trailers()).map_err(|_| FlowFault::Write)?;
                    self.done = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The same through the codecs of the filters.
    fn poll_work(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Side,
        to: &mut Side,
        mut copy: impl FnMut(&[u8]),
    ) -> Poll<Result<(), FlowFault>> {
        while !self.done {
            let Some(work) = &mut self.work else { return Poll::Ready(Ok(())) };
            let blocked = if work.waiting().is_empty() {
                false
            } else {
                match pass(cx, work, to, &mut copy) {
                    Poll::Ready(passed) => {
                        self.worked += passed? as u64;
                        continue;
                    }
                    Poll::Pending => true,
                }
            };
            if blocked && !work.reads_ahead() {
                return Poll::Pending;
            }
            if work.has_ended() {
                let none = HeaderList::new();
                let trailers = if work.takes_trailers() { &none } else { from.trailers() };
                to.write_end(trailers).map_err(|_| FlowFault::Write)?;
                self.done = true;
            } else {
                match ready!(from.poll_piece(cx)).map_err(FlowFault::Read)? {
                    Piece::Data => {
                        let data = from.data();
                        let count = work.feed(data).map_err(FlowFault::Read)?;
                        if let Some(messages) = &mut self.messages {
                            messages.feed(&data[..count]);
                        }
                        from.consume(count);
                        self.bytes += count as u64;
                    }
                    Piece::End => work.end(from.trailers()).map_err(FlowFault::Read)?,
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Passes on what has come out of the work, as much as there is room for and as its pace lets go: how many bytes.
fn pass(
    cx: &mut Context<'_>,
    work: &mut Work,
    to: &mut Side,
    copy: &mut impl FnMut(&[u8]),
) -> Poll<Result<usize, FlowFault>> {
    let room = ready!(to.poll_room(cx)).map_err(|_| FlowFault::Write)?;
    let mut count = work.waiting().len().min(room);
    if let Some(pace) = &mut work.pace {
        count = ready!(pace.poll_take(cx, count));
    }
    let data = &work.waiting()[..count];
    copy(data);
    to.write_data(data).map_err(|_| FlowFault::Write)?;
    work.take(count);
    Poll::Ready(Ok(count))
}
