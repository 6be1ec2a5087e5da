//! Holds connections open against an echo server, raw or upgraded from HTTP, and reports what happened to them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::LabError;

/// Options of `tulle lab hold`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Host and port of a server that sends back what it gets, such as `tulle lab echo`'s TCP port.
    target: String,
    /// Connections, all opened at the start.
    #[arg(short, long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Seconds that they are held.
    #[arg(short, long, default_value_t = 10.0)]
    duration: f64,
    /// Milliseconds between two messages on a connection.
    #[arg(short, long, default_value_t = 500)]
    interval: u64,
    /// Begin with an HTTP upgrade, as WebSockets do; the target is then an HTTP port.
    #[arg(long)]
    upgrade: bool,
}

/// Longest wait for a connection or for an echo.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: Args) -> Result<ExitCode, LabError> {
    let started = Instant::now();
    let tasks: Vec<_> = (0..args.connections).map(|i| tokio::spawn(hold(args.clone(), started, i))).collect();
    let (mut messages, mut failures) = (0, BTreeMap::<String, u64>::new());
    for task in tasks {
        match task.await {
            Ok(Ok(n)) => messages += n,
            Ok(Err(text)) => *failures.entry(text).or_default() += 1,
            Err(e) => *failures.entry(e.to_string()).or_default() += 1,
        }
    }
    let report = json!({
        "connections": args.connections, "seconds": started.elapsed().as_secs_f64(),
        "messages": messages, "failures": failures,
    });
    let _ = std::io::stdout().write_all(format!("{report}\n").as_bytes());
    Ok(ExitCode::from(u8::from(!failures.is_empty())))
}

/// One connection: the number of messages that came back, or what ended it too early.
async fn hold(args: Args, started: Instant, index: u32) -> Result<u64, String> {
    let connect = tokio::time::timeout(PATIENCE, TcpStream::connect(&args.target));
    let mut stream = connect.await.map_err(|_| "connect: timed out")?.map_err(|e| format!("connect: {e}"))?;
    if args.upgrade {
        upgrade(&mut stream, &args.target).await?;
    }
    let end = Duration::from_secs_f64(args.duration.clamp(0.0, 86_400.0));
    let mut sent = 0u64;
    while started.elapsed() < end {
        sent += 1;
        let message = format!("{index:08}:{sent:08}");
        let exchange = async {
            stream.write_all(message.as_bytes()).await?;
            let mut back = [0u8; 17];
            stream.read_exact(&mut back).await?;
            Ok::<_, std::io::Error>(back)
        };
        let back = tokio::time::timeout(PATIENCE, exchange).await;
        let back = back.map_err(|_| "echo: timed out")?.map_err(|e| format!("echo: {e}"))?;
        if back != *message.as_bytes() {
            return Err("echo: other bytes came back".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(args.interval)).await;
    }
    Ok(sent)
}

/// Most bytes of the answer to an upgrade.
const MAX_HEAD: usize = 16 * 1024;

async fn upgrade(stream: &mut TcpStream, target: &str) -> Result<(), String> {
    let head = format!(
        "GET /hold HTTP/1.1\r\nhost: {target}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.map_err(|e| format!("upgrade: {e}"))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let byte =
            tokio::time::timeout(PATIENCE, stream.read_u8()).await.map_err(|_| "upgrade: timed out")?;
        answer.push(byte.map_err(|e| format!("upgrade: {e}"))?);
        if answer.len() > MAX_HEAD {
            return Err("upgrade: endless answer".to_owned());
        }
    }
    let line = answer.split(|b| *b == b'\r').next().unwrap_or_default();
    if line.starts_with(b"HTTP/1.1 101") {
        Ok(())
    } else {
        Err(format!("upgrade: {}", String::from_utf8_lossy(line)))
    }
}
