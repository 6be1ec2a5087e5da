//! Messages whose encoding and decoding are compiled in this crate.

use prost::{DecodeError, Name};

use crate::envoy::{auth, core, http_connection_manager, listener, ratelimit, route};

/// A message that is read and written here.
///
/// prost's own functions are generic over the buffer, so each crate that calls them compiles the whole tree of messages below again:
/// a third of the code of the crates concerned. These are compiled once.
pub trait Message: prost::Message + Name + Default {
    /// Decodes a message.
    ///
    /// # Errors
    /// When the bytes are not that message.
    fn from_wire(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// Encodes the message.
    fn to_wire(&self) -> Vec<u8>;
}

/// Compiles reading and writing of a message in this crate.
#[macro_export]
#[doc(hidden)]
macro_rules! compile_here {
    ($($message:ty),*) => {
        $(impl $crate::Message for $message {
            #[inline(never)]
            fn from_wire(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
                <Self as prost::Message>::decode(bytes)
            }

            #[inline(never)]
            fn to_wire(&self) -> Vec<u8> {
                <Self as prost::Message>::encode_to_vec(self)
            }
        })*
    };
}

// What has no type URL of its own in `type_url`: parts of resources that travel alone, and parts that patches concern.
compile_here!(
    core::Node,
    listener::Filter,
    listener::FilterChain,
    listener::ListenerFilter,
    route::VirtualHost,
    route::Route,
    http_connection_manager::HttpFilter,
    crate::envoy::UriTemplateMatchConfig,
    crate::envoy::admin::ConfigDump,
    core::TypedExtensionConfig,
    auth::CheckRequest,
    auth::CheckResponse,
    ratelimit::RateLimitRequest,
    ratelimit::RateLimitResponse,
    crate::envoy::google::Struct,
    crate::telemetry::Push,
    crate::envoy::access_log_service::StreamAccessLogsMessage,
    crate::envoy::access_log_service::stream_access_logs_message::Identifier,
    crate::envoy::access_log_data::HttpAccessLogEntry,
    crate::envoy::access_log_data::TcpAccessLogEntry
);
