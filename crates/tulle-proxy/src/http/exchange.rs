//! One request from its head to its log line.

use std::{
    borrow::Cow,
    future::poll_fn,
    rc::Rc,
    time::{Duration, Instant},
};

use tulle_engine::{
    decide::{
        client,
        path::{self, PathVerdict},
        rewrite,
        route::{self, Found, RouteInput},
        view::Connection,
    },
    runtime::{
        RouteTable,
        http_manager::UnderscoreAction,
        metadata::Metadata,
        route::{Action, WeightedCluster},
    },
};
use tulle_http::{HeaderList, Known, RequestHead, ResponseHead, Version, h1};
use tulle_telemetry::{ResponseFlag, details as d};

use super::{
    attempt::{Clocks, Late},
    codec::Work,
    context,
    digits::Digits,
    filters::{self, Left},
    finish,
    flow::{Flow, Messages},
    forward, headers,
    manager::LocalManager,
    record::Record,
    reply::{Body, Reply},
    side::{Length, Side},
};
use crate::{listener::facts::Conn, worker::timers::Timers};

/// Memory that the requests of one connection use one after the other.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// The request under way.
    pub(crate) request: RequestHead,
    /// Its response.
    pub(crate) response: ResponseHead,
    /// Its clocks.
    pub(crate) clocks: Clocks,
    /// Values of header changes.
    pub(crate) text: String,
}

impl Scratch {
    /// Memory for requests of a task of the worker that `timers` belongs to.
    pub(crate) fn new(timers: &Timers) -> Self {
        Self {
            request: RequestHead::default(),
            response: ResponseHead::default(),
            clocks: Clocks {
                route: Default::default(),
                per_try: Default::default(),
                life: Default::default(),
                request: Default::default(),
                idle: timers.deadline(),
                completed: None,
                route_timeout: None,
                idle_timeout: Duration::ZERO,
            },
            text: String::new(),
        }
    }
}

/// What is known of a request beyond its head when it comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    /// How long its body is.
    pub(crate) length: Length,
    /// Whether the client lets the connection live on.
    pub(crate) keep_alive: bool,
    /// Whether it asks to upgrade.
    pub(crate) upgrade: bool,
    /// Whether the client waits for 100 before it sends the body.
    pub(crate) expect_continue: bool,
    /// When its first byte was seen.
    pub(crate) start: Instant,
}

/// A request under way.
pub(crate) struct Exchange<'a> {
    pub(crate) conn: &'a Rc<Conn>,
    pub(crate) manager: &'a Rc<LocalManager>,
    pub(crate) view: Connection<'a>,
    pub(crate) down: &'a mut Side,
    pub(crate) s: &'a mut Scratch,
    pub(crate) record: Record,
    /// The request's body.
    pub(crate) flow: Flow,
    /// The response's body.
    pub(crate) back: Flow,
    pub(crate) incoming: Incoming,
    /// Whether the downstream connection may live on.
    pub(crate) keep: bool,
    /// Whether a response head has been written.
    pub(crate) answered: bool,
    /// The route table in force when the request came.
    pub(crate) table: Option<&'a RouteTable>,
    /// The route that took the request.
    pub(crate) found: Option<Found<'a>>,
    /// What the filters are still to do with the response.
    pub(crate) left: Left,
    /// The request's body, once a filter has held all of it.
    pub(crate) held: Option<Vec<u8>>,
    /// Whether a filter takes the request for a health check.
    pub(crate) health_check: bool,
    /// What filters have written about the request.
    pub(crate) metadata: Option<Box<Metadata>>,
}

