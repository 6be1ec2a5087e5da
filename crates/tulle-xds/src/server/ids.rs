//! Names of sets and streams, and what is known of a stream from the start.

/// Identifies a set within one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(pub(crate) u32);

/// Identifies a stream within one server; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// The variant of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `DeltaAggregatedResources`.
    Delta,
    /// `StreamAggregatedResources`.
    StateOfTheWorld,
}

/// What is particular to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// The protocol variant.
    pub protocol: Protocol,
    /// Send the resource that follows another again whenever the other changes: a stock Envoy warms a changed cluster until
    /// its endpoints come, and does not ask for them again.
    pub rewarm: bool,
}
