//! Looking up the hosts that requests name (`dynamic_forward_proxy`). What is remembered is decided in `tulle_engine::decide::names`;
//! here the system's resolvers are asked, and requests wait.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    rc::{Rc, Weak},
    sync::Arc,
    time::Instant,
};

use tokio::sync::{Notify, Semaphore};
use tulle_engine::{
    decide::names::{Look, Names, Target},
    runtime::forward_proxy::DnsCache,
};

use crate::boot::resolve::of_family;

/// Most questions to the system at a time, for each cache of each worker: each takes a thread for as long as the system is silent.
const QUESTIONS: usize = 32;

/// Where a request goes, and the addresses that were found for it.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded {
    /// The host.
    pub(crate) target: Target,
    /// Its addresses, at least one.
    pub(crate) addresses: Arc<[SocketAddr]>,
}

/// Why nothing is known of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    /// DNS does not know it, does not answer, or gives addresses that are not connected to.
    #[error("no address")]
    NotFound,
    /// It is an address that is not connected to.
    #[error("address refused")]
    Refused,
    /// There are too many names.
    #[error("too many names")]
    Full,
    /// Too many requests wait.
    #[error("too many requests wait")]
    Overflow,
}

/// The names that a worker knows by one configuration.
#[derive(Debug)]
pub(crate) struct Lookups {
    names: RefCell<Names>,
    config: Arc<DnsCache>,
    answered: Notify,
    waiting: Cell<u32>,
    questions: Arc<Semaphore>,
    started: Instant,
}

/// Those of a worker.
#[derive(Debug, Default)]
pub(crate) struct AllLookups(RefCell<Vec<Weak<Lookups>>>);

impl AllLookups {
    /// The names that are known by this configuration: all who are configured alike share them.
    pub(crate) fn of(&self, config: &Arc<DnsCache>) -> Rc<Lookups> {
        let mut all = self.0.borrow_mut();
        all.retain(|one| one.strong_count() > 0);
        let known = all
            .iter()
            .filter_map(Weak::upgrade)
            .find(|one| Arc::ptr_eq(&one.config, config) || one.config == *config);
        known.unwrap_or_else(|| {
            let new = Rc::new(Lookups::new(Arc::clone(config)));
            all.push(Rc::downgrade(&new));
            new
        })
    }
}

impl Lookups {
    fn new(config: Arc<DnsCache>) -> Self {
        Self {
            names: RefCell::new(Names::new(Arc::clone(&config))),
            config,
            answered: Notify::new(),
            waiting: Cell::new(0),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            started: Instant::now(),
        }
    }

    /// The addresses of `target`, at once where they are known. The caller goes on when he likes: what is asked is remembered.
    pub(crate) async fn find(self: &Rc<Self>, target: &Target) -> Result<Arc<[SocketAddr]>, Unknown> {
        if let Ok(ip) = target.host.parse::<IpAddr>() {
            let refused = self.config.refused.has(ip);
            return if refused {
                Err(Unknown::Refused)
            } else {
                Ok([SocketAddr::new(ip, target.port)].into())
            };
        }
        if self.waiting.get() >= self.config.max_pending {
            return Err(Unknown::Overflow);
        }
        let look = self.names.borrow_mut().look(target, self.started.elapsed());
        match look {
            Look::Known { addresses, ask } => {
                if ask {
                    self.ask(target);
                }
                Ok(addresses)
            }
            Look::Failed => Err(Unknown::NotFound),
            Look::Full => Err(Unknown::Full),
            Look::Wait { ask } => {
                if ask {
                    self.ask(target);
                }
                let _waiting = Waiting::begin(&self.waiting);
                self.outcome(target).await.ok_or(Unknown::NotFound)
            }
        }
    }

    /// Waits for what somebody has asked.
    async fn outcome(&self, target: &Target) -> Option<Arc<[SocketAddr]>> {
        loop {
            let mut answered = std::pin::pin!(self.answered.notified());
            answered.as_mut().enable();
            let outcome = self.names.borrow().outcome(target);
            match outcome {
                Some(outcome) => return outcome,
                None => answered.await,
            }
        }
    }

