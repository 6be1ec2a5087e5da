//! Whether every proxy has what the store says: asked of the control plane's `/debug/syncz` before the mesh is called ready, so
//! that the first request finds every endpoint.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tulle_api::Object;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(25);
/// A proxy that does not answer does not keep the mesh from being called ready for ever.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer: a few hundred bytes per proxy.
const MAX_ANSWER: u64 = 4 << 20;

/// The version of the last change that concerns the control plane.
pub(super) fn version(objects: &[Arc<Object>]) -> u64 {
    let concerned = objects.iter().filter(|o| o.kind().is_read_by_the_mesh());
    concerned.filter_map(|o| o.meta.resource_version.parse().ok()).max().unwrap_or(0)
}

/// Waits until `proxies` proxies have acknowledged everything up to `version` of the store, but not for ever; returns whether
/// they have.
pub(super) async fn wait(control_plane: SocketAddr, proxies: usize, version: u64) -> bool {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        let answer = tokio::time::timeout(ANSWER_PATIENCE, ask(control_plane)).await;
        if let Ok(Some(text)) = answer
            && in_step(&text, proxies, version)
        {
            return true;
        }
        tokio::time::sleep(PAUSE).await;
    }
    false
}

async fn ask(to: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(to).await.ok()?;
    let request = format!("GET /debug/syncz HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// Whether the list has that many proxies, each of which has answered everything up to the version. What a proxy refused will
/// not change by waiting.
fn in_step(answer: &str, proxies: usize, version: u64) -> bool {
    let Ok(Value::Array(list)) = serde_json::from_str(answer) else { return false };
    let there = |proxy: &Value| proxy["acknowledged_version"].as_u64().is_some_and(|v| v >= version);
    list.len() >= proxies && list.iter().all(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_must_be_there_and_have_the_version() {
        let two = r#"[{"proxy":"a","acknowledged_version":7},{"proxy":"b","acknowledged_version":9}]"#;
        assert!(in_step(two, 2, 7) && !in_step(two, 3, 7) && !in_step(two, 2, 8));
        assert!(!in_step(r#"[{"proxy":"a"}]"#, 1, 1), "another version of the control plane");
        assert!(!in_step("rubbish", 0, 0) && !in_step("{}", 0, 0) && in_step("[]", 0, 5));
    }
}
