//! Calls to an etcd of several members: when one is away the next is asked, and who is logged out logs in again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tokio_stream::StreamExt as _;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tulle_base::backoff::Backoff;

use super::error::{Failed, away, judge};
use super::messages::{
    AUTHENTICATE, AuthenticateRequest, AuthenticateResponse, WATCH, WatchCreateRequest, WatchRequest,
    WatchResponse,
};
use crate::StoreError;

/// How long a call may take at one member.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Tries per member before a call fails; between the tries there is about half a second altogether.
const TRIES: u32 = 3;
/// Longest answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// The members, and who we are to them.
#[derive(Debug)]
pub(super) struct Client {
    members: Vec<Channel>,
    current: AtomicUsize,
    user: Option<(String, String)>,
    token: Mutex<Option<String>>,
}

impl Client {
    /// `members` must not be empty.
    pub(super) fn new(members: Vec<Channel>, user: Option<(String, String)>) -> Self {
        Self { members, current: AtomicUsize::new(0), user, token: Mutex::default() }
    }

    /// One call, tried as often as makes sense.
    pub(super) async fn call<Q, A>(&self, path: &'static str, request: &Q) -> Result<A, Refused>
    where
        Q: Message + Clone + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut tries = Tries::new();
        loop {
            match self.once(path, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(status) => self.failed(status, &mut tries).await?,
            }
        }
    }

    /// A watch, confirmed or refused by its first answer.
    pub(super) async fn watch(
        &self,
        create: &WatchCreateRequest,
    ) -> Result<Streaming<WatchResponse>, Refused> {
        let mut tries = Tries::new();
        loop {
            match self.watch_once(create.clone()).await {
                Ok(answers) => return Ok(answers),
                Err(status) => self.failed(status, &mut tries).await?,
            }
        }
    }

    /// The member that was used last is away.
    pub(super) fn turn(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }

    fn member(&self) -> Channel {
        self.members[self.current.load(Ordering::Relaxed) % self.members.len()].clone()
    }

    /// Gets ready for the next try, or gives up.
    async fn failed(&self, status: Status, tries: &mut Tries) -> Result<(), Refused> {
        let most = TRIES.saturating_mul(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        match judge(status.clone()) {
            Failed::Away(status) if tries.backoff.failures() + 1 >= most => Err(away(&status).into()),
            Failed::Away(status) => {
                tracing::debug!(%status, "a member of etcd is away; trying the next");
                self.turn();
                tokio::time::sleep(tries.backoff.next(fastrand::f64())).await;
                Ok(())
            }
            Failed::LoggedOut if self.user.is_some() && !tries.logged_in_again => {
                tries.logged_in_again = true;
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(())
            }
            Failed::LoggedOut => Err(refused_login(&status).into()),
            Failed::TooLong => Err(Refused::TooLong),
            Failed::Compacted => Err(Refused::Compacted),
            Failed::Final(error) => Err(error.into()),
        }
    }

    async fn watch_once(&self, create: WatchCreateRequest) -> Result<Streaming<WatchResponse>, Status> {
        let first = WatchRequest { create_request: Some(create) };
        // The stream stays open: its end would end the watch.
        let mut request = Request::new(tokio_stream::once(first).chain(tokio_stream::pending()));
        self.sign(&mut request).await?;
        // A member that has lost the others ends the watch instead of being silent.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let mut grpc = Self::grpc(self.member()).await?;
        let codec: ProstCodec<WatchRequest, WatchResponse> = ProstCodec::default();
        let answer =
            tokio::time::timeout(TIMEOUT, grpc.streaming(request, PathAndQuery::from_static(WATCH), codec));
        Ok(answer.await.map_err(|_| late())??.into_inner())
    }

    async fn once<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut request = Request::new(request);
        self.sign(&mut request).await?;
        unary(self.member(), path, request).await
    }

    /// Shows the token, after logging in if there is none.
    async fn sign<T>(&self, request: &mut Request<T>) -> Result<(), Status> {
        let Some((name, password)) = &self.user else { return Ok(()) };
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let token = match token {
            Some(token) => token,
            None => {
                let ask = AuthenticateRequest { name: name.clone(), password: password.clone() };
                let answer: AuthenticateResponse =
                    unary(self.member(), AUTHENTICATE, Request::new(ask)).await?;
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.token.clone());
                answer.token
            }
        };
        let mut token =
            MetadataValue::try_from(token).map_err(|_| Status::internal("a token that is not ASCII"))?;
        token.set_sensitive(true);
        request.metadata_mut().insert("token", token);
        Ok(())
    }

    async fn grpc(channel: Channel) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_ANSWER);
        let ready = tokio::time::timeout(TIMEOUT, grpc.ready()).await.map_err(|_| late())?;
        ready.map_err(|e| Status::unavailable(describe(&e)))?;
        Ok(grpc)
    }
}

async fn unary<Q, A>(channel: Channel, path: &'static str, request: Request<Q>) -> Result<A, Status>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let mut grpc = Client::grpc(channel).await?;
    let codec: ProstCodec<Q, A> = ProstCodec::default();
    let answer = tokio::time::timeout(TIMEOUT, grpc.unary(request, PathAndQuery::from_static(path), codec));
    Ok(answer.await.map_err(|_| late())??.into_inner())
}

fn late() -> Status {
    Status::deadline_exceeded("no answer within 10 s")
}

fn refused_login(status: &Status) -> StoreError {
    StoreError::Refused(format!(
        "etcd says \"{}\"; name a user and a password that it knows",
        status.message()
    ))
}

/// What was tried of one call.
struct Tries {
    backoff: Backoff,
    logged_in_again: bool,
}

impl Tries {
    fn new() -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(400));
        Self { backoff, logged_in_again: false }
    }
}

/// An error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Why a call was given up.
#[derive(Debug)]
pub(super) enum Refused {
    /// Ask for less.
    TooLong,
    /// The revision is compacted.
    Compacted,
    /// Anything else.
    Error(Box<StoreError>),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooLong => Self::Protocol("a single object of etcd is too long"),
            Refused::Compacted => Self::Expired { from: 0, oldest: 0 },
            Refused::Error(error) => *error,
        }
    }
}
