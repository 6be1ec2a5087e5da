//! Listeners (LDS).

pub(crate) mod gateway;
mod hcm;
pub(crate) mod inbound;
pub(crate) mod outbound;
mod tcp;

use tulle_proto::envoy::core::TrafficDirection;
use tulle_proto::envoy::listener::Listener;
use tulle_proto::type_url;

use crate::resource::Resource;
use crate::sources::Sources;

/// Encodes a listener.
fn encode(listener: &Listener) -> Resource {
    encode_with(listener, Sources::of_listener(listener))
}

/// Encodes a listener that was made of `sources`.
fn encode_with(listener: &Listener, sources: Sources) -> Resource {
    Resource::new(listener.name.clone(), type_url::LISTENER, listener, sources)
}

/// Port of `virtualOutbound`.
const OUTBOUND_PORT: u16 = 15001;
/// Port of `virtualInbound`.
const INBOUND_PORT: u16 = 15006;

/// The number of a direction.
fn direction(d: TrafficDirection) -> i32 {
    d as i32
}
