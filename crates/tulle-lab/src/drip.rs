//! A body that comes a byte at a time, as from a service that is slow but not silent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Interval};

/// So many bytes, spread evenly over a time.
#[derive(Debug)]
pub(crate) struct Drip {
    left: u32,
    every: Interval,
}

impl Drip {
    /// `count` bytes over `whole`, the first one after its share of the time.
    pub(crate) fn new(count: u32, whole: Duration) -> Self {
        let each = (whole / count.max(1)).max(Duration::from_micros(1));
        Self { left: count, every: tokio::time::interval_at(Instant::now() + each, each) }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.every.poll_tick(cx));
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"*")))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn as_many_as_announced_come_in_time() {
        let began = Instant::now();
        let drip = Drip::new(5, Duration::from_millis(50));
        assert_eq!(drip.size_hint().exact(), Some(5));
        assert_eq!(drip.collect().await.unwrap().to_bytes(), "*****");
        assert!(began.elapsed() >= Duration::from_millis(50));
    }
}
