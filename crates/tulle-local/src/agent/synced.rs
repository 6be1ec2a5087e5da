//! Whether every proxy has what the control plane knows: asked of `/debug/syncz` before the mesh is called ready, so that the
//! first request finds every endpoint.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(25);
/// Answers in a row that must say so: the control plane may not have seen the last change when it is asked first.
const IN_A_ROW: u32 = 5;
/// A control plane that does not come to rest does not keep the mesh from being called ready for ever.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer: a few hundred bytes per proxy.
const MAX_ANSWER: u64 = 4 << 20;

/// Waits until `proxies` proxies are in step with the control plane, but not for ever; returns whether they are.
pub(super) async fn wait(control_plane: SocketAddr, proxies: usize) -> bool {
    let give_up = Instant::now() + PATIENCE;
    let mut in_a_row = 0;
    while Instant::now() < give_up {
        let answer = tokio::time::timeout(ANSWER_PATIENCE, ask(control_plane)).await;
        match answer {
            Ok(Some(text)) if in_step(&text, proxies) => in_a_row += 1,
            _ => in_a_row = 0,
        }
        if in_a_row >= IN_A_ROW {
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

/// Whether the list has that many proxies and nothing is on its way to any. What a proxy refused will not change by waiting.
fn in_step(answer: &str, proxies: usize) -> bool {
    let Ok(Value::Array(list)) = serde_json::from_str(answer) else { return false };
    let stale = |proxy: &Value| {
        let fields = proxy.as_object().into_iter().flatten();
        fields.into_iter().any(|(name, value)| name.ends_with("_status") && value == "STALE")
    };
    list.len() >= proxies && !list.iter().any(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_must_be_there_and_nothing_on_its_way() {
        let two = r#"[{"proxy":"a","cds_status":"SYNCED"},{"proxy":"b","cds_status":"ERROR"}]"#;
        assert!(in_step(two, 2) && !in_step(two, 3));
        assert!(!in_step(r#"[{"proxy":"a","cds_status":"SYNCED","eds_status":"STALE"}]"#, 1));
        assert!(!in_step("rubbish", 0) && !in_step("{}", 0) && in_step("[]", 0));
    }
}
