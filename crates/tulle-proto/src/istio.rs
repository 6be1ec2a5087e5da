//! Messages that Istio adds to Envoy's, written by hand from their published definitions.
//!
//! Field numbers and type URLs are Istio's own, so that either side can be somebody else's.

/// Gives a hand-written message its package and name.
macro_rules! named {
    ($message:ty, $package:literal, $name:literal) => {
        impl prost::Name for $message {
            const NAME: &'static str = $name;
            const PACKAGE: &'static str = $package;
        }
    };
}
pub(crate) use named;

pub mod alpn;
pub mod ca;
pub mod metadata_exchange;
pub mod nds;
pub mod peer_metadata;
pub mod stats;
