//! Resources behind one trait, with versions and watch.
//!
//! [`Store`] is the trait; [`Memory`] keeps objects in this process; [`Folder`] feeds a store from watched files of
//! YAML; [`serve`] offers a store on a unix socket, where [`RemoteStore`] reaches it from another process. [`Follow`] is
//! the way to keep up with a store: a list, then every change, whatever happens to the connection.

mod error;
mod follow;
mod memory;
mod store;

pub use error::StoreError;
pub use follow::{Follow, Update};
pub use memory::Memory;
pub use store::{Answer, Change, Event, Filter, Listing, Store, Version, Watch, WatchSource};
