//! Sending responses of our own.

use std::{
    borrow::Cow,
    future::poll_fn,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use tulle_engine::{
    decide::{header_ops, route::Found},
    runtime::{RouteTable, route::WeightedCluster},
};
use tulle_http::{HeaderList, Known, ResponseHead};
use tulle_telemetry::{ResponseFlag, details as d};

use super::{
    attempt::Late,
    context,
    digits::Digits,
    exchange::{Exchange, Incoming},
    filters::{self, Left},
    finish,
    flow::Flow,
    forward, headers,
    manager::LocalManager,
    pace::Pace,
    record::Record,
    reply::Reply,
    scratch::Scratch,
    side::{Length, Side},
};
use crate::listener::facts::Conn;

impl Exchange<'_> {
    /// Applies the route's response header changes to a response that the route makes instead of an upstream.
    pub(crate) fn change_reply(
        &mut self,
        table: &RouteTable,
        found: &Found<'_>,
        weighted: Option<&WeightedCluster>,
        reply: &mut Reply,
    ) {
        let levels = header_ops::levels(table, found.virtual_host, found.route, weighted, true);
        if levels.iter().flatten().all(|ops| ops.is_empty()) {
            return;
        }
        if let Some(flag) = reply.flag {
            self.record.flags.insert(flag);
        }
        self.record.details = reply.details.clone();
        let mut head = reply.headers.take().unwrap_or_else(|| Box::new(ResponseHead::new(reply.status)));
        let mut text = std::mem::take(&mut self.s.text);
        let cx = context::of(self, &found.route.name);
        for ops in levels.into_iter().flatten().filter(|ops| !ops.is_empty()) {
            header_ops::apply_to_response(ops, &mut head, &self.s.request, &cx, &mut text);
        }
        self.s.text = text;
        reply.headers = Some(head);
    }

    /// Sends a response of our own, or breaks off where a response is under way already.
    pub(crate) async fn reply(&mut self, mut reply: Reply) {
        if let Some(flag) = reply.flag {
            self.record.flags.insert(flag);
        }
        let switches = self.incoming.upgrade || self.s.request.is_connect();
        if reply.close || !self.flow.done || switches {
            // What is left of the request would be read as the next one.
            self.keep = false;
        }
        if self.answered || reply.status == 0 {
            self.record.details = reply.details;
            self.keep = false;
            return;
        }
        let grpc = self.record.grpc && reply.status != 307;
        if let Some(local) = &self.manager.local_replies {
            local.rewrite(self, &mut reply, grpc);
        }
        let is_head = self.s.request.method == tulle_http::Method::Head;
        let body = reply.fill(&mut self.s.response, grpc, is_head);
        let version = self.s.request.version;
        filters::respond(self, Length::Known(body.len() as u64));
        let body = if filters::grpc_web::becomes_message(self) {
            filters::grpc_web::into_message(self, body);
            &[]
        } else {
            body
        };
        let mut work = self.back.work.take();
        let pace = work.as_mut().and_then(|work| work.pace.take());
        let body = match work.filter(|work| work.changes()).map(|work| work.whole(body)) {
            None => Cow::Borrowed(body),
            Some(Ok(body)) => Cow::Owned(body),
            Some(Err(_)) => {
                self.down.abort();
                self.keep = false;
                return;
            }
        };
        headers::finish_response(&mut self.s.response, &self.manager.config, self.record.wall);
        forward::tell_request_id(self);
        if !body.is_empty() {
            // HTTP/1 frames by it anyway; HTTP/2 and answers to HEAD say it as well.
            let digits = Digits::of(body.len() as u64);
            self.s.response.headers.set(Known::ContentLength, digits.text());
        }
        let length = if body.is_empty() { Length::Known(0) } else { Length::Known(body.len() as u64) };
        let request = (&self.s.request.method, version);
        self.keep = self.down.write_response(&self.s.response, length, request, self.keep);
        self.answered = true;
        self.record.status = self.s.response.status;
        self.record.details = reply.details.clone();
        self.record.grpc_status = headers::grpc_status(&self.s.response.headers);
        let silent = *request.0 == tulle_http::Method::Head || matches!(self.record.status, 204 | 304);
        let sent = match pace {
            _ if silent => true,
            // Boxed: few answers go slowly.
            Some(pace) => Box::pin(self.drip(pace, &body)).await,
            None => self.down.write_data(&body).is_ok(),
        };
        self.record.body.1 = if silent { 0 } else { body.len() as u64 };
        let ended = sent && self.down.write_end(&HeaderList::new()).is_ok();
        if !ended || !self.flush().await {
            self.keep = false;
            return;
        }
        self.record.completed = true;
    }

    /// Writes a body slowly; `false` if the client does not take it.
    async fn drip(&mut self, mut pace: Pace, mut body: &[u8]) -> bool {
        let (down, clocks, complete) = (&mut *self.down, &mut self.s.clocks, self.flow.done);
        clocks.route.clear();
        clocks.per_try.clear();
        poll_fn(|cx| {
            while !body.is_empty() {
                let Poll::Ready(room) = down.poll_room(cx) else { break };
                let Ok(room) = room else { return Poll::Ready(false) };
                let Poll::Ready(count) = pace.poll_take(cx, body.len().min(room)) else { break };
                let (now, later) = body.split_at(count);
                if down.write_data(now).is_err() {
                    return Poll::Ready(false);
                }
                body = later;
                clocks.moved();
            }
            if body.is_empty() {
                return Poll::Ready(true);
            }
            let failed = matches!(down.poll_flush(cx), Poll::Ready(Err(_)));
            if failed || (complete && down.poll_gone(cx).is_ready()) {
                return Poll::Ready(false);
            }
            clocks.poll(cx).map(|_: Late| false)
        })
        .await
    }

    /// Writes out what waits for the client; `false` if the client does not take it.
    async fn flush(&mut self) -> bool {
        let (down, clocks) = (&mut *self.down, &mut self.s.clocks);
        clocks.route.clear();
        clocks.per_try.clear();
        poll_fn(|cx| match down.poll_flush(cx) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending => clocks.poll(cx).map(|_: Late| false),
        })
        .await
    }

    /// Answers a request whose body is not what it says it is encoded in.
    pub(crate) fn undecodable(&self) -> Reply {
        match filters::grpc_web::undecodable(self) {
            Some(reply) => reply,
            None => self.malformed(),
        }
    }

    /// Answers a request whose head or body is malformed, before or instead of a route.
    pub(crate) fn malformed(&self) -> Reply {
        self.manager.stats.downstream_cx_protocol_error.inc();
        Reply::new(400, "Bad Request", "http1.codec_error")
            .flag(ResponseFlag::DownstreamProtocolError)
            .closing()
    }
}

