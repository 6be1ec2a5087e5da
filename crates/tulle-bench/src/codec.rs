//! The codecs alone: what parsing and writing a small request and its response costs.
#![allow(clippy::print_stdout, reason = "this is where the command prints")]

use anyhow::Context;
use bytes::{Buf, Bytes, BytesMut};
use std::time::Instant;
use tulle_http::h1::{self, BodyLength, Options, Persistence, RequestSent};
use tulle_http::h2::{Config, Connection, Event, Role};
use tulle_http::{Known, Method, RequestHead, ResponseHead};

const REQUEST: &[u8] = b"GET /productpage?u=normal HTTP/1.1\r\nHost: productpage.default:9080\r\n\
    User-Agent: curl/8.5.0\r\nAccept: */*\r\nX-Request-Id: 5b3f1d0c-9a3e-4f0e-8f3e-0d3c2b1a4f5e\r\n\
    X-Forwarded-Proto: http\r\nX-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7\r\nX-B3-Sampled: 1\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: istio-envoy\r\n\
    Date: Fri, 20 Nov 2026 13:05:00 GMT\r\nX-Envoy-Upstream-Service-Time: 3\r\nContent-Length: 64\r\n\r\n";

/// Prints nanoseconds for each.
pub(crate) fn run(times: u32) -> anyhow::Result<()> {
    http1(times)?;
    http2(times)
}

fn report(what: &str, began: Instant, times: u32) {
    println!("{what}: {} ns", began.elapsed().as_nanos() / u128::from(times));
}

fn http1(times: u32) -> anyhow::Result<()> {
    let options = Options::default();
    let (mut request, mut response, mut out) =
        (RequestHead::default(), ResponseHead::default(), BytesMut::new());
    let began = Instant::now();
    for _ in 0..times {
        h1::parse_request(REQUEST, &options, &mut request)?.context("complete")?;
    }
    report("HTTP/1 request parsed", began, times);
    let began = Instant::now();
    for _ in 0..times {
        out.clear();
        h1::write_request(&request, BodyLength::None, Persistence::KeepAlive, &mut out);
    }
    report("HTTP/1 request written", began, times);
    let began = Instant::now();
    let sent = RequestSent { method: &Method::Get, upgrade: false };
    for _ in 0..times {
        h1::parse_response(RESPONSE, &options, sent, &mut response)?.context("complete")?;
    }
    report("HTTP/1 response parsed", began, times);
    let began = Instant::now();
    for _ in 0..times {
        out.clear();
        h1::write_response(&response, BodyLength::Length(64), Persistence::KeepAlive, &mut out);
    }
    report("HTTP/1 response written", began, times);
    let began = Instant::now();
    for _ in 0..times {
        h1::strip_hop_by_hop(&mut request.headers, false);
        request.headers.set(Known::XRequestId, b"5b3f1d0c-9a3e-4f0e-8f3e-0d3c2b1a4f5f");
        if request.headers.len() > 20 {
            request.headers.clear();
        }
    }
    report("fields stripped and one set", began, times);
    Ok(())
}

/// A request and its response of 64 bytes over a connection between two of ours: all four codec passes.
fn http2(times: u32) -> anyhow::Result<()> {
    let mut client = Connection::new(Role::Client, Config::default());
    let mut server = Connection::new(Role::Server, Config::default());
    let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
    let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
    h1::parse_request(REQUEST, &Options::default(), &mut request)?;
    let sent = RequestSent { method: &Method::Get, upgrade: false };
    h1::parse_response(RESPONSE, &Options::default(), sent, &mut response)?;
    let body = Bytes::from_static(&[b'x'; 64]);
    let (mut taken, mut answered) = (RequestHead::default(), ResponseHead::default());
    let began = Instant::now();
    for _ in 0..times {
        client.send_request(&request, true)?;
        carry(&mut client, &mut to_server);
        while let Some(event) = server.recv(&mut to_server)? {
            if let Event::Request { stream, .. } = event {
                server.take_request(&mut taken);
                server.send_response(stream, &response, false)?;
                server.send_data(stream, body.clone(), true)?;
            }
        }
        carry(&mut server, &mut to_client);
        while let Some(event) = client.recv(&mut to_client)? {
            match event {
                Event::Response { .. } => client.take_response(&mut answered),
                Event::Data { stream, data, .. } => client.release_capacity(stream, data.len()),
                _ => {}
            }
        }
    }
    report("HTTP/2 request and response, both ends", began, times);
    Ok(())
}

fn carry(from: &mut Connection, to: &mut BytesMut) {
    from.flush();
    while !from.output().is_empty() {
        let len = from.output().chunk().len();
        to.extend_from_slice(from.output().chunk());
        from.output().advance(len);
    }
}
