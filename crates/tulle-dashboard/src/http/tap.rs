//! Traces, records of requests, and their stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

use super::{Api, Asked, Reply};
use crate::traces::{self, Answer, Filter, Listener};

/// The path of the stream.
pub(super) const STREAM: &str = "/api/requests/stream";
/// How often a stream without events shows that it lives.
const ALIVE: Duration = Duration::from_secs(15);
/// Requests that wait for a reader; one that does not read loses the rest, and is told how many.
const WAITING: usize = 64;

/// Who may listen at a time.
const MOST: usize = 64;
/// Ways out.
const WRONG: &str = "see docs/tracing.md for the parameters";
const MISSING: &str = "it may have made room for newer ones; sample more, or use a collector that keeps more";

/// Answers what concerns traces and requests; `None` if something else is asked for.
pub(super) fn answer(api: &Api, asked: &Asked) -> Option<Reply> {
    let found = traces::answer(api.traces.as_ref()?, &asked.path, &asked.params)?;
    if asked.method != hyper::Method::GET {
        return Some(Reply::text(405, "only GET\n"));
    }
    Some(match found {
        Answer::Found(value) => Reply::json(value.to_string().into_bytes()),
        Answer::Missing(error) => Reply::refused(404, "NotFound", &error, MISSING),
        Answer::Wrong(error) => Reply::refused(400, "BadParameter", &error, WRONG),
    })
}

/// Begins a stream of records, if one is asked for.
pub(super) fn stream(api: &Api, asked: &Asked) -> Option<Result<Requests, Reply>> {
    let traces =
        api.traces.as_ref().filter(|_| asked.method == hyper::Method::GET && asked.path == STREAM)?;
    if traces.listeners() >= MOST {
        return Some(Err(Reply::refused(
            503,
            "TooMany",
            "too many listen to requests",
            "close some, or ask again later",
        )));
    }
    Some(match Filter::read(&asked.params) {
        Ok(filter) => Ok(Requests::begin(traces.listen(filter))),
        Err(error) => Err(Reply::refused(400, "BadParameter", &error, WRONG)),
    })
}

/// The body of a stream.
#[derive(Debug)]
pub(super) struct Requests(mpsc::Receiver<Bytes>);

impl Requests {
    fn begin(mut listener: Listener) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            loop {
                let text = match tokio::time::timeout(ALIVE, listener.next()).await {
                    Ok(Some(heard)) => heard.to_event(),
                    Ok(None) => return,
                    Err(_) => ": alive\n\n".to_owned(),
                };
                // Whoever does not read is waited for here, and meanwhile falls behind.
                if sender.send(text.into()).await.is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }
}

impl Body for Requests {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}
