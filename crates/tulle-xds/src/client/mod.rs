//! The delta ADS client: it reconnects for ever, and what was accepted stays accepted meanwhile.
//!
//! ```no_run
//! # use tulle_xds::client::{self, Client, Event, Interest};
//! # async fn example(connector: client::Connector, node: bytes::Bytes) {
//! let (client, mut events) = Client::start(client::Config::new(node, "istiod.istio-system.svc:15012"), connector);
//! client.subscribe("type.googleapis.com/envoy.config.cluster.v3.Cluster", Interest::Wildcard);
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Update(update) => client.accept(update.ticket),
//!         Event::Connected | Event::Disconnected { .. } => {}
//!     }
//! }
//! # }
//! ```

mod core;
mod driver;
mod transport;
mod upload;

pub use self::core::{ClientCore, Interest, Received, Ticket, Update};
pub use self::transport::{BoxIo, Connector, Io, channel, connector};
pub use self::upload::Connection;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::nack::ResourceError;

/// What a server answers that does not know a method ([`Connection::upload`]).
pub const UNIMPLEMENTED: tonic::Code = tonic::Code::Unimplemented;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The encoded `envoy.config.core.v3.Node`.
    pub node: Bytes,
    /// `:authority` of the requests.
    pub authority: String,
    /// Longest wait for a connection, its TLS handshake included; default 5 s.
    pub connect_timeout: Duration,
    /// First step of the back-off between connections; default 50 ms, doubled up to [`Config::max_backoff`], fully jittered.
    pub min_backoff: Duration,
    /// Last step of the back-off; default 3 s.
    pub max_backoff: Duration,
    /// Largest response that is read; default 256 MiB. A larger one ends the stream.
    pub max_message: usize,
    /// Responses that may wait for the application's answer before no more are read; default 16.
    pub max_unanswered: usize,
}

impl Config {
    /// The defaults.
    pub fn new(node: Bytes, authority: impl Into<String>) -> Self {
        Self {
            node,
            authority: authority.into(),
            connect_timeout: Duration::from_secs(5),
            min_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(3),
            max_message: 256 << 20,
            max_unanswered: 16,
        }
    }
}

/// What a client tells its owner.
#[derive(Debug)]
pub enum Event {
    /// A stream is open.
    Connected,
    /// The stream ended, or could not be opened; the client tries again by itself. Sent once per failed attempt.
    Disconnected {
        /// Why, for people.
        reason: String,
        /// How long until the next attempt.
        retry_in: Duration,
    },
    /// A response. It must be answered with [`Client::accept`] or [`Client::reject`].
    Update(Update),
}

/// The events of a client, in order.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Event>,
}

impl Events {
    /// The next event; `None` when the client has been stopped. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }
}

/// A running client; stops when dropped.
#[derive(Debug)]
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
    connection: Connection,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Subscribe(String, Interest),
    Unsubscribe(String, Vec<String>),
    Remember(String, String, String),
    Answer(Ticket, Vec<ResourceError>),
    Report(String, Option<String>),
}

impl Client {
    /// Starts connecting. Must be called within a tokio runtime (a current-thread one will do).
    pub fn start(config: Config, connector: Connector) -> (Self, Events) {
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let (event_sender, receiver) = mpsc::channel(config.max_unanswered + 4);
        let (channel_sender, channel) = watch::channel(None);
        let task =
            tokio::spawn(driver::run(config, connector, command_receiver, event_sender, channel_sender));
        (Self { commands, connection: Connection::new(channel), task }, Events { receiver })
    }

    /// Adds to what is wanted of a type.
    pub fn subscribe(&self, type_url: &str, interest: Interest) {
        self.send(Command::Subscribe(type_url.to_owned(), interest));
    }

    /// Drops names of a type.
    pub fn unsubscribe(&self, type_url: &str, names: Vec<String>) {
        self.send(Command::Unsubscribe(type_url.to_owned(), names));
    }

    /// Tells the client, before it subscribes, of a resource that is in force from an earlier life of this process; see
    /// [`ClientCore::remember`].
    pub fn remember(&self, type_url: &str, name: &str, version: &str) {
        self.send(Command::Remember(type_url.to_owned(), name.to_owned(), version.to_owned()));
    }

    /// Tells the server how something stands that it does not ask for; see [`ClientCore::report`].
    pub fn report(&self, type_url: &str, problem: Option<String>) {
        self.send(Command::Report(type_url.to_owned(), problem));
    }

    /// Answers that everything in the response is in force (ACK).
    pub fn accept(&self, ticket: Ticket) {
        self.send(Command::Answer(ticket, Vec::new()));
    }

    /// Answers that the resources in `errors` were refused (NACK); what else was in the response is in force.
    pub fn reject(&self, ticket: Ticket, errors: Vec<ResourceError>) {
        self.send(Command::Answer(ticket, errors));
    }

    /// The connection, for what is sent beside the stream.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    fn send(&self, command: Command) {
        // The driver ends only with this handle or when nobody listens to events any more; then nothing needs doing.
        let _ = self.commands.send(command);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}
