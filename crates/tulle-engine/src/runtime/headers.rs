//! Changes to the headers of a request or response.

use std::sync::Arc;

use super::matcher::{HeaderKey, HeaderName};

/// Changes of one level (weighted cluster, route, virtual host, route table), in order.
#[derive(Clone, Debug, Default)]
pub struct HeaderOps {
    /// Headers to set, add or replace. Applied after `remove`.
    pub add: Vec<HeaderAdd>,
    /// Headers to remove.
    pub remove: Vec<HeaderName>,
}

impl HeaderOps {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// One header to add (`HeaderValueOption`).
#[derive(Clone, Debug)]
pub struct HeaderAdd {
    /// The header.
    pub name: HeaderName,
    /// What to write.
    pub value: Template,
    /// What to do when it is there already.
    pub action: AppendAction,
    /// Whether an empty value is written; otherwise it leaves the headers as they are.
    pub keep_empty: bool,
}

/// `HeaderValueOption.append_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendAction {
    /// Another line beside those that are there.
    Append,
    /// Only if there is none.
    AddIfAbsent,
    /// In place of those that are there.
    Overwrite,
    /// In place of those that are there, and only if there are any.
    OverwriteIfExists,
}

/// A text with `%VARIABLES%`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// Without variables.
    Text(Arc<str>),
    /// In pieces.
    Parts(Vec<TemplatePart>),
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// Text as it is.
    Text(Arc<str>),
    /// A variable.
    Variable(Variable),
}

/// The variables that header values may use (Envoy's command operators).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `%REQ(X?Y):Z%`: a request header, or another if it is missing, cut to Z characters.
    RequestHeader {
        /// First choice.
        name: HeaderKey,
        /// Second choice.
        alternative: Option<HeaderKey>,
        /// Most characters to write.
        max_len: Option<usize>,
    },
    /// `%RESP(X?Y):Z%`: a response header.
    ResponseHeader {
        /// First choice.
        name: HeaderKey,
        /// Second choice.
        alternative: Option<HeaderKey>,
        /// Most characters to write.
        max_len: Option<usize>,
    },
    /// `%PROTOCOL%`, such as `HTTP/1.1`.
    Protocol,
    /// `%HOSTNAME%` of the machine.
    Hostname,
    /// `%DOWNSTREAM_REMOTE_ADDRESS%` with port, after `x-forwarded-for`.
    DownstreamRemoteAddress,
    /// The same without port.
    DownstreamRemoteAddressWithoutPort,
    /// `%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%`: the peer of the connection.
    DownstreamDirectRemoteAddress,
    /// The same without port.
    DownstreamDirectRemoteAddressWithoutPort,
    /// `%DOWNSTREAM_LOCAL_ADDRESS%`.
    DownstreamLocalAddress,
    /// The same without port.
    DownstreamLocalAddressWithoutPort,
    /// `%DOWNSTREAM_LOCAL_PORT%`.
    DownstreamLocalPort,
    /// `%DOWNSTREAM_PEER_URI_SAN%`.
    DownstreamPeerUriSan,
    /// `%DOWNSTREAM_LOCAL_URI_SAN%`.
    DownstreamLocalUriSan,
    /// `%DOWNSTREAM_PEER_SUBJECT%`.
    DownstreamPeerSubject,
    /// `%DOWNSTREAM_TLS_VERSION%`.
    DownstreamTlsVersion,
    /// `%REQUESTED_SERVER_NAME%`.
    RequestedServerName,
    /// `%UPSTREAM_REMOTE_ADDRESS%`, the endpoint's.
    UpstreamRemoteAddress,
    /// `%UPSTREAM_CLUSTER%`.
    UpstreamCluster,
    /// `%RESPONSE_CODE%`.
    ResponseCode,
    /// `%RESPONSE_FLAGS%`.
    ResponseFlags,
    /// `%RESPONSE_CODE_DETAILS%`.
    ResponseCodeDetails,
    /// `%ROUTE_NAME%`.
    RouteName,
    /// `%VIRTUAL_CLUSTER_NAME%`: always `-` here.
    VirtualClusterName,
    /// `%DYNAMIC_METADATA(NAMESPACE:KEY...)%`: what filters have written.
    DynamicMetadata {
        /// The namespace.
        filter: Arc<str>,
        /// The way to the value; empty for all of the namespace.
        path: Vec<Arc<str>>,
    },
    /// `%START_TIME%` in ISO 8601 with milliseconds.
    StartTime,
    /// `%STREAM_ID%`, the request id.
    StreamId,
}
