//! Bodies as they come (RFC 9112 sections 6 and 7).

use super::error::BodyError;
use super::fields::{self, From};
use super::framing::BodyLength;
use crate::headers::forbidden_in_trailers;
use crate::{HeaderList, Limits};
use bytes::{Buf, Bytes, BytesMut};

/// Takes a body out of a read buffer.
///
/// [`BodyDecoder::decode`] hands out views of a [`BytesMut`]; [`BodyDecoder::step`] works on a slice, for callers that
/// copy small bodies.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Bytes of chunk extensions so far.
    extensions: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of body are to come.
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
}

/// What the front of the input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// So many bytes of framing come first; drop them.
    pub skip: usize,
    /// Then so many bytes of body; use them and drop them before the next step.
    pub data: usize,
    /// The body is complete behind these bytes. `data` may be set as well.
    pub end: bool,
}

/// What [`BodyDecoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// Nothing until more bytes have been read.
    NeedMore,
    /// A piece of the body, not empty.
    Data(Bytes),
    /// The body is complete; trailers are in the list.
    End,
}

/// Most bytes in one line of chunk size and extensions.
const MAX_CHUNK_LINE: usize = 1024;
/// Most bytes of chunk extensions in one body.
const MAX_EXTENSIONS: usize = 16 * 1024;

impl BodyDecoder {
    /// Largest chunk that is believed: 1 TiB.
    pub const MAX_CHUNK: u64 = 1 << 40;

    /// A decoder for a body framed so.
    #[must_use]
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Length(0) => State::Done,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::ChunkSize,
            BodyLength::UntilClose => State::UntilClose,
        };
        Self { state, extensions: 0 }
    }

    /// The whole body has been taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The next piece of the body, taken from the front of `input` without copying. Trailers are added to `trailers`
    /// when the end comes; those that must not be trailers (RFC 9110 section 6.5.1) are dropped.
    ///
    /// # Errors
    /// [`BodyError`]; the message cannot be read on.
    pub fn decode(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        trailers: &mut HeaderList,
    ) -> Result<BodyEvent, BodyError> {
        if self.state == State::Done {
            return Ok(BodyEvent::End);
        }
        let step = self.step(input, limits, trailers)?;
        input.advance(step.skip);
        Ok(if step.data > 0 {
            BodyEvent::Data(input.split_to(step.data).freeze())
        } else if step.end {
            BodyEvent::End
        } else {
            BodyEvent::NeedMore
        })
    }

    /// Looks at the front of `input`. The decoder's state moves on as if the bytes of the step were gone: drop them
    /// before the next call. A step without data and without end needs more input.
    ///
    /// # Errors
    /// [`BodyError`]; the message cannot be read on.
    pub fn step(
        &mut self,
        input: &[u8],
        limits: &Limits,
        trailers: &mut HeaderList,
    ) -> Result<Step, BodyError> {
        let mut skip = 0;
        loop {
            let rest = &input[skip..];
            match self.state {
                State::Done => return Ok(Step { skip, data: 0, end: true }),
                State::UntilClose => return Ok(Step { skip, data: rest.len(), end: false }),
                State::Length(left) => {
                    let data = clamp(left, rest.len());
                    let left = left - data as u64;
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(Step { skip, data, end: left == 0 });
                }
                State::ChunkData(left) => {
                    let data = clamp(left, rest.len());
                    let left = left - data as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                    if data > 0 || left > 0 {
                        return Ok(Step { skip, data, end: false });
                    }
                }
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        skip += 2;
                        self.state = State::ChunkSize;
                    }
                    [] | [b'\r'] => return Ok(Step { skip, data: 0, end: false }),
                    _ => return Err(BodyError::ChunkEnd),
                },
                State::ChunkSize => match self.chunk_line(rest)? {
                    Some((len, 0)) => {
                        skip += len;
                        self.state = State::Trailers;
                    }
                    Some((len, size)) => {
                        skip += len;
                        self.state = State::ChunkData(size);
                    }
                    None => return Ok(Step { skip, data: 0, end: false }),
                },
                State::Trailers => match parse_trailers(rest, limits, trailers)? {
                    Some(len) => {
                        self.state = State::Done;
                        return Ok(Step { skip: skip + len, data: 0, end: true });
                    }
                    None => return Ok(Step { skip, data: 0, end: false }),
                },
            }
        }
    }

    /// The connection was closed by the sender.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] unless the body was complete or ends this way.
    pub fn on_eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }

    /// A line of chunk size and extensions: its length with CR LF, and the size.
    fn chunk_line(&mut self, input: &[u8]) -> Result<Option<(usize, u64)>, BodyError> {
        let mut size = 0u64;
        let mut digits = 0;
        for byte in input {
            let Some(digit) = (*byte as char).to_digit(16) else { break };
            size = size << 4 | u64::from(digit);
            digits += 1;
            if digits > 16 || size > Self::MAX_CHUNK {
                return Err(BodyError::ChunkSize);
            }
        }
        let rest = &input[digits..];
        match rest {
            _ if digits == 0 && !input.is_empty() => Err(BodyError::ChunkSize),
            [b'\r', b'\n', ..] => Ok(Some((digits + 2, size))),
            [] | [b'\r'] => Ok(None),
            [b';' | b' ' | b'\t', ..] => Ok(self.extension(rest)?.map(|len| (digits + len, size))),
            _ => Err(BodyError::ChunkSize),
        }
    }

    /// Chunk extensions are read over and dropped (RFC 9112 section 7.1.1): their length with CR LF.
    fn extension(&mut self, input: &[u8]) -> Result<Option<usize>, BodyError> {
        let bad = BodyError::ChunkExtension;
        let Some(end) = memchr::memchr2(b'\r', b'\n', input) else {
            let ok = input.len() <= MAX_CHUNK_LINE && crate::headers::is_value(input);
            return if ok { Ok(None) } else { Err(bad) };
        };
        let text = &input[..end];
        let semicolon = text.trim_ascii_start().first() == Some(&b';');
        if end > MAX_CHUNK_LINE || !semicolon || !crate::headers::is_value(text) || input[end] != b'\r' {
            return Err(bad);
        }
        match input.get(end + 1) {
            None => return Ok(None),
            Some(b'\n') => {}
            Some(_) => return Err(bad),
        }
        self.extensions += end;
        if self.extensions > MAX_EXTENSIONS {
            return Err(bad);
        }
        Ok(Some(end + 2))
    }
}

fn clamp(left: u64, available: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(available)
}

fn parse_trailers(
    input: &[u8],
    limits: &Limits,
    trailers: &mut HeaderList,
) -> Result<Option<usize>, BodyError> {
    if input.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let Some(end) = fields::find_end(input) else {
        if input.len() >= limits.head_bytes {
            return Err(BodyError::TrailersTooLarge);
        }
        fields::check_line_ends(input)?;
        return Ok(None);
    };
    if end > limits.head_bytes {
        return Err(BodyError::TrailersTooLarge);
    }
    fields::parse(&input[..end - 2], trailers, limits.headers, From::Client)?;
    trailers.retain(|field| !field.known.is_some_and(forbidden_in_trailers));
    Ok(Some(end))
}
