//! Work on bodies on their way: compression, decompression and gRPC-Web, and slowing them down.
//!
//! A [`Flow`](super::flow::Flow) without work does not know of it. With work, every piece goes through all codecs, and what comes out
//! waits here until the other side has room.

use std::io::{self, Write as _};

use flate2::{
    Compression,
    write::{GzDecoder, GzEncoder},
};

use tulle_http::HeaderList;

use super::{
    grpc_web::{Unbase64, WebBody},
    pace::Pace,
    side::ReadFault,
};

/// How much is fed at once, so that what comes out of it stays small: deflate makes at most 1,032 times as much.
const PIECE: usize = 4096;

/// How much of a body that is slowed down is read before it may go.
const AHEAD: usize = 64 * 1024;

/// The codecs of one direction, in the order in which a body goes through them.
#[derive(Debug, Default)]
pub(crate) struct Work {
    codecs: Vec<Codec>,
    /// How fast what has come out goes on.
    pub(crate) pace: Option<Pace>,
    /// What has come out and waits.
    out: Vec<u8>,
    /// How much of `out` has been taken already.
    taken: usize,
    /// The end of the body has gone through.
    ended: bool,
}

/// One codec.
#[derive(Debug)]
enum Codec {
    Compress(GzEncoder<Vec<u8>>),
    Decompress(Inflate),
    Unbase64(Unbase64),
    Web(WebBody),
}

#[derive(Debug)]
struct Inflate {
    decoder: GzDecoder<Vec<u8>>,
    max_ratio: u64,
    read: u64,
    made: u64,
}

impl Work {
    /// Compresses what comes out so far.
    pub(crate) fn compress(&mut self, level: u32) {
        self.codecs.push(Codec::Compress(GzEncoder::new(Vec::new(), Compression::new(level))));
    }

    /// Decompresses what comes out so far; what would become more than `max_ratio` times as long is broken off.
    pub(crate) fn decompress(&mut self, max_ratio: u32) {
        let decoder = GzDecoder::new(Vec::new());
        self.codecs.push(Codec::Decompress(Inflate {
            decoder,
            max_ratio: max_ratio.into(),
            read: 0,
            made: 0,
        }));
    }

    /// Reads what comes out so far as base64.
    pub(crate) fn unbase64(&mut self) {
        self.codecs.push(Codec::Unbase64(Unbase64::default()));
    }

    /// Makes a body of gRPC-Web, in base64 if `text`: the trailers become a part of it.
    pub(crate) fn web(&mut self, text: bool) {
        self.codecs.push(Codec::Web(WebBody::new(text)));
    }

    /// Whether what comes out is something else than what goes in.
    pub(crate) fn changes(&self) -> bool {
        !self.codecs.is_empty()
    }

    /// Whether more is read while what has come out waits.
    pub(crate) fn reads_ahead(&self) -> bool {
        self.pace.is_some() && !self.ended && self.waiting().len() < AHEAD
    }

    /// Whether the trailers are in the body already.
    pub(crate) fn takes_trailers(&self) -> bool {
        self.codecs.iter().any(|codec| matches!(codec, Codec::Web(_)))
    }

