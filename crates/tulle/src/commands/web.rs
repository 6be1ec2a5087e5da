//! What the commands that ask the dashboard have in common.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use tulle_dashboard::http::access::{Key, TokenKind};
use tulle_local::host::client;

use super::mesh::{StateDir, failure};
use crate::outcome::Failure;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a stream of events may be silent.
const SILENCE: Duration = Duration::from_secs(40);
/// The largest answer that is read.
const MOST: u64 = 64 << 20;

/// Where the dashboard is.
#[derive(Debug, clap::Args)]
pub(crate) struct Web {
    /// Address of the dashboard, such as http://127.0.0.1:20001. Default: that of the mesh on this machine.
    #[arg(long, value_name = "URL", env = "TULLE_DASHBOARD")]
    pub(crate) dashboard: Option<String>,
    /// Token to show (tulle dashboard --make-token read). Default: one made with the key of the state directory.
    #[arg(long, value_name = "TOKEN", env = "TULLE_DASHBOARD_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) state: StateDir,
}

impl Web {
    /// The address.
    pub(crate) fn url(&self) -> Result<String, Failure> {
        if let Some(url) = self.dashboard.as_ref().filter(|url| !url.is_empty()) {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        let summary = client::status(&self.state.paths()).map_err(failure)?;
        if summary.dashboard.is_empty() {
            return Err(Failure::unreachable(anyhow!("the mesh serves no dashboard; give --dashboard URL")));
        }
        Ok(summary.dashboard)
    }

    /// The key of the mesh on this machine, or of a control plane with this state directory.
    pub(crate) fn key(&self) -> std::io::Result<Key> {
        let paths = self.state.paths();
        Key::read(&paths.control_plane()).or_else(|_| Key::read(paths.root()))
    }

    /// Asks for JSON.
    pub(crate) fn get(&self, url: &str, path: &str) -> Result<Value, Failure> {
        let (status, body) = ask(url, path, self.shown().as_deref()).map_err(Failure::unreachable)?;
        if status == 200 {
            Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
        } else {
            Err(refused(url, path, status, &body))
        }
    }

    /// Asks for a stream of events (SSE), which lasts until the other side ends it.
    pub(crate) fn events(&self, url: &str, path: &str) -> Result<Events, Failure> {
        let socket = send(url, path, self.shown().as_deref()).map_err(Failure::unreachable)?;
        let mut events = Events::new(socket).with_context(|| url.to_owned()).map_err(Failure::unreachable)?;
        if events.status == 200 {
            return Ok(events);
        }
        let mut body = Vec::new();
        // What cannot be read any more says nothing more.
        let _ = events.lines.by_ref().take(64 * 1024).read_to_end(&mut body);
        Err(refused(url, path, events.status, &body))
    }

    /// The token that is shown.
    fn shown(&self) -> Option<String> {
        match &self.token {
            Some(token) => Some(token.clone()),
            // Without the key it may be that everybody reads.
            None => self.key().ok().map(|key| key.token(TokenKind::Read, unix_now() + 60)),
        }
    }
}

/// Why something was not answered.
fn refused(url: &str, path: &str, status: u16, body: &[u8]) -> Failure {
    if status == 401 {
        return Failure::not_so(anyhow!(
            "{url} asks for a token: give --token, or --state-dir with the control plane's state directory"
        ));
    }
    // Of a body in chunks, what stands in its braces.
    let text = String::from_utf8_lossy(body);
    let inside = text.find('{').zip(text.rfind('}')).and_then(|(from, to)| text.get(from..=to)).unwrap_or("");
    let value: Value = serde_json::from_str(inside).unwrap_or(Value::Null);
    let said = value["error"]["message"].as_str().unwrap_or("no reason was given");
    Failure::not_so(anyhow!("{url}{path}: {said} ({status})"))
}

/// A stream of events.
pub(crate) struct Events {
    lines: BufReader<Box<dyn Read>>,
    status: u16,
}

impl Events {
    fn new(socket: TcpStream) -> anyhow::Result<Self> {
        // The server shows every 15 s that it lives.
        socket.set_read_timeout(Some(SILENCE))?;
        let mut head = BufReader::new(socket);
        let (mut status, mut chunked) = (0, false);
        for n in 0.. {
            let mut line = String::new();
            if head.by_ref().take(8 * 1024).read_line(&mut line)? == 0 || n > 100 {
                bail!("does not speak HTTP/1.1");
            }
            match line.trim_end() {
                "" => break,
                first if n == 0 => {
                    status =
                        first.strip_prefix("HTTP/1.1 ").and_then(|s| s.get(..3)?.parse().ok()).unwrap_or(0);
                }
                field => chunked |= field.eq_ignore_ascii_case("transfer-encoding: chunked"),
            }
        }
        let body: Box<dyn Read> =
            if chunked { Box::new(Chunks { inner: head, left: 0 }) } else { Box::new(head) };
        Ok(Self { lines: BufReader::new(body), status })
    }

    /// The next event's name and data; `None` at the end.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<(String, String)>> {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if self.lines.by_ref().take(1 << 20).read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                if !data.is_empty() {
                    return Ok(Some((name, data)));
                }
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            } else if let Some(text) = line.strip_prefix("data: ") {
                data.push_str(text);
            }
        }
    }
}

/// A body in chunks (RFC 9112 section 7.1), without them.
struct Chunks {
    inner: BufReader<TcpStream>,
    left: u64,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            // The line end of the chunk before comes first.
            while line.trim().is_empty() {
                line.clear();
                if self.inner.by_ref().take(1024).read_line(&mut line)? == 0 {
                    return Ok(0);
                }
            }
            let size = line.trim().split(';').next().unwrap_or_default();
            self.left = u64::from_str_radix(size, 16).map_err(|_| {
                std::io::Error::new(std::io::ErrorKind::InvalidData, "a chunk without a size")
            })?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let read = self.inner.by_ref().take(self.left).read(buffer)?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Sends a request.
fn send(url: &str, path: &str, token: Option<&str>) -> anyhow::Result<TcpStream> {
    let host = url.strip_prefix("http://").ok_or_else(|| anyhow!("{url} does not begin with http://"))?;
    let address = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = address.to_socket_addrs().with_context(|| url.to_owned())?.next();
    let address = address.ok_or_else(|| anyhow!("{url} has no address"))?;
    let mut socket =
        TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("cannot reach {url}"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let token = token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{token}Connection: close\r\n\r\n")?;
    Ok(socket)
}

/// One request: status and body.
fn ask(url: &str, path: &str, token: Option<&str>) -> anyhow::Result<(u16, Vec<u8>)> {
    let socket = send(url, path, token)?;
    let mut reply = Vec::new();
    socket.take(MOST).read_to_end(&mut reply).with_context(|| format!("cannot read from {url}"))?;
    let end = reply.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.ok_or_else(|| anyhow!("{url} does not speak HTTP"))?;
    let head = String::from_utf8_lossy(&reply[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let Some(status) = status.filter(|_| head.starts_with("HTTP/1.1 ")) else {
        bail!("{url} does not speak HTTP/1.1");
    };
    Ok((status, reply.split_off(end + 4)))
}
