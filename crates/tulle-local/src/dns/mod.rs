//! The DNS of the node: the mesh's names, and everything else from the host's resolvers.

mod forward;
mod server;
mod zone;

pub use forward::{Forwarder, resolvers};
pub use server::{DnsError, DnsServer};
pub use zone::{Lookup, Zone};