    /// Asks the system, and tells everybody who waits.
    fn ask(self: &Rc<Self>, target: &Target) {
        let (this, target) = (Rc::clone(self), target.clone());
        tokio::task::spawn_local(async move {
            let found = this.addresses(&target).await.unwrap_or_else(|error| {
                tracing::debug!(%error, host = %target.host, cache = %this.config.name, "name not resolved");
                Vec::new()
            });
            this.names.borrow_mut().answered(&target, found, this.started.elapsed(), fastrand::f64());
            this.answered.notify_waiters();
        });
    }

    async fn addresses(&self, target: &Target) -> io::Result<Vec<SocketAddr>> {
        let all = system(Arc::clone(&self.questions), Arc::clone(&target.host));
        let all = match self.config.timeout {
            Some(limit) => tokio::time::timeout(limit, all).await.map_err(|_| io::ErrorKind::TimedOut)??,
            None => all.await?,
        };
        let (refused, wanted): (Vec<IpAddr>, Vec<IpAddr>) =
            of_family(&all, self.config.family).into_iter().partition(|ip| self.config.refused.has(*ip));
        if let [first, ..] = refused[..] {
            tracing::warn!(host = %target.host, address = %first, "a name leads to an address that is not connected to");
        }
        Ok(wanted.into_iter().map(|ip| SocketAddr::new(ip, target.port)).collect())
    }
}

/// Asks the system's resolvers. A question that nobody waits for any more keeps its place until the system has answered.
async fn system(questions: Arc<Semaphore>, host: Arc<str>) -> io::Result<BTreeSet<IpAddr>> {
    let place = questions.acquire_owned().await.map_err(io::Error::other)?;
    let asked = tokio::task::spawn_blocking(move || {
        let _place = place;
        (&*host, 0u16).to_socket_addrs().map(|found| found.map(|a| a.ip()).collect())
    });
    asked.await.map_err(io::Error::other)?
}

/// Counts a request that waits for as long as this lives.
struct Waiting<'a>(&'a Cell<u32>);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a Cell<u32>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tulle_engine::runtime::{cluster::DnsFamily, forward_proxy::Refused};

    fn lookups(max_pending: u32, refused: Refused) -> Rc<Lookups> {
        let second = Duration::from_secs(1);
        Rc::new(Lookups::new(Arc::new(DnsCache {
            name: "test".into(),
            family: DnsFamily::V4Only,
            refresh: second,
            failure_base: second,
            failure_max: second,
            unused: second,
            max_hosts: 2,
            max_pending,
            timeout: Some(10 * second),
            refused,
        })))
    }

    fn block<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, work)
    }

    #[test]
    fn names_of_this_machine_lead_nowhere_unless_they_may() {
        let target = Target::of("localhost:81", 80).unwrap();
        let anywhere = Refused::Ranges { ranges: Vec::new(), inverted: false };
        block(async {
            assert_eq!(lookups(9, Refused::Local).find(&target).await, Err(Unknown::NotFound));
            let found = lookups(9, anywhere).find(&target).await.unwrap();
            assert_eq!(found[..], ["127.0.0.1:81".parse().unwrap()]);
        });
    }

    #[test]
    fn addresses_are_taken_as_they_are_or_refused() {
        let find = |host| block(lookups(9, Refused::Local).find(&Target::of(host, 80).unwrap()));
        assert_eq!(find("10.0.0.1").unwrap()[..], ["10.0.0.1:80".parse().unwrap()]);
        for local in ["127.0.0.1", "[::1]:9", "169.254.169.254", "[::ffff:127.0.0.1]"] {
            assert_eq!(find(local), Err(Unknown::Refused), "{local}");
        }
    }

    #[test]
    fn nobody_waits_where_nobody_may() {
        let target = Target::of("localhost", 80).unwrap();
        assert_eq!(block(lookups(0, Refused::Local).find(&target)), Err(Unknown::Overflow));
    }
}
