//! What is remembered of a request until its end, for metrics and access logs.

use std::{
    borrow::Cow,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tulle_telemetry::{
    ResponseFlag, ResponseFlags,
    metrics::PeerId,
    trace::{Event, SpanId, TraceId},
};

use crate::{
    cluster::{Host, LocalCluster, host::UpstreamFacts},
    trace::{Active, Observe},
};

/// The record of one request.
#[derive(Debug)]
pub(crate) struct Record {
    /// When its first byte was seen.
    pub(crate) start: Instant,
    /// The same by the calendar.
    pub(crate) wall: SystemTime,
    /// Uniform; the same for every decision about the request.
    pub(crate) random: u64,
    /// The client, behind trusted proxies.
    pub(crate) remote: SocketAddr,
    /// Whether the client is believed what it says in `x-envoy-*` headers.
    pub(crate) trusted: bool,
    /// What happened beyond the status.
    pub(crate) flags: ResponseFlags,
    /// Why the status is what it is.
    pub(crate) details: Cow<'static, str>,
    /// The status sent; 0 for none.
    pub(crate) status: u16,
    /// Whether the response was complete.
    pub(crate) completed: bool,
    /// Whether it is gRPC.
    pub(crate) grpc: bool,
    /// No head could be read: the log knows nothing of the request.
    pub(crate) headless: bool,
    /// gRPC status, from the head or the trailers of the response; -1 if what stands there is none.
    pub(crate) grpc_status: Option<i32>,
    /// Bytes of body received and sent.
    pub(crate) body: (u64, u64),
    /// Tries made.
    pub(crate) attempts: u32,
    /// The cluster, once one was chosen.
    pub(crate) cluster: Option<Rc<LocalCluster>>,
    /// The endpoint, once one was chosen.
    pub(crate) host: Option<Rc<Host>>,
    /// The connection to it.
    pub(crate) upstream: Option<Rc<UpstreamFacts>>,
    /// Whether HTTP/2 was spoken upstream.
    pub(crate) upstream_h2: bool,
    /// From start to the first byte of the endpoint's answer.
    pub(crate) answered: Option<Duration>,
    /// The status that the endpoint of the present try answered; 0 for none.
    pub(crate) try_status: u16,
    /// Why the transport failed.
    pub(crate) transport_failure: String,
    /// What the peer told about itself.
    pub(crate) peer: Option<PeerId>,
    /// The AUDIT policy that asks for a record.
    pub(crate) audited: Option<Arc<str>>,
    /// How much is remembered of what happens.
    pub(crate) observe: Observe,
    /// What happened, for spans.
    pub(crate) events: Vec<Event>,
    /// Events that there was no room for.
    pub(crate) lost_events: u32,
    /// The ids of its trace and of its own span.
    pub(crate) ids: Option<(TraceId, SpanId)>,
    /// The trace.
    pub(crate) trace: Option<Active>,
}

impl Record {
    /// The record of a request that begins now.
    pub(crate) fn new(start: Instant, remote: SocketAddr) -> Self {
        Self {
            start,
            wall: SystemTime::now(),
            random: fastrand::u64(..),
            remote,
            trusted: false,
            flags: ResponseFlags::NONE,
            details: Cow::Borrowed(""),
            status: 0,
            completed: false,
            grpc: false,
            headless: false,
            grpc_status: None,
            body: (0, 0),
            attempts: 0,
            cluster: None,
            host: None,
            upstream: None,
            upstream_h2: false,
            answered: None,
            try_status: 0,
            transport_failure: String::new(),
            peer: None,
            audited: None,
            observe: Observe::No,
            events: Vec::new(),
            lost_events: 0,
            ids: None,
            trace: None,
        }
    }

    /// Notes a flag and why.
    pub(crate) fn note(&mut self, flag: ResponseFlag, details: impl Into<Cow<'static, str>>) {
        self.flags.insert(flag);
        self.details = details.into();
    }
}
