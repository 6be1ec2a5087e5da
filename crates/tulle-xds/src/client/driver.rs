//! Runs a [`ClientCore`] over one connection after another.

use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};
use tulle_base::backoff::Backoff;

use super::core::ClientCore;
use super::transport::{Connector, channel};
use super::{Command, Config, Event};
use crate::wire::{self, DeltaDiscoveryRequest, DeltaDiscoveryResponse};

type Codec = tonic_prost::ProstCodec<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/// Why a session ended.
enum End {
    /// The owner is gone.
    Stopped,
    /// The connection failed or was closed.
    Lost(String),
}

struct Driver {
    config: Config,
    core: ClientCore,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Event>,
    /// The connection while there is one.
    connection: watch::Sender<Option<tonic::transport::Channel>>,
    unanswered: usize,
    backoff: Backoff,
}

/// Connects, serves, and connects again until the client is dropped.
pub(super) async fn run(
    config: Config,
    connector: Connector,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Event>,
    connection: watch::Sender<Option<tonic::transport::Channel>>,
) {
    let core = ClientCore::new(config.node.clone());
    let backoff = Backoff::new(config.min_backoff, config.max_backoff);
    let mut driver = Driver { config, core, commands, events, connection, unanswered: 0, backoff };
    loop {
        let end = driver.session(&connector).await;
        driver.core.disconnected();
        driver.connection.send_replace(None);
        let End::Lost(reason) = end else { return };
        let wait = driver.backoff.next(fastrand::f64());
        tracing::debug!(reason, retry_in = ?wait, "xds stream lost");
        if driver.events.send(Event::Disconnected { reason, retry_in: wait }).await.is_err() {
            return;
        }
        if !driver.pause(wait).await {
            return;
        }
    }
}

impl Driver {
    async fn session(&mut self, connector: &Connector) -> End {
        let channel =
            match channel(&self.config.authority, self.config.connect_timeout, connector.clone()).await {
                Ok(channel) => channel,
                Err(error) => return End::Lost(chain(&error)),
            };
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
        }
        let beside = channel.clone();
        let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(self.config.max_message);
        if let Err(error) = grpc.ready().await {
            return End::Lost(chain(&error));
        }
        // Requests are small; what does not fit waits in the core.
        let (requests, receiver) = mpsc::channel::<DeltaDiscoveryRequest>(16);
        self.core.connected();
        let opening = grpc.streaming(
            Request::new(ReceiverStream::new(receiver)),
            PathAndQuery::from_static(wire::DELTA_PATH),
            Codec::default(),
        );
        tokio::pin!(opening);
        let mut responses: Streaming<DeltaDiscoveryResponse> = loop {
            tokio::select! {
                opened = &mut opening => match opened {
                    Ok(response) => break response.into_inner(),
                    Err(status) => return End::Lost(describe(&status)),
                },
                end = self.exchange(&requests) => if let Some(end) = end { return end },
            }
        };
        self.connection.send_replace(Some(beside));
        if self.events.send(Event::Connected).await.is_err() {
            return End::Stopped;
        }
        loop {
            let room = self.unanswered < self.config.max_unanswered;
            tokio::select! {
                response = responses.next(), if room => match response {
                    Some(Ok(response)) => {
                        self.backoff.reset();
                        if let Some(end) = self.deliver(response).await {
                            return end;
                        }
                    }
                    Some(Err(status)) => return End::Lost(describe(&status)),
                    None => return End::Lost("the server closed the stream".to_owned()),
                },
                end = self.exchange(&requests) => if let Some(end) = end { return end },
            }
        }
    }

    /// Sends what waits, else obeys one command. Cancel safe: a request leaves the core only when there is room for it.
    async fn exchange(&mut self, requests: &mpsc::Sender<DeltaDiscoveryRequest>) -> Option<End> {
        while let Ok(room) = requests.try_reserve() {
            let Some(request) = self.core.next_request() else { break };
            room.send(request);
        }
        let full = requests.capacity() == 0;
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(command) => self.obey(command),
                None => return Some(End::Stopped),
            },
            _ = requests.reserve(), if full => {}
        }
        None
    }

    async fn deliver(&mut self, response: DeltaDiscoveryResponse) -> Option<End> {
        let update = self.core.response(response)?;
        self.unanswered += 1;
        match self.events.send(Event::Update(update)).await {
            Ok(()) => None,
            Err(_) => Some(End::Stopped),
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Subscribe(type_url, interest) => self.core.subscribe(&type_url, interest),
            Command::Unsubscribe(type_url, names) => self.core.unsubscribe(&type_url, &names),
            Command::Remember(type_url, name, version) => self.core.remember(&type_url, &name, &version),
            Command::Report(type_url, problem) => self.core.report(&type_url, problem),
            Command::Answer(ticket, errors) => {
                self.unanswered = self.unanswered.saturating_sub(1);
                self.core.answer(ticket, errors);
            }
        }
    }

    /// Waits, obeying commands meanwhile; false when the client was dropped.
    async fn pause(&mut self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return true,
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return false,
                },
            }
        }
    }
}

fn describe(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
