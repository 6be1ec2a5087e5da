//! What a server core is told to allow, and what it tells.

use std::sync::Arc;
use std::time::Duration;

use super::catalog::TypeId;
use super::ids::StreamId;
use crate::Version;
use crate::nack::ResourceError;
use crate::wire::{DeltaDiscoveryResponse, DiscoveryResponse};

/// What a client may ask for at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Names subscribed to by one stream, all types together; default 100,000.
    pub names: usize,
    /// Length of a name in bytes; default 2,048.
    pub name_bytes: usize,
    /// Size at which a delta response is closed and the rest is left for the next; default 3 MiB, since many gRPC clients read
    /// no more than 4.
    pub response_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { names: 100_000, name_bytes: 2048, response_bytes: 3 << 20 }
    }
}

/// Why a stream must be ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It is not open.
    #[error("the stream is not open")]
    NotOpen,
    /// More names than [`Limits::names`].
    #[error("more than {0} resource names on one stream")]
    TooManyNames(usize),
    /// A name longer than [`Limits::name_bytes`].
    #[error("a resource name is longer than {0} bytes")]
    NameTooLong(usize),
}

/// What happened on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreEvent {
    /// A response was accepted; with the age of the oldest change in it if nothing of the type is left to send.
    Accepted {
        /// The stream.
        stream: StreamId,
        /// The type.
        kind: TypeId,
        /// From the change to its acknowledgement.
        converged_in: Option<Duration>,
    },
    /// Resources were refused. They are not sent to this stream again until their content changes.
    Refused {
        /// The stream.
        stream: StreamId,
        /// The type.
        kind: TypeId,
        /// Which, and why. Empty when a response was refused as a whole and is sent again in parts, to find out which.
        errors: Vec<Refusal>,
    },
    /// A stream has come nearer to what is in force, or fallen behind.
    Reached {
        /// The stream.
        stream: StreamId,
        /// Every change up to this epoch is acknowledged or refused: [`CoreEvent::SETTLED`] when all of them are, 0 before
        /// the first answers.
        epoch: u64,
    },
    /// An acknowledgement of something that is not in flight.
    StaleNonce {
        /// The stream.
        stream: StreamId,
    },
    /// A type that this server does not know was asked for, or reported on.
    UnknownType {
        /// The stream.
        stream: StreamId,
        /// The type.
        type_url: String,
        /// What is wrong, if the request says that something is.
        problem: Option<String>,
    },
}

impl CoreEvent {
    /// The epoch of a stream that has acknowledged (or refused) everything.
    pub const SETTLED: u64 = u64::MAX;
}

/// One resource that a client refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name and reason.
    pub error: ResourceError,
    /// The version refused.
    pub version: Version,
    /// The client has accepted this resource as it was before this epoch; 0 when it never did.
    pub since: u64,
}

/// A response of either variant.
#[derive(Clone, Debug)]
pub enum Response {
    /// Delta.
    Delta(DeltaDiscoveryResponse),
    /// State of the world.
    StateOfTheWorld(DiscoveryResponse),
}

impl Response {
    /// Bytes of the resources in it.
    pub fn payload_bytes(&self) -> usize {
        let resources = match self {
            Self::Delta(r) => &r.resources,
            Self::StateOfTheWorld(r) => &r.resources,
        };
        resources.iter().map(bytes::Bytes::len).sum()
    }
}

/// A response for one stream.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The stream.
    pub stream: StreamId,
    /// The type.
    pub kind: TypeId,
    /// The response.
    pub response: Response,
}

/// How a stream stands on one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeStatus {
    /// The type.
    pub kind: TypeId,
    /// Nothing is to be sent and everything sent was answered.
    pub settled: bool,
    /// Names asked for, besides the wildcard.
    pub names: usize,
    /// Whether everything is wanted.
    pub wildcard: bool,
    /// What the client refused last.
    pub refused: Vec<(Arc<str>, Version)>,
}

/// How far a stream is; see [`CoreEvent::Reached`].
pub(super) fn reached(owed: Option<u64>) -> u64 {
    owed.map_or(CoreEvent::SETTLED, |epoch| epoch.saturating_sub(1))
}
