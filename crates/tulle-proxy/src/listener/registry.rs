//! The listeners of a worker, and how a connection finds its own.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use foldhash::fast::RandomState;
use tokio::task::AbortHandle;
use tulle_engine::runtime::{Listener, net::Address};

use super::chain::LocalListener;
use crate::worker::{Worker, state::Map};

/// One listener under its name: stays the same while its configuration changes.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The configuration in force, with what this worker made of it.
    current: RefCell<Rc<LocalListener>>,
    /// The listener is gone; its connections are asked to end.
    removed: Cell<bool>,
    /// The accept loops.
    loops: RefCell<Vec<AbortHandle>>,
}

impl Slot {
    /// The configuration in force.
    pub(crate) fn current(&self) -> Rc<LocalListener> {
        Rc::clone(&self.current.borrow())
    }

    /// The configuration in force, if it is another one than `known`.
    pub(crate) fn other_than(&self, known: &Rc<LocalListener>) -> Option<Rc<LocalListener>> {
        let current = self.current.borrow();
        (!Rc::ptr_eq(&current, known)).then(|| Rc::clone(&current))
    }

    /// Whether the listener has been removed.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.get()
    }

    /// Adds an accept loop, which ends with the listener.
    pub(crate) fn add_loop(&self, handle: AbortHandle) {
        self.loops.borrow_mut().push(handle);
    }

    fn close_sockets(&self) {
        self.loops.borrow_mut().drain(..).for_each(|l| l.abort());
    }
}

/// All listeners of a worker.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    by_name: Map<Rc<Slot>>,
    by_address: HashMap<SocketAddr, Rc<Slot>, RandomState>,
}

impl Listeners {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The listener of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Rc<Slot>> {
        self.by_name.get(name).cloned()
    }

    /// The listener that a connection made for `destination` belongs to: the one with exactly this address, or the one with
    /// this port on all addresses.
    pub(crate) fn for_destination(&self, destination: SocketAddr) -> Option<Rc<Slot>> {
        let any = |ip| SocketAddr::new(ip, destination.port());
        self.by_address
            .get(&destination)
            .or_else(|| match destination.ip() {
                IpAddr::V4(_) => self.by_address.get(&any(Ipv4Addr::UNSPECIFIED.into())),
                IpAddr::V6(_) => self.by_address.get(&any(std::net::Ipv6Addr::UNSPECIFIED.into())),
            })
            .cloned()
    }

    /// Closes a listener's sockets and asks its connections to end.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(slot) = self.by_name.remove(name) {
            slot.close_sockets();
            slot.removed.set(true);
            self.by_address.retain(|_, other| !Rc::ptr_eq(other, &slot));
        }
    }

    /// Closes the sockets of one listener; connections live on.
    pub(crate) fn close_sockets_of(&self, name: &str) {
        if let Some(slot) = self.by_name.get(name) {
            slot.close_sockets();
        }
    }

    /// Closes all sockets; connections live on.
    pub(crate) fn close_sockets(&mut self) {
        self.by_name.values().for_each(|slot| slot.close_sockets());
    }

    fn index(&mut self, slot: &Rc<Slot>, config: &Listener) {
        self.by_address.retain(|_, other| !Rc::ptr_eq(other, slot));
        for address in &config.addresses {
            if let Address::Ip(address) = &address.address
                && address.port() != 0
            {
                self.by_address.insert(*address, Rc::clone(slot));
            }
        }
    }
}

/// Puts a new or changed listener in force. Sockets stay as they are.
pub(crate) fn update(worker: &Rc<Worker>, name: &Arc<str>, config: &Arc<Listener>) {
    let local = Rc::new(LocalListener::new(worker, config));
    let mut listeners = worker.listeners.borrow_mut();
    let slot = match listeners.by_name.get(name) {
        Some(slot) => {
            *slot.current.borrow_mut() = local;
            Rc::clone(slot)
        }
        None => {
            let slot = Rc::new(Slot {
                current: RefCell::new(local),
                removed: Cell::new(false),
                loops: RefCell::default(),
            });
            listeners.by_name.insert(Arc::clone(name), Rc::clone(&slot));
            slot
        }
    };
    listeners.index(&slot, config);
}
