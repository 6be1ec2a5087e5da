//! Counters against peers that make work for nothing. Without a clock: they compare what is asked for with what is used.

use super::error::{ConnError, ErrorCode};

/// Most answers to control frames (SETTINGS, PING, RST_STREAM) that may wait to be written (Envoy:
/// `max_outbound_control_frames`).
const MOST_WAITING: u32 = 1000;
/// Most frames in a row that carry nothing: empty DATA, PRIORITY, unknown types, heads on streams that are over.
const MOST_EMPTY: u32 = 1000;
/// Streams over which resets are weighed, and how many resets among them are too many.
const WINDOW: u32 = 512;
const MOST_RESETS: u32 = 200;
/// Most CONTINUATION frames for one head.
const MOST_CONTINUATIONS: u32 = 64;

#[derive(Debug, Default)]
pub(super) struct Guard {
    waiting: u32,
    /// Where in the output, counted from its beginning, the first of these answers stands.
    first_waiting: u64,
    empty: u32,
    streams: u32,
    resets: u32,
    continuations: u32,
}

impl Guard {
    /// An answer is put into the output: behind `waits` bytes that are not written yet, `written` are.
    pub(super) fn answer(&mut self, written: u64, waits: usize) -> Result<(), ConnError> {
        if written > self.first_waiting || self.waiting == 0 {
            self.waiting = 0;
            self.first_waiting = written + waits as u64;
        }
        self.waiting += 1;
        if self.waiting > MOST_WAITING {
            Err(calm("control frames without reading the answers"))
        } else {
            Ok(())
        }
    }

    /// A frame that carries nothing.
    pub(super) fn empty(&mut self) -> Result<(), ConnError> {
        self.empty += 1;
        if self.empty > MOST_EMPTY { Err(calm("frames that carry nothing")) } else { Ok(()) }
    }

    /// A frame that carries something.
    pub(super) fn useful(&mut self) {
        self.empty = 0;
    }

    /// A stream was opened by the peer.
    pub(super) fn stream(&mut self) {
        self.streams += 1;
        if self.streams >= WINDOW {
            self.streams /= 2;
            self.resets /= 2;
        }
    }

    /// A stream ended early: reset by the peer before it had its answer, or by us for an error of the peer's.
    pub(super) fn reset(&mut self) -> Result<(), ConnError> {
        self.resets += 1;
        if self.resets > MOST_RESETS && self.resets * 2 > self.streams {
            return Err(calm("most streams end in resets"));
        }
        Ok(())
    }

    /// A head began.
    pub(super) fn head(&mut self) {
        self.continuations = 0;
    }

    pub(super) fn continuation(&mut self) -> Result<(), ConnError> {
        self.continuations += 1;
        if self.continuations > MOST_CONTINUATIONS { Err(calm("endless CONTINUATION")) } else { Ok(()) }
    }
}

pub(super) fn calm(what: &'static str) -> ConnError {
    ConnError::new(ErrorCode::ENHANCE_YOUR_CALM, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_written_do_not_count_even_if_the_output_never_runs_empty() {
        let mut guard = Guard::default();
        for turn in 0..100_000u64 {
            assert_eq!(guard.answer(turn * 10, 500), Ok(()));
        }
        let mut guard = Guard::default();
        let stuck = (0..5000).find(|at| guard.answer(77, at * 17).is_err());
        assert_eq!(stuck, Some(MOST_WAITING as usize));
    }

    #[test]
    fn rapid_resets_end_the_connection_and_occasional_ones_do_not() {
        let mut guard = Guard::default();
        let burst = (0..1000).find(|_| {
            guard.stream();
            guard.reset().is_err()
        });
        assert_eq!(burst, Some(200));
        let mut guard = Guard::default();
        for at in 0..100_000 {
            guard.stream();
            if at % 4 == 0 {
                assert_eq!(guard.reset(), Ok(()));
            }
        }
    }
}
