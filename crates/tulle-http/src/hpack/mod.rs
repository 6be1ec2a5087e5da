//! HPACK, header compression for HTTP/2 (RFC 7541).
//!
//! [`Decoder`] writes straight into the arena of a [`HeaderList`](crate::HeaderList); [`Encoder`] remembers what recurs.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod static_table;
mod table;

pub use decoder::{Decoded, Decoder, HpackError};
pub use encoder::Encoder;
pub use huffman::{HuffmanError, huffman_decode, huffman_encode, huffman_len};
