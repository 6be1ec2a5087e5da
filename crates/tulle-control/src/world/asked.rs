//! What the dashboard asks of the one task that knows who has what.

use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;
use tulle_base::ResourceRef;
use tulle_dashboard::plane::ProxyStanding;
use tulle_xds::server::StreamId;

use super::World;

/// A question.
pub(crate) enum Question {
    /// Which proxies a resource concerns, and which of them have it.
    Standing(ResourceRef, oneshot::Sender<Vec<ProxyStanding>>),
}

impl World {
    /// Answers; whoever asked may be gone.
    pub(super) fn answer(&self, question: Question) {
        match question {
            Question::Standing(resource, answer) => drop(answer.send(self.standing_of(&resource))),
        }
    }

    fn standing_of(&self, resource: &ResourceRef) -> Vec<ProxyStanding> {
        let mut streams = self.ledger.streams_of(resource);
        let refusing = self.refusing.get(resource);
        for stream in refusing.into_iter().flatten() {
            streams.entry(*stream).or_insert(0);
        }
        let one = |(stream, due): (StreamId, u64)| {
            let client = self.clients.get(&stream)?;
            let refused = client.refuses.get(resource);
            let state = match refused {
                Some(_) => "refuses",
                None if self.has_reached(stream, due) => "has",
                None => "waits",
            };
            Some(ProxyStanding {
                id: format!("{}.{}", client.proxy.pod.name, client.proxy.pod.namespace),
                state,
                message: refused.map(|r| format!("{}: {}", r.resource, r.message)).unwrap_or_default(),
            })
        };
        let mut all: Vec<ProxyStanding> = streams.into_iter().filter_map(one).collect();
        // Those that stand in the way first.
        all.sort_by(|a, b| (a.state == "has", &a.id).cmp(&(b.state == "has", &b.id)));
        all
    }

    /// Something was sent to a proxy.
    pub(super) fn note_push(&self, stream: StreamId) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut directory = self.outside.directory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connected) = directory.get_mut(&stream) {
            connected.pushed = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        }
    }
}
