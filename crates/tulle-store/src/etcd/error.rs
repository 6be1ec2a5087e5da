//! What etcd's answers mean.

use std::io;
use std::path::PathBuf;

use tonic::{Code, Status};

use crate::StoreError;

/// Why an etcd cannot be used as it was named.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// No endpoint was named.
    #[error("no etcd server was named; name at least one as HOST:PORT")]
    NoEndpoint,
    /// An endpoint is not a host and a port.
    #[error("{0:?} is not the address of an etcd server; write HOST:PORT, such as 127.0.0.1:2379")]
    Endpoint(String),
    /// A file with a certificate or key cannot be used.
    #[error("etcd: {0}")]
    Material(#[from] tulle_identity::MaterialError),
    /// A certificate was named without its key, or a key without its certificate.
    #[error("etcd: {} needs the other half: name a certificate and its key", .0.display())]
    HalfPair(PathBuf),
    /// The TLS configuration cannot be made.
    #[error("etcd: {0}")]
    Tls(#[from] tulle_identity::TlsBuildError),
    /// It was reached, and refuses.
    #[error("etcd: {0}")]
    Refused(StoreError),
}

/// What to do about a failed call.
#[derive(Debug)]
pub(super) enum Failed {
    /// Try again, at another endpoint.
    Away(Status),
    /// Log in again, then try again.
    LoggedOut,
    /// The answer is too long to be read at once: ask for less.
    TooLong,
    /// The revision is compacted.
    Compacted,
    /// Nothing will help.
    Final(StoreError),
}

pub(super) fn judge(status: Status) -> Failed {
    let says = |text: &str| status.message().contains(text);
    match status.code() {
        Code::Unauthenticated => Failed::LoggedOut,
        Code::InvalidArgument if says("auth token") || says("user name is empty") => Failed::LoggedOut,
        Code::OutOfRange if says("compacted") => Failed::Compacted,
        Code::OutOfRange if says("message length too large") => Failed::TooLong,
        Code::ResourceExhausted if says("larger than max") => Failed::TooLong,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
            Failed::Away(status)
        }
        Code::ResourceExhausted if says("too many requests") => Failed::Away(status),
        Code::ResourceExhausted => Failed::Final(StoreError::NotWritten(format!(
            "etcd says \"{}\"; compact and defragment it, or raise its quota, and disarm its alarm",
            status.message()
        ))),
        code => Failed::Final(StoreError::Refused(format!("etcd says \"{}\" ({code:?})", status.message()))),
    }
}

/// The error of a call that failed at every try.
pub(super) fn away(status: &Status) -> StoreError {
    let cause = std::error::Error::source(status).map(|e| format!(": {e}")).unwrap_or_default();
    StoreError::Unreachable(io::Error::other(format!("etcd: {}{cause}", status.message())))
}
