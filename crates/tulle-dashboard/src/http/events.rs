//! What is told to pages as it happens, as server-sent events.
//!
//! Each client has a queue of its own. One that does not read while [`QUEUE`] events come is cut off: its connection is closed, it is
//! counted, and nobody waits for it. A browser connects again by itself.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};

/// Events that wait for a client at most.
const QUEUE: usize = 64;
/// Clients at a time.
pub(super) const MAX_CLIENTS: usize = 64;

/// Everybody who listens.
#[derive(Debug)]
pub struct Events {
    clients: Mutex<Vec<Client>>,
    cut: AtomicU64,
    /// Another one for each start: who finds another one than before was told by a server that is gone.
    instance: String,
}

#[derive(Debug)]
struct Client {
    queue: mpsc::Sender<Bytes>,
    /// Closes its connection.
    close: Arc<Notify>,
}

/// The body of an answer that goes on for as long as its client reads.
#[derive(Debug)]
pub(super) struct Stream(mpsc::Receiver<Bytes>);

impl Default for Events {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let instance = format!("{:x}", since.as_nanos());
        Self { clients: Mutex::default(), cut: AtomicU64::new(0), instance }
    }
}

impl Events {
    /// The name of this run of the server.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// One more client; `None` if there are too many. `close` ends its connection.
    pub(super) fn listen(&self, hello: &Value, close: Arc<Notify>) -> Option<Stream> {
        let mut clients = self.clients();
        clients.retain(|client| !client.queue.is_closed());
        if clients.len() >= MAX_CLIENTS {
            return None;
        }
        let (queue, events) = mpsc::channel(QUEUE);
        // There is room: it is new.
        let _ = queue.try_send(written("hello", hello));
        clients.push(Client { queue, close });
        Some(Stream(events))
    }

    /// Tells everybody.
    pub fn tell(&self, event: &str, data: &Value) {
        self.send(&written(event, data));
    }

    /// Keeps connections alive, and finds those whose client is gone.
    pub fn breathe(&self) {
        self.send(&Bytes::from_static(b": \n\n"));
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.clients().iter().any(|client| !client.queue.is_closed())
    }

    /// How many listen, and how many were cut off for not reading.
    pub fn counts(&self) -> (usize, u64) {
        let clients = self.clients().iter().filter(|client| !client.queue.is_closed()).count();
        (clients, self.cut.load(Ordering::Relaxed))
    }

    fn send(&self, text: &Bytes) {
        self.clients().retain(|client| match client.queue.try_send(text.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.cut.fetch_add(1, Ordering::Relaxed);
                client.close.notify_one();
                false
            }
        });
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}

/// An event as it is written; JSON has no line breaks.
fn written(event: &str, data: &Value) -> Bytes {
    format!("event: {event}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_does_not_read_is_cut_off_and_the_others_are_told() {
        let events = Events::default();
        let (slow, quick) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow_stream = events.listen(&json!({}), Arc::clone(&slow)).unwrap();
        let mut quick_stream = events.listen(&json!({}), quick).unwrap();
        let mut read = 0;
        for i in 0..200 {
            events.tell("tick", &json!({"i": i}));
            while quick_stream.0.try_recv().is_ok() {
                read += 1;
            }
        }
        assert_eq!((read, events.counts()), (201, (1, 1)));
        assert_eq!(slow_stream.0.len(), QUEUE, "no more is kept for it");
        drop(quick_stream);
        events.breathe();
        assert!(!events.is_heard());
    }

    #[test]
    fn clients_are_bounded() {
        let events = Events::default();
        let listen = || events.listen(&json!({}), Arc::default());
        let all: Vec<_> = (0..MAX_CLIENTS).map(|_| listen().unwrap()).collect();
        assert!(listen().is_none());
        drop(all);
        assert!(listen().is_some());
    }
}
