//! One request from its head to its log line.

use std::{rc::Rc, time::Instant};

use tulle_engine::{
    decide::{
        client,
        path::{self, PathVerdict},
        rewrite,
        route::{self, Found, RouteInput},
        view::Connection,
    },
    runtime::{RouteTable, http_manager::UnderscoreAction, metadata::Metadata, route::Action},
};
use tulle_http::{Known, ResponseHead, Version, h1};
use tulle_telemetry::details as d;

use super::{
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
    replying,
    scratch::Scratch,
    side::{Length, Side},
};
use crate::{listener::facts::Conn, trace};

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
    scratch.trailers.clear();
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
            self.reply(replying::redirect(301, &location)).await;
            return;
        }
        self.found = self.table.and_then(|table| self.find(table));
        trace::begin::begin(self);
        if let Some(reply) = filters::run(self).await {
            self.note_cluster();
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
        if config.add_user_agent {
            let settings = &self.conn.worker.settings;
            headers::name_ourselves(head, &settings.service_cluster, &settings.node_id);
        }
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

    /// Notes whom a request was for that a filter answers: telemetry tells it as Envoy's does.
    fn note_cluster(&mut self) {
        let action = self.found.as_ref().map(|found| &found.route.action);
        if let (None, Some(Action::Forward(to))) = (&self.record.cluster, action) {
            let picked = route::pick_cluster(&to.cluster, &self.s.request, self.record.random, None);
            self.record.cluster = self.conn.worker.cluster(picked.name);
        }
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
                let mut reply = replying::redirect(to.status, &location);
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
            Err(_) => Some(self.undecodable()),
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
