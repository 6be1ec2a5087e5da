//! `envoy.filters.http.stateful_session`: sessions that stay at an endpoint.

use std::sync::Arc;
use std::time::Duration;

use tulle_http::HeaderName;

/// How the requests of a session find the endpoint of the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// Where the endpoint is written.
    pub state: SessionState,
    /// Whether a session whose endpoint cannot be asked fails; otherwise it moves to another one.
    pub strict: bool,
    /// With what status it fails where there is no such endpoint; 503 by default, and where there is one that is not well.
    pub strict_status: u16,
}

/// Where the endpoint of a session is written, by the proxy for the client and by the client for the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// In a cookie.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// Its path, which is that of requests with sessions; empty and `/` for all.
        path: Arc<str>,
        /// How long the session lasts; zero for as long as the client keeps the cookie.
        ttl: Duration,
        /// The cookie goes with the browser, although the session has an end.
        browser: bool,
        /// Further attributes.
        attributes: Vec<(Arc<str>, Arc<str>)>,
    },
    /// In a header.
    Header(HeaderName),
}
