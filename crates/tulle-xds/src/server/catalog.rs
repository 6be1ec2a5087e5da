//! The types that a server knows, in the order in which they are sent.

use std::fmt;
use std::sync::Arc;

use crate::Resource;

/// Index of a type in its [`Catalog`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub(crate) u8);

impl TypeId {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Makes a resource for a name that was asked for and does not exist.
pub type StandIn = Arc<dyn Fn(&str) -> Option<Resource> + Send + Sync>;

/// One type.
#[derive(Clone)]
pub struct TypeConfig {
    /// Type URL.
    pub url: Arc<str>,
    /// Place in make-before-break: what is new is sent phase by phase, each acknowledged before the next begins; what is
    /// gone is removed only after everything behind it is in force. `None`: independent of all others.
    pub phase: Option<u8>,
    /// Whether a state-of-the-world response must carry every resource (listeners and clusters), and an empty list of names
    /// means all of them.
    pub full_state: bool,
    /// What a client gets for a name that does not exist, if it would otherwise wait in vain. Must be deterministic.
    pub stand_in: Option<StandIn>,
}

impl TypeConfig {
    /// A type that is independent of all others.
    pub fn independent(url: impl Into<Arc<str>>) -> Self {
        Self { url: url.into(), phase: None, full_state: false, stand_in: None }
    }

    /// A type with a place in make-before-break.
    pub fn ordered(url: impl Into<Arc<str>>, phase: u8) -> Self {
        Self { phase: Some(phase), ..Self::independent(url) }
    }

    /// Marks a type whose state-of-the-world responses are complete.
    #[must_use]
    pub fn with_full_state(mut self) -> Self {
        self.full_state = true;
        self
    }

    /// Adds a stand-in for names that do not exist.
    #[must_use]
    pub fn with_stand_in(mut self, stand_in: StandIn) -> Self {
        self.stand_in = Some(stand_in);
        self
    }
}

impl fmt::Debug for TypeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeConfig")
            .field("url", &self.url)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// Every type that a server knows. Position is sending order: clusters, endpoints, listeners, routes.
#[derive(Clone, Debug)]
pub struct Catalog {
    types: Arc<[TypeConfig]>,
}

impl Catalog {
    /// A catalogue of at most 255 types; more are left out.
    pub fn new(types: Vec<TypeConfig>) -> Self {
        Self { types: types.into_iter().take(255).collect() }
    }

    /// The type with this URL.
    pub fn find(&self, url: &str) -> Option<TypeId> {
        let index = self.types.iter().position(|t| *t.url == *url)?;
        u8::try_from(index).ok().map(TypeId)
    }

    /// A type's configuration.
    pub fn get(&self, id: TypeId) -> &TypeConfig {
        &self.types[id.index()]
    }

    /// All types in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = TypeId> + use<> {
        (0..self.len()).map(TypeId)
    }

    /// How many types there are.
    pub fn len(&self) -> u8 {
        u8::try_from(self.types.len()).unwrap_or(u8::MAX)
    }

    /// Whether there is no type at all.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }
}
