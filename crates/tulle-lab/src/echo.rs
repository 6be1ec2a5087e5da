//! An echo service: HTTP on one port (upgraded connections included), raw TCP on another.

use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::LabError;
use crate::server::{self, Reply};

/// Options of `tulle lab echo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port for HTTP.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Port for raw TCP: what comes in goes back, each connection after the greeting.
    #[arg(long, default_value_t = 9000)]
    tcp_port: u16,
    /// Sent first on every TCP connection, as servers do that speak first; nothing by default.
    #[arg(long, default_value = "")]
    greeting: String,
    /// Name that HTTP answers carry, to tell several instances apart; the host name by default.
    #[arg(long, env = "ECHO_NAME")]
    name: Option<String>,
}

/// Most bytes of an HTTP body that are echoed.
const MAX_BODY: usize = 4 * 1024 * 1024;

pub(crate) async fn run(args: Args) -> Result<(), LabError> {
    let listener = server::listen(args.tcp_port).await?;
    let greeting = args.greeting.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream, greeting.clone()));
        }
    });
    let name = args.name.unwrap_or_else(server::pod_name);
    Ok(server::serve(args.port, move |request| answer(name.clone(), request)).await?)
}

/// Sends the greeting, then everything back until the client closes its side.
async fn echo(mut stream: TcpStream, greeting: String) {
    let _ = stream.set_nodelay(true);
    if stream.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    let (mut reader, mut writer) = stream.split();
    // A client that goes away in the middle is its own affair.
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

/// Takes any upgrade (RFC 9110, 7.8) and sends back what comes after it, as a WebSocket echo does below its framing.
fn upgrade(request: Request<Incoming>, protocol: HeaderValue) -> Reply {
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            let _ = writer.shutdown().await;
        }
    });
    let mut reply = server::text(StatusCode::SWITCHING_PROTOCOLS, "");
    reply.headers_mut().remove(header::CONTENT_TYPE);
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    reply.headers_mut().insert(header::UPGRADE, protocol);
    reply
}

async fn answer(name: String, request: Request<Incoming>) -> Reply {
    if let Some(protocol) = request.headers().get(header::UPGRADE).cloned() {
        return upgrade(request, protocol);
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return server::text(StatusCode::PAYLOAD_TOO_LARGE, "4 MiB at most\n");
    };
    let headers: serde_json::Map<String, serde_json::Value> = head
        .headers
        .iter()
        .map(|(k, v)| (k.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned().into()))
        .collect();
    let mut reply = server::json(
        StatusCode::OK,
        &json!({
            "name": name, "method": head.method.as_str(), "path": head.uri.to_string(), "headers": headers,
            "version": format!("{:?}", head.version), "body": String::from_utf8_lossy(&body.to_bytes()),
        }),
    );
    if let Ok(value) = name.parse() {
        reply.headers_mut().insert("x-echo-name", value);
    }
    reply
}
