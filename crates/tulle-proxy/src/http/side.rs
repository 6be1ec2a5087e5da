//! Either end of an exchange, whatever version of HTTP it speaks.

use std::io;

use tulle_http::h1::BodyError;

/// What reading on in a body brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes wait.
    Data,
    /// The body is complete; trailers, if any, are there.
    End,
}

/// Why a body cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFault {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The framing is broken, or the connection ended too early.
    #[error(transparent)]
    Malformed(BodyError),
}