/// A redirect to `location`.
pub(crate) fn redirect(status: u16, location: &str) -> Reply {
    let mut reply = Reply::new(status, "", d::DIRECT_RESPONSE);
    let mut extra = ResponseHead::new(status);
    extra.headers.set(Known::Location, location.as_bytes());
    reply.headers = Some(Box::new(extra));
    reply
}

/// Answers a head that could not be read. The connection is closed afterwards.
pub(crate) async fn refuse(
    conn: &Rc<Conn>,
    manager: &Rc<LocalManager>,
    down: &mut Side,
    scratch: &mut Scratch,
    start: Instant,
    (status, details, flagged): (u16, &'static str, bool),
) {
    let names = conn.names();
    let incoming =
        Incoming { length: Length::None, keep_alive: false, upgrade: false, expect_continue: false, start };
    scratch.request.clear();
    let mut x = Exchange {
        view: conn.view(conn.arrival.peer, (&names.0, &names.1)),
        record: Record::new(start, conn.arrival.peer),
        flow: Flow { done: true, ..Flow::default() },
        back: Flow::default(),
        keep: false,
        answered: false,
        table: None,
        found: None,
        left: Left::default(),
        held: None,
        health_check: false,
        metadata: None,
        conn,
        manager,
        down,
        s: scratch,
        incoming,
    };
    x.record.headless = true;
    let mut reply = Reply::new(status, tulle_http::reason_phrase(status), details).closing();
    if status == 426 {
        // RFC 9110 section 15.5.22: what to speak instead.
        let mut extra = ResponseHead::new(status);
        extra.headers.set(Known::Upgrade, b"HTTP/1.1");
        reply.headers = Some(Box::new(extra));
    }
    if flagged {
        reply = reply.flag(ResponseFlag::DownstreamProtocolError);
    }
    x.s.clocks.idle_timeout = Duration::from_secs(5);
    x.s.clocks.moved();
    x.reply(reply).await;
    x.s.clocks.stop();
    finish::finish(&mut x);
}
