//! Listeners (LDS).

pub(crate) mod gateway;
mod hcm;
pub(crate) mod inbound;
pub(crate) mod outbound;
mod tcp;

use tulle_mesh::envoy_filter::PatchContext;
use tulle_proto::envoy::core::TrafficDirection;
use tulle_proto::envoy::listener::Listener;
use tulle_proto::type_url;

use crate::envoy_filter::{self, Patches};
use crate::resource::{Resource, Resources};
use crate::sources::Sources;

/// Patches for one place, and the listeners made with them.
struct Made<'a> {
    patches: &'a Patches,
    place: PatchContext,
    out: Resources,
}

impl<'a> Made<'a> {
    fn new(patches: &'a Patches, place: PatchContext) -> Self {
        Self { patches, place, out: Resources::default() }
    }

    /// Patches and encodes a listener that was made of `sources`.
    fn add(&mut self, listener: Listener, mut sources: Sources) {
        self.out.add(match envoy_filter::listener(self.patches, self.place, listener, &mut sources) {
            Some(listener) => Ok(encode(&listener, sources)),
            None => Err(sources),
        });
    }

    /// The listeners, with those that patches add.
    fn finish(mut self) -> Vec<Resource> {
        let added = envoy_filter::added_listeners(self.patches, self.place, |name| self.out.has(name));
        for (listener, sources) in added {
            self.out.add(Ok(encode(&listener, sources)));
        }
        self.out.sorted()
    }
}

fn encode(listener: &Listener, sources: Sources) -> Resource {
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
