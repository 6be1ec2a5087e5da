//! gRPC calls to services that filters ask ("gRPC over HTTP2").

use std::rc::Rc;

use tulle_engine::runtime::grpc_service::GrpcService;
use tulle_http::{Known, Method, RequestHead, Version};
use tulle_proto::Message;

use super::{
    call::{self, CallFault, Called, Keep},
    headers,
};
use crate::worker::Worker;

/// The most that a service may answer.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrpcFault {
    /// The call did not come about, or broke off.
    #[error(transparent)]
    Call(#[from] CallFault),
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// The service, or a proxy in front of it, refused.
    #[error("HTTP status {0}, gRPC status {1:?}")]
    Refused(u16, Option<i32>),
    /// The answer is no message.
    #[error("the answer is no message: {0}")]
    Malformed(String),
}

/// Calls a method with one message and one answer.
pub(crate) async fn unary<Q: Message, A: Message>(
    worker: &Rc<Worker>,
    service: &GrpcService,
    path: &str,
    message: &Q,
) -> Result<A, GrpcFault> {
    answer(&call(worker, service, path, &message.to_wire()).await?)
}

/// Calls a method with one encoded message; what came back, if the status is that of success.
pub(crate) async fn call(
    worker: &Rc<Worker>,
    service: &GrpcService,
    path: &str,
    message: &[u8],
) -> Result<Called, GrpcFault> {
    let head = head(service, path);
    let body = framed(message);
    let work = call::by_name(worker, &service.cluster, &head, &body, Keep::UpTo(MAX_ANSWER));
    let called = call::within(service.timeout, work).await.ok_or(GrpcFault::Late)??;
    let status =
        headers::grpc_status(&called.trailers).or_else(|| headers::grpc_status(&called.head.headers));
    if called.head.status != 200 || status != Some(0) {
        return Err(GrpcFault::Refused(called.head.status, status));
    }
    Ok(called)
}

/// The message of an answer.
pub(crate) fn answer<A: Message>(called: &Called) -> Result<A, GrpcFault> {
    let malformed = |why: &str| GrpcFault::Malformed(why.to_owned());
    let [flag, a, b, c, d, message @ ..] = called.body.as_slice() else { return Err(malformed("too short")) };
    if *flag != 0 {
        return Err(malformed("compressed"));
    }
    if u32::from_be_bytes([*a, *b, *c, *d]) as usize != message.len() {
        return Err(malformed("not exactly one message"));
    }
    A::from_wire(message).map_err(|error| malformed(&error.to_string()))
}

fn head(service: &GrpcService, path: &str) -> RequestHead {
    let mut head = RequestHead {
        method: Method::Post,
        path: path.to_owned(),
        authority: service.authority.to_string(),
        version: Version::Http2,
        ..RequestHead::default()
    };
    head.headers.append(Known::Te, b"trailers");
    head.headers.append(Known::ContentType, b"application/grpc");
    if let Some(limit) = service.timeout {
        head.headers.append(Known::GrpcTimeout, format!("{}m", limit.as_millis().max(1)).as_bytes());
    }
    for (name, value) in &service.metadata {
        head.headers.append(name, value.as_bytes());
    }
    head
}

/// A message with its prefix: not compressed, and its length.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + message.len());
    out.push(0);
    out.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(message);
    out
}
