//! `envoy.filters.http.stateful_session`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tulle_engine::{
    decide::session::{self, Session, Told},
    runtime::{
        route::{Action, ClusterChoice, ClusterName},
        session::{SessionPolicy, SessionState},
    },
};
use tulle_http::Known;

use crate::http::exchange::Exchange;

/// The session of a request, and how it is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    policy: Arc<SessionPolicy>,
    session: Session,
}

impl Kept {
    /// The endpoint that the request goes to.
    pub(crate) fn at(&self) -> Option<SocketAddr> {
        self.session.at
    }

    /// The status where that endpoint cannot be asked and no other shall be: it is not well, or (`gone`) not there.
    pub(crate) fn fails_with(&self, gone: bool) -> Option<u16> {
        self.policy.strict.then_some(if gone { self.policy.strict_status } else { 503 })
    }
}

/// Finds the session of the request. Where the route goes to one of several clusters, that of the session's endpoint takes the
/// request: a session stays on its side of a split (GEP-1619). That is more than Envoy does.
pub(super) fn ask(x: &mut Exchange<'_>, policy: &Arc<SessionPolicy>) {
    let Some(session) = session::of_request(policy, &x.s.request, now()) else { return };
    if let Some(at) = session.at
        && let Some(random) = side_of(x, at)
    {
        x.record.random = random;
    }
    x.left.session = Some(Box::new(Kept { policy: Arc::clone(policy), session }));
}

/// A number by which the route picks the cluster that has the endpoint; `None` where chance does not pick, or none has it.
fn side_of(x: &Exchange<'_>, at: SocketAddr) -> Option<u64> {
    let Action::Forward(to) = &x.found?.route.action else { return None };
    let ClusterChoice::Weighted(all) = &to.cluster else { return None };
    if all.use_hash_policy || all.random_header.is_some() {
        return None;
    }
    let mut start = 0;
    for side in &all.clusters {
        if side.weight > 0
            && let ClusterName::Name(name) = &side.cluster
            && x.conn.worker.cluster(name).is_some_and(|cluster| cluster.has(at))
        {
            return Some(start);
        }
        start += u64::from(side.weight);
    }
    None
}

/// Tells the client which endpoint answered, unless it knows.
pub(super) fn respond(x: &mut Exchange<'_>) {
    let (Some(kept), Some(host)) = (&x.left.session, &x.record.host) else { return };
    let told = session::of_response(&kept.policy, kept.session, host.address, now());
    match (told, &kept.policy.state) {
        (Some(Told::Cookie(line)), _) => {
            x.s.response.headers.append(Known::SetCookie, line.as_bytes());
        }
        (Some(Told::Header(value)), SessionState::Header(name)) => {
            x.s.response.headers.set(name, value.as_bytes());
        }
        _ => {}
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
