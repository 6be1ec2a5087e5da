//! `envoy.filters.http.compressor` and `envoy.filters.http.decompressor`, with gzip.

use super::matcher::StringMatcher;

/// Compresses bodies.
#[derive(Clone, Debug)]
pub struct Compressor {
    /// Which requests; `None` for none.
    pub request: Option<Compressible>,
    /// Which responses.
    pub response: Compressible,
    /// What else there is to say about responses.
    pub options: ResponseCompression,
    /// How hard it is tried: 1 to 9. Default 6.
    pub level: u32,
}

/// Which messages are compressed.
#[derive(Clone, Debug)]
pub struct Compressible {
    /// Whether any are, where the route says nothing.
    pub enabled: bool,
    /// The least `content-length`; messages without one are compressed. Default 30.
    pub min_length: u64,
    /// Which content types.
    pub types: ContentTypes,
}

/// Content types, without parameters. A message without content type is compressed.
#[derive(Clone, Debug)]
pub enum ContentTypes {
    /// These, in lower case; their case is ignored.
    These(Vec<String>),
    /// Those that match one of these.
    Matching(Vec<StringMatcher>),
}

/// What is said about the compression of responses.
#[derive(Clone, Debug, Default)]
pub struct ResponseCompression {
    /// Whether responses with an `etag` are left alone.
    pub disable_on_etag: bool,
    /// Whether a strong `etag` is made weak; otherwise it is removed.
    pub weaken_etag: bool,
    /// Whether `accept-encoding` is not sent upstream.
    pub remove_accept_encoding: bool,
    /// Statuses that are left alone.
    pub uncompressible: Vec<u16>,
    /// Whether this encoding is taken where the client likes others as well.
    pub choose_first: bool,
}

/// What a route changes about a compressor.
#[derive(Clone, Debug, Default)]
pub struct CompressorChange {
    /// Whether `accept-encoding` is not sent upstream.
    pub remove_accept_encoding: Option<bool>,
    /// How hard it is tried.
    pub level: Option<u32>,
}

/// Decompresses bodies.
#[derive(Clone, Debug)]
pub struct Decompressor {
    /// Requests.
    pub request: Decompressible,
    /// Responses.
    pub response: Decompressible,
    /// Whether upstreams are told that they may compress.
    pub advertise: bool,
    /// How many times longer than what came a body may become; what would be longer is broken off. Default 100.
    pub max_ratio: u32,
}

/// Which messages are decompressed.
#[derive(Clone, Copy, Debug)]
pub struct Decompressible {
    /// Whether any are.
    pub enabled: bool,
    /// Whether those marked `no-transform` are, too.
    pub ignore_no_transform: bool,
}
