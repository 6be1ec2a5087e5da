//! HTTP/1.1 (RFC 9112), strict where leniency lets one message be read as two.
//!
//! * [`parse_request`] and [`parse_response`] read a head from the front of a read buffer into a reusable head and say
//!   how the body is framed and what becomes of the connection.
//! * [`BodyDecoder`] takes the body out of the read buffer, [`BodyEncoder`] frames one.
//! * [`write_request`], [`write_response`] serialise a head in one go. Framing and connection fields are written from
//!   arguments, never from what came in: a field that was wrong on one side cannot be wrong on the other.

mod body;
mod encode;
mod error;
mod fields;
mod framing;
mod hop;
mod request;
mod response;

pub use body::{BodyDecoder, BodyEvent, Step};
pub use encode::{BodyEncoder, Persistence, write_informational, write_request, write_response};
pub use error::{BodyError, EncodeError, FieldError, RequestError, ResponseError};
pub(crate) use framing::decimal;
pub use framing::{BodyLength, response_length};
pub use hop::{hides_origin, strip_hop_by_hop};
pub use request::{RequestParsed, parse_request};
pub use response::{RequestSent, ResponseParsed, parse_response};

use crate::Limits;

/// What the codec takes from peers; the defaults are Envoy's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Limits on heads and trailers.
    pub limits: Limits,
    /// Take HTTP/1.0 requests (Envoy: `http_protocol_options.accept_http_10`); otherwise they get 426. Default no.
    pub accept_http_10: bool,
    /// Take methods that no registry knows (Envoy: `allow_custom_methods`); otherwise they get 400. Default no.
    pub allow_custom_methods: bool,
}
