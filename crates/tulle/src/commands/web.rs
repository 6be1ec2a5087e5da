//! What the commands that ask the dashboard have in common.

use std::io::{Read as _, Write as _};
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
        let token = match &self.token {
            Some(token) => Some(token.clone()),
            // Without the key it may be that everybody reads.
            None => self.key().ok().map(|key| key.token(TokenKind::Read, unix_now() + 60)),
        };
        let (status, body) = ask(url, path, token.as_deref()).map_err(Failure::unreachable)?;
        let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        match status {
            200 => Ok(value),
            401 => Err(Failure::not_so(anyhow!(
                "{url} asks for a token: give --token, or --state-dir with the control plane's state directory"
            ))),
            _ => {
                let said = value["error"]["message"].as_str().unwrap_or("no reason was given");
                Err(Failure::not_so(anyhow!("{url}{path}: {said} ({status})")))
            }
        }
    }
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// One request: status and body.
fn ask(url: &str, path: &str, token: Option<&str>) -> anyhow::Result<(u16, Vec<u8>)> {
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