    /// What waits to be written.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.out[self.taken..]
    }

    /// Takes the first `count` bytes of what waits.
    pub(crate) fn take(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.out.len() {
            self.out.clear();
            self.taken = 0;
        } else if self.taken > AHEAD {
            // What waits is never all gone where more is read ahead.
            self.out.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Puts back what has come out already, in front of what waits.
    pub(crate) fn put_back(&mut self, mut data: Vec<u8>) {
        data.extend_from_slice(self.waiting());
        self.out = data;
        self.taken = 0;
    }

    /// Whether the end of the body has gone through.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Puts the beginning of `data` through. Returns how much of it; what is left is put in when nothing waits any more.
    pub(crate) fn feed(&mut self, data: &[u8]) -> Result<usize, ReadFault> {
        let piece = &data[..data.len().min(PIECE)];
        let last = piece.len() == data.len();
        self.run(piece, if last { Push::Flush } else { Push::More })?;
        Ok(piece.len())
    }

    /// Puts the end of the body through, behind which these trailers come.
    pub(crate) fn end(&mut self, trailers: &HeaderList) -> Result<(), ReadFault> {
        self.ended = true;
        self.run(&[], Push::End(trailers))
    }

    /// Puts a whole body through.
    pub(crate) fn whole(mut self, body: &[u8]) -> Result<Vec<u8>, ReadFault> {
        for piece in body.chunks(PIECE) {
            self.run(piece, Push::More)?;
        }
        self.end(&HeaderList::new())?;
        Ok(self.out)
    }

    fn run(&mut self, data: &[u8], push: Push<'_>) -> Result<(), ReadFault> {
        let Some((first, rest)) = self.codecs.split_first_mut() else {
            self.out.extend_from_slice(data);
            return Ok(());
        };
        let mut made = first.run(data, push)?;
        for codec in rest {
            made = codec.run(&made, push)?;
        }
        if self.out.is_empty() {
            self.out = made;
        } else {
            self.out.extend_from_slice(&made);
        }
        Ok(())
    }
}

/// What follows a piece.
#[derive(Clone, Copy)]
enum Push<'a> {
    /// More, at once.
    More,
    /// Perhaps nothing for a long time: what is there must come out.
    Flush,
    /// Nothing but these trailers.
    End(&'a HeaderList),
}

impl Codec {
    fn run(&mut self, data: &[u8], push: Push<'_>) -> Result<Vec<u8>, ReadFault> {
        match self {
            Self::Compress(encoder) => {
                encoder.write_all(data)?;
                match push {
                    Push::More => {}
                    Push::Flush => encoder.flush()?,
                    Push::End(_) => encoder.try_finish()?,
                }
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Decompress(inflate) => inflate.run(data, push).map_err(ReadFault::Encoding),
            Self::Unbase64(decoder) => {
                let out = decoder.feed(data).map_err(ReadFault::Encoding)?;
                if matches!(push, Push::End(_)) {
                    decoder.end().map_err(ReadFault::Encoding)?;
                }
                Ok(out)
            }
            Self::Web(body) => {
                let mut out = body.feed(data);
                if let Push::End(trailers) = push {
                    out.append(&mut body.end(trailers));
                }
                Ok(out)
            }
        }
    }
}

impl Inflate {
    fn run(&mut self, data: &[u8], push: Push<'_>) -> io::Result<Vec<u8>> {
        self.read += data.len() as u64;
        let mut made = Vec::new();
        for piece in data.chunks(PIECE) {
            self.decoder.write_all(piece)?;
            made.append(self.decoder.get_mut());
            self.check(made.len())?;
        }
        match push {
            // A body without a byte is no stream, but nothing is lost with it.
            Push::End(_) if self.read == 0 => {}
            Push::End(_) => self.decoder.try_finish()?,
            Push::More | Push::Flush => self.decoder.flush()?,
        }
        made.append(self.decoder.get_mut());
        self.check(made.len())?;
        self.made += made.len() as u64;
        Ok(made)
    }

    fn check(&self, more: usize) -> io::Result<()> {
        if self.made + more as u64 > self.read.saturating_mul(self.max_ratio) {
            return Err(io::Error::other("the body becomes too long"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(make: impl FnOnce(&mut Work)) -> Work {
        let mut work = Work::default();
        make(&mut work);
        work
    }

    /// Random text of words, reproducible.
    fn text(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        let words = ["mesh ", "proxy ", "route ", "\n"];
        let mut out = Vec::new();
        while out.len() < length {
            out.extend_from_slice(random.choice(words).unwrap_or_default().as_bytes());
        }
        out.truncate(length);
        out
    }

    #[test]
    fn what_is_compressed_is_decompressed_again_in_pieces_of_any_size() {
        let body = text(100_000);
        let packed = with(|w| w.compress(6)).whole(&body).unwrap();
        assert!(packed.len() < body.len() / 3);
        for size in [1, 7, 1000, 5000, 1_000_000] {
            let mut work = with(|w| w.decompress(100));
            let mut made = Vec::new();
            for mut piece in packed.chunks(size) {
                while !piece.is_empty() {
                    let count = work.feed(piece).unwrap();
                    piece = &piece[count..];
                    made.extend_from_slice(work.waiting());
                    work.take(work.waiting().len());
                }
            }
            work.end(&HeaderList::new()).unwrap();
            made.extend_from_slice(work.waiting());
            assert!(made == body, "pieces of {size}");
        }
    }

    #[test]
    fn a_piece_comes_out_before_the_next_one_goes_in() {
        let mut pack = with(|w| w.compress(9));
        let mut unpack = with(|w| w.decompress(100));
        for piece in ["one event", "another event"] {
            pack.feed(piece.as_bytes()).unwrap();
            let wire = pack.waiting().to_vec();
            pack.take(wire.len());
            unpack.feed(&wire).unwrap();
            assert_eq!(unpack.waiting(), piece.as_bytes());
            unpack.take(piece.len());
        }
    }

    #[test]
    fn codecs_follow_each_other() {
        let body = text(10_000);
        let packed = with(|w| w.compress(1)).whole(&body).unwrap();
        let again = with(|w| {
            w.decompress(100);
            w.compress(9);
        });
        let repacked = again.whole(&packed).unwrap();
        assert!(with(|w| w.decompress(1000)).whole(&repacked).unwrap() == body);
    }

    #[test]
    fn bombs_garbage_and_torn_streams_are_broken_off() {
        let bomb = with(|w| w.compress(9)).whole(&vec![0; 10_000_000]).unwrap();
        assert!(bomb.len() < 20_000);
        let mut work = with(|w| w.decompress(100));
        assert!(work.feed(&bomb).is_err());
        assert!(work.out.len() < 10_000_000, "not all of it is made first");
        assert!(with(|w| w.decompress(1032)).whole(&bomb).is_ok_and(|body| body.len() == 10_000_000));
        assert!(with(|w| w.decompress(100)).whole(b"garbage garbage").is_err());
        let packed = with(|w| w.compress(6)).whole(&text(1000)).unwrap();
        assert!(with(|w| w.decompress(100)).whole(&packed[..packed.len() - 4]).is_err());
        assert!(with(|w| w.decompress(100)).whole(b"").is_ok_and(|body| body.is_empty()));
    }
}
