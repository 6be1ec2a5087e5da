//! Resources behind one trait, with versions and watch.
//!
//! [`Store`] is the trait; [`Memory`] keeps objects in this process; [`Embedded`] keeps them in a file
//! that survives this process; [`Etcd`] keeps them in an etcd; [`Folder`] feeds a store from watched files of
//! YAML; [`serve`] offers a store on a unix socket, where [`RemoteStore`] reaches it from another process. [`Follow`] is
//! the way to keep up with a store: a list, then every change, whatever happens to the connection.

mod address;
mod decide;
mod embedded;
mod error;
mod etcd;
mod folder;
mod follow;
mod memory;
mod store;
mod wire;

pub use address::{AddressError, StoreAddress};
pub use embedded::{Embedded, EmbeddedOptions, Keep, OpenError};
pub use error::{Refusal, StoreError};
pub use etcd::{Etcd, EtcdError, EtcdOptions, EtcdTls};
pub use folder::{Folder, FolderError, Report, manifest_files};
pub use follow::{Follow, Update};
pub use memory::Memory;
pub use store::{
    Answer, Change, Event, Filter, Listing, LocalStore, Precondition, Store, Version, Watch, WatchSource,
};
pub use wire::{RemoteStore, read_any_message, serve};