/// Serves the request whose head is in `scratch`. Returns whether the connection may carry another one.
pub(crate) async fn exchange(
    conn: &Rc<Conn>,
    manager: &Rc<LocalManager>,
    down: &mut Side,
    scratch: &mut Scratch,
    incoming: Incoming,
) -> bool {
    let _active = conn.worker.count(|g| &g.requests);
    manager.stats.downstream_rq_total.inc();
    manager.stats.downstream_rq_active.inc();
    let names = conn.names();
    let table = manager.table(&conn.worker);
    let mut x = Exchange {
        view: conn.view(conn.arrival.peer, (&names.0, &names.1)),
        record: Record::new(incoming.start, conn.arrival.peer),
        flow: Flow { done: incoming.length.is_empty(), ..Flow::default() },
        back: Flow::default(),
        keep: incoming.keep_alive && !conn.is_draining(),
        answered: false,
        table: table.as_deref().map(|table| &**table),
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
    x.serve().await;
    x.s.clocks.stop();
    finish::finish(&mut x);
    manager.stats.downstream_rq_active.dec();
    x.keep
}

impl<'a> Exchange<'a> {
    /// Everything but the log line.
    async fn serve(&mut self) {
        if let Some(reply) = self.accept() {
            self.reply(reply).await;
            return;
        }
        let host = self.table.and_then(|table| route::virtual_host(table, &self.s.request));
        if host.is_some_and(|host| route::must_use_tls(host, &self.s.request, self.record.trusted)) {
            let location = format!("https://{}{}", self.s.request.authority, self.s.request.path);
            self.reply(redirect(301, &location)).await;
            return;
        }
        self.found = self.table.and_then(|table| self.find(table));
        if let Some(reply) = filters::run(self).await {
            self.reply(reply).await;
            return;
        }
        let outcome = match (self.found, self.table) {
            (Some(found), Some(table)) => self.act(table, &found).await,
            _ => Err(self.no_route()),
        };
        if let Err(reply) = outcome {
            self.reply(reply).await;
        }
    }

    fn no_route(&self) -> Reply {
        self.manager.stats.no_route.inc();
        Reply::no_route()
    }

    /// Brings the head in order before anybody looks at it.
    fn accept(&mut self) -> Option<Reply> {
        let config = &self.manager.config;
        let head = &mut self.s.request;
        if self.conn.tls.is_some() {
            head.scheme = tulle_http::Scheme::Https;
        }
        // First of all, so that no field that is added below can be nominated away.
        if !headers::leave_hop(head, self.incoming.upgrade) {
            return Some(Reply::new(400, "", "http1.connection_header_rejected").closing());
        }
        if head.authority.is_empty() {
            let default = &config.http1.default_host_for_http_10;
            if head.version != Version::Http10 || default.is_empty() {
                return Some(Reply::new(400, "", "missing_host_header"));
            }
            head.authority.push_str(default);
        }
        let own_ip = self.conn.worker.own_ip.unwrap_or(self.view.local.ip());
        let client = client::accept(head, &config.remote_address, &self.view, own_ip);
        self.record.remote = client.remote;
        self.record.trusted = client.internal;
        if config.limits.underscores == UnderscoreAction::Reject
            && head.headers.iter().any(|field| field.name.contains(&b'_'))
        {
            return Some(Reply::new(400, "Bad Request", "http.unexpected_underscore").closing());
        }
        self.view.remote = client.remote;
        client::forward_client_cert(head, config.client_cert, &self.view);
        headers::accept(head, config, &client);
        if let Some(reply) = headers::max_forwards(head) {
            return Some(reply);
        }
        self.record.grpc = route::is_grpc(head);
        if self.record.grpc && self.manager.counts_messages {
            self.flow.messages = Some(Messages::default());
            self.back.messages = Some(Messages::default());
        }
        super::peer::read_request(self);
        let head = &mut self.s.request;
        self.s.clocks.idle_timeout = config.timeouts.stream_idle.unwrap_or_default();
        self.s.clocks.moved();
        if let Some(limit) = config.timeouts.request
            && !self.flow.done
        {
            self.s.clocks.request.set(self.record.start + limit);
        }
        match path::clean(head, config.path) {
            PathVerdict::Continue => {}
            PathVerdict::Reject => {
                return Some(Reply::new(400, "", d::PATH_NORMALIZATION_FAILED).closing());
            }
            PathVerdict::Redirect => {
                let mut reply = Reply::new(307, "", "path_normalization_redirect");
                let mut extra = ResponseHead::new(307);
                extra.headers.set(Known::Location, head.path.as_bytes());
                reply.headers = Some(Box::new(extra));
                return Some(reply);
            }
        }
        path::clean_host(head, config.host, self.view.local.port());
        None
    }

    pub(crate) fn find<'t>(&self, table: &'t RouteTable) -> Option<Found<'t>> {
        let input = RouteInput {
            head: &self.s.request,
            connection: &self.view,
            metadata: self.metadata.as_deref(),
            random: self.record.random,
        };
        route::find(table, &input, &mut ()).ok()
    }

    /// Does what the route says.
    async fn act(&mut self, table: &RouteTable, found: &Found<'_>) -> Result<(), Reply> {
        match &found.route.action {
            Action::Forward(to) => forward::forward(self, table, found, to).await,
            Action::NotForwarded => Err(Reply::no_cluster(503)),
            Action::Redirect(to) => {
                self.manager.stats.rq_redirect.inc();
                let cx = context::of(self, &found.route.name);
                let location = rewrite::location(to, &found.route.matches.path, &self.s.request, &cx);
                let mut reply = redirect(to.status, &location);
                self.change_reply(table, found, None, &mut reply);
                Err(reply)
            }
            Action::DirectResponse(to) => {
                self.manager.stats.rq_direct_response.inc();
                let mut reply = Reply::new(to.status, "", d::DIRECT_RESPONSE);
                reply.body = Body::Bytes(to.body.clone());
                self.change_reply(table, found, None, &mut reply);
                Err(reply)
            }
        }
    }

    /// Applies the route's response header changes to a response that the route makes instead of an upstream.
    pub(crate) fn change_reply(
        &mut self,
        table: &RouteTable,
        found: &Found<'_>,
        weighted: Option<&WeightedCluster>,
        reply: &mut Reply,
    ) {
        let levels =
            tulle_engine::decide::header_ops::levels(table, found.virtual_host, found.route, weighted, true);
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
            tulle_engine::decide::header_ops::apply_to_response(
                ops,
                &mut head,
                &self.s.request,
                &cx,
                &mut text,
            );
        }
        self.s.text = text;
        reply.headers = Some(head);
    }

    /// Lets filters do something with the request's body. An answer ends the request: what it held cannot be read.
    pub(crate) fn work_on_request(&mut self, make: impl FnOnce(&mut Work)) -> Option<Reply> {
        let Some(body) = self.held.take() else {
            make(self.flow.work.get_or_insert_default());
            self.incoming.length = Length::Unknown;
            return None;
        };
        let mut work = Work::default();
        make(&mut work);
        match work.whole(&body) {
            Ok(body) => {
                self.hold(body);
                None
            }
            Err(_) => Some(self.malformed()),
        }
    }

    /// Goes on with a body that is at hand.
    pub(crate) fn hold(&mut self, body: Vec<u8>) {
        let length = body.len() as u64;
        self.incoming.length = Length::Known(length);
        self.s.request.headers.set(Known::ContentLength, Digits::of(length).text());
        self.held = Some(body);
    }

    /// Tells a client that waits for it that the body may come.
    pub(crate) fn let_body_come(&mut self) {
        if !self.incoming.expect_continue || self.manager.config.proxy_100_continue {
            return;
        }
        self.incoming.expect_continue = false;
        self.s.request.headers.remove(Known::Expect);
        self.down.write_informational(&ResponseHead::new(100));
    }

    /// Sends a response of our own, or breaks off where a response is under way already.
    pub(crate) async fn reply(&mut self, reply: Reply) {
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
        let body = reply.fill(&mut self.s.response, grpc);
        let version = self.s.request.version;
        filters::respond(self, Length::Known(body.len() as u64));
        let body = match self.back.work.take().map(|work| work.whole(body)) {
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
        let sent = if silent { Ok(()) } else { self.down.write_data(&body) };
        self.record.body.1 = if silent { 0 } else { body.len() as u64 };
        let ended = sent.and_then(|()| self.down.write_end(&HeaderList::new()));
        if ended.is_err() || !self.flush().await {
            self.keep = false;
            return;
        }
        self.record.completed = true;
    }

    /// Writes out what waits for the client; `false` if the client does not take it.
    async fn flush(&mut self) -> bool {
        let (down, clocks) = (&mut *self.down, &mut self.s.clocks);
        clocks.route.clear();
        clocks.per_try.clear();
        poll_fn(|cx| match down.poll_flush(cx) {
            std::task::Poll::Ready(result) => std::task::Poll::Ready(result.is_ok()),
            std::task::Poll::Pending => clocks.poll(cx).map(|_: Late| false),
        })
        .await
    }

    /// Answers a request whose head or body is malformed, before or instead of a route.
    pub(crate) fn malformed(&self) -> Reply {
        self.manager.stats.downstream_cx_protocol_error.inc();
        Reply::new(400, "Bad Request", "http1.codec_error")
            .flag(ResponseFlag::DownstreamProtocolError)
            .closing()
    }
}

fn redirect(status: u16, location: &str) -> Reply {
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

/// What an HTTP/1 request head says beyond its fields.
impl Incoming {
    /// From a parsed head.
    pub(crate) fn of_h1(parsed: &h1::RequestParsed, start: Instant) -> Self {
        Self {
            length: parsed.body.into(),
            keep_alive: parsed.keep_alive,
            upgrade: parsed.upgrade,
            expect_continue: parsed.expect_continue,
            start,
        }
    }
}
