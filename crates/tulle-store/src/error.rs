//! What can go wrong with a store.

use tulle_base::{Diagnostic, ResourceRef};

use crate::Version;

/// Why a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object. Whether that matters is the caller's decision.
    #[error("{0} does not exist")]
    NotFound(ResourceRef),
    /// The object changed since it was read, or exists already: read it again and decide anew.
    #[error("{resource} is at version {found}, not at {expected}")]
    Conflict {
        /// The object.
        resource: ResourceRef,
        /// The version that the caller knew; 0 if it expected none.
        expected: Version,
        /// The version in the store; 0 if there is none.
        found: Version,
    },
    /// The object is another one than the caller means: one of the same name was made since.
    #[error("{resource} is another one by now, with uid {found}")]
    Replaced {
        /// The object.
        resource: ResourceRef,
        /// The uid in the store.
        found: String,
    },
    /// The changes after `from` are no longer known: list again and watch from there.
    #[error("changes after version {from} are no longer known, the oldest is {oldest}; list again")]
    Expired {
        /// The version that the caller asked for.
        from: Version,
        /// The oldest version that can be asked for.
        oldest: Version,
    },
    /// The object has no name, or a version that is not a number.
    #[error("{resource} cannot be stored: {}", reason.as_str())]
    Invalid {
        /// The object, as far as it is known.
        resource: ResourceRef,
        /// What is wrong with it.
        reason: Refusal,
    },
    /// The store cannot be reached now; it is safe to try again, and a write may have been done.
    #[error("the store cannot be reached: {0}")]
    Unreachable(#[from] std::io::Error),
    /// The other side sent something that cannot be read.
    #[error("the store sent an object that cannot be read: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Unreadable(Vec<Diagnostic>),
    /// The other side sent a message that is not of the protocol, or too long.
    #[error("the store and its client do not understand each other: {0}")]
    Protocol(&'static str),
    /// A durable store could not write: its disk is full, read-only or broken. What is stored stays readable, the write was not
    /// acknowledged, and a later one is tried anew.
    #[error("the write could not be made durable: {0}")]
    NotWritten(String),
    /// The database behind the store does not allow it, or answered what it must not.
    #[error("the store's database refused: {0}")]
    Refused(String),
    /// The store is gone for good.
    #[error("the store is closed")]
    Closed,
}

/// Why an object cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has no name.
    NoName,
    /// Its name or namespace has a slash or a control character.
    BadName,
    /// Its `resourceVersion` is not a number.
    BadVersion,
    /// A Service that is to have one address family has two.
    OneFamily,
    /// A Service wants both address families in a mesh with one.
    NoDualStack,
    /// A Service wants an address family that the mesh does not have.
    NoSuchFamily,
    /// A Service would change its first address family.
    FirstFamily,
    /// No service addresses are left.
    NoAddress,
}

impl Refusal {
    const ALL: [Self; 8] = [
        Self::NoName,
        Self::BadName,
        Self::BadVersion,
        Self::OneFamily,
        Self::NoDualStack,
        Self::NoSuchFamily,
        Self::FirstFamily,
        Self::NoAddress,
    ];

    /// The reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoName => "it has no name",
            Self::BadName => "its name or namespace has a slash or a control character",
            Self::BadVersion => "its resourceVersion is not a number",
            Self::OneFamily => {
                "spec.ipFamilyPolicy is SingleStack, but spec.ipFamilies or spec.clusterIPs has two; write \
                 PreferDualStack, or keep one"
            }
            Self::NoDualStack => {
                "spec.ipFamilyPolicy is RequireDualStack, but this mesh has one address family; write \
                 PreferDualStack, or start the mesh with --ip-family dual"
            }
            Self::NoSuchFamily => {
                "spec.ipFamilies or spec.clusterIPs names an address family that this mesh does not have; remove it, \
                 or start the mesh with --ip-family dual"
            }
            Self::FirstFamily => {
                "spec.ipFamilies[0] cannot change; delete the service and make it anew, or keep the first family"
            }
            Self::NoAddress => "no service addresses are left; delete services that are not needed",
        }
    }

    /// Whether it is what the object says that is wrong, and not how it was sent.
    pub fn is_about_the_spec(self) -> bool {
        !matches!(self, Self::NoName | Self::BadName | Self::BadVersion)
    }

    /// The refusal with these words.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == text)
    }
}
