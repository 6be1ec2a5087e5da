//! A stock Prometheus with the data of `data.rs`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::data;

/// A running Prometheus; ends when dropped.
pub(crate) struct Peer {
    process: Child,
    url: String,
    agent: ureq::Agent,
    _folder: tempfile::TempDir,
}

impl Peer {
    /// `None` if there is no Prometheus here.
    #[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
    pub(crate) fn start() -> Option<Self> {
        let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
        if !there("prometheus") || !there("promtool") {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no prometheus or promtool in PATH");
            println!("skipped: no prometheus or promtool in PATH");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("data.om"), data::open_metrics()).expect("writable");
        std::fs::write(at("prometheus.yml"), "global: {evaluation_interval: 1m}\n").expect("writable");
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([at("data.om"), at("blocks")])
            .output()
            .expect("promtool runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("blocks").display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus runs");
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let url = format!("http://127.0.0.1:{port}");
        let peer = Self { process, url, agent: config.into(), _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !peer.agent.get(format!("{}/-/ready", peer.url)).call().is_ok_and(|r| r.status() == 200) {
            assert!(Instant::now() < deadline, "prometheus does not get ready");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(peer)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn instant(&self, query: &str, time: i64) -> Json {
        self.ask("query", &[("query", query), ("time", &seconds(time))])
    }

    pub(crate) fn range(&self, query: &str, start: i64, end: i64, step: i64) -> Json {
        let (start, end, step) = (seconds(start), seconds(end), seconds(step));
        self.ask("query_range", &[("query", query), ("start", &start), ("end", &end), ("step", &step)])
    }

    fn ask(&self, path: &str, form: &[(&str, &str)]) -> Json {
        let url = format!("{}/api/v1/{path}", self.url);
        let mut response = self.agent.post(url).send_form(form.iter().copied()).expect("an answer");
        let text = response.body_mut().read_to_string().expect("a body");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// Status and JSON of a GET.
pub(crate) fn get(url: &str) -> (u16, Json) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let mut response = ureq::Agent::from(config).get(url).call().expect("an answer");
    let text = response.body_mut().read_to_string().expect("a body");
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Json::String(text)))
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
