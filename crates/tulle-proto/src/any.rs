//! Packing messages into `google.protobuf.Any` and out of it.

use prost::Name;

use crate::Message;
use crate::envoy::google::Any;

/// Why an `Any` could not be unpacked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AnyError {
    /// It holds another message.
    #[error("expected {expected}, found {}", if found.is_empty() { "no type URL" } else { found.as_str() })]
    Type {
        /// Type URL of the message asked for.
        expected: String,
        /// Type URL found.
        found: String,
    },
    /// The bytes are not that message.
    #[error("{type_url} does not decode")]
    Decode {
        /// Type URL of the message.
        type_url: String,
        /// What the decoder says.
        #[source]
        source: prost::DecodeError,
    },
}

/// Packs `message` with its own type URL, `type.googleapis.com/FULL.NAME`.
pub fn pack<M: Message>(message: &M) -> Any {
    Any { type_url: type_url_of::<M>(), value: message.to_wire() }
}

/// Unpacks the message that `any` holds.
///
/// Only the part of the type URL after the last `/` is compared (the `Any` documentation allows any prefix).
///
/// # Errors
/// [`AnyError::Type`] when it holds another message, [`AnyError::Decode`] when the bytes are malformed.
pub fn unpack<M: Message>(any: &Any) -> Result<M, AnyError> {
    if !holds::<M>(any) {
        return Err(AnyError::Type { expected: type_url_of::<M>(), found: any.type_url.clone() });
    }
    M::from_wire(&any.value).map_err(|source| AnyError::Decode { type_url: any.type_url.clone(), source })
}

/// Whether `any` says that it holds an `M`.
pub fn holds<M: Name>(any: &Any) -> bool {
    full_name(&any.type_url) == M::full_name()
}

/// The type URL of `M`, `type.googleapis.com/FULL.NAME`.
pub fn type_url_of<M: Name>() -> String {
    format!("{}{}", crate::type_url::PREFIX, M::full_name())
}

/// The full name of the message in a type URL: what follows the last `/`.
pub fn full_name(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or(type_url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::{cluster::Cluster, listener::Listener};

    #[test]
    fn round_trip_and_refusal_by_name() {
        let any = pack(&Cluster { name: "a".into(), ..Default::default() });
        assert_eq!(any.type_url, crate::type_url::CLUSTER);
        assert_eq!(unpack::<Cluster>(&any).map(|c| c.name), Ok("a".to_owned()));
        assert_eq!(
            unpack::<Listener>(&any).unwrap_err().to_string(),
            "expected type.googleapis.com/envoy.config.listener.v3.Listener, \
             found type.googleapis.com/envoy.config.cluster.v3.Cluster"
        );
        assert!(unpack::<Cluster>(&Any::default()).unwrap_err().to_string().ends_with("found no type URL"));
    }

    #[test]
    fn malformed_bytes_are_an_error() {
        let any = Any { type_url: crate::type_url::CLUSTER.into(), value: vec![0xff; 9] };
        assert!(matches!(unpack::<Cluster>(&any), Err(AnyError::Decode { .. })));
    }
}
