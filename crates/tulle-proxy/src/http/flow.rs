//! A body on its way from one side to the other.

use std::task::{Context, Poll, ready};

use super::side::{Piece, ReadFault, Side};

/// A body on its way from one side to the other.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// The end has been passed on.
    pub(crate) done: bool,
    /// Bytes of body so far, without framing.
    pub(crate) bytes: u64,
    /// Counts gRPC messages, where that is asked for.
    pub(crate) messages: Option<Messages>,
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
    fn feed(&mut self, mut data: &[u8]) {
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
    /// Moves what can be moved. Ready when the end has been passed on; otherwise one side waits. `copy` sees every byte.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Side,
        to: &mut Side,
        mut copy: impl FnMut(&[u8]),
    ) -> Poll<Result<(), FlowFault>> {
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
}
