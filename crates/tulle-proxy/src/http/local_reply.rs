//! `local_reply_config`: what responses of our own look like.

use std::sync::Arc;

use tulle_engine::{
    decide::header_ops,
    runtime::{
        access_log::LogFilter,
        headers::HeaderOps,
        http_manager::{BodyFormat, LocalReplies as Config},
    },
};
use tulle_http::{Known, ResponseHead};
use tulle_telemetry::access_log::{AccessLogFormat, FormatError};

use super::{
    context,
    exchange::Exchange,
    finish,
    reply::{Body, Reply},
};
use crate::telemetry::access_log::{compile, wanted};

/// The changes of a connection manager to its own responses, compiled.
#[derive(Debug)]
pub(crate) struct LocalReplies {
    /// The first that fits is applied.
    mappers: Vec<Mapper>,
    format: Option<Format>,
}

#[derive(Debug)]
struct Mapper {
    filter: LogFilter,
    status: Option<u16>,
    body: Option<Arc<[u8]>>,
    format: Option<Format>,
    headers: HeaderOps,
}

#[derive(Debug)]
struct Format {
    format: AccessLogFormat,
    content_type: Arc<str>,
    /// JSON ends with a line feed, which has no place in a header.
    ends_line: bool,
}

impl LocalReplies {
    /// Compiles `config`; `None` if it changes nothing.
    pub(crate) fn new(config: &Config) -> Result<Option<Self>, FormatError> {
        let Config { mappers, body_format } = config;
        if mappers.is_empty() && body_format.is_none() {
            return Ok(None);
        }
        let mappers = mappers.iter().map(|mapper| {
            Ok(Mapper {
                filter: mapper.filter.clone(),
                status: mapper.status,
                body: mapper.body.clone(),
                format: mapper.format.as_ref().map(Format::new).transpose()?,
                headers: HeaderOps { add: mapper.headers.clone(), remove: Vec::new() },
            })
        });
        let format = body_format.as_ref().map(Format::new).transpose()?;
        Ok(Some(Self { mappers: mappers.collect::<Result<_, _>>()?, format }))
    }

    /// Changes `reply`, which is about to be sent; `grpc` says that the client gets its body as a message in a field.
    pub(crate) fn rewrite(&self, x: &mut Exchange<'_>, reply: &mut Reply, grpc: bool) {
        x.record.status = reply.status;
        x.record.details = reply.details.clone();
        let extra = reply.headers.take().map(|head| *head);
        x.s.response = extra.unwrap_or_else(|| ResponseHead::new(reply.status));
        let mapper = self.mappers.iter().find(|mapper| {
            finish::with_line(x, None, b"", |line| {
                wanted(&mapper.filter, line, Some(&x.s.request), x.record.random)
            })
        });
        let said = |x: &Exchange<'_>| x.s.response.headers.get(Known::ContentType).map(<[u8]>::to_vec);
        let (type_before, mut changed) = (said(x), false);
        if let Some(mapper) = mapper {
            if let Some(body) = &mapper.body {
                changed = **body != *reply.body.bytes();
                reply.body = Body::Bytes(Arc::clone(body));
            }
            change_headers(x, &mapper.headers);
            if let Some(status) = mapper.status {
                reply.status = status;
                x.record.status = status;
                x.s.response.status = status;
            }
        }
        let own_type = said(x) != type_before;
        let format = mapper.and_then(|mapper| mapper.format.as_ref()).or(self.format.as_ref());
        if let Some(Format { format, content_type: _, ends_line }) = format {
            let mut body = Vec::new();
            finish::with_line(x, None, reply.body.bytes(), |line| format.render(line, &mut body));
            if *ends_line && grpc {
                body.pop();
            }
            changed |= body != reply.body.bytes();
            reply.body = Body::Bytes(body.into());
        }
        let headers = &mut x.s.response.headers;
        if reply.body.bytes().is_empty() {
            headers.remove(Known::ContentType);
        } else if !headers.contains(Known::ContentType) || (changed && !own_type) {
            let content_type = format.map_or("text/plain", |format| &format.content_type);
            headers.set(Known::ContentType, content_type.as_bytes());
        }
        reply.headers = Some(Box::new(std::mem::take(&mut x.s.response)));
    }
}

fn change_headers(x: &mut Exchange<'_>, ops: &HeaderOps) {
    if ops.is_empty() {
        return;
    }
    let (mut response, mut text) = (std::mem::take(&mut x.s.response), std::mem::take(&mut x.s.text));
    let route = x.found.map_or("", |found| &found.route.name);
    let cx = context::of(x, route);
    header_ops::apply_to_response(ops, &mut response, &x.s.request, &cx, &mut text);
    (x.s.response, x.s.text) = (response, text);
}

impl Format {
    fn new(config: &BodyFormat) -> Result<Self, FormatError> {
        let BodyFormat { format, content_type } = config;
        let ends_line = matches!(format, tulle_engine::runtime::access_log::LogFormat::Json { .. });
        Ok(Self { format: compile(format)?, content_type: Arc::clone(content_type), ends_line })
    }
}
