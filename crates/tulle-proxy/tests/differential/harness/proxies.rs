//! The two sides: a stock Envoy and ours.

use std::{
    fs::File,
    net::{SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use tulle_base::agent::NodeConfig;
use tulle_proxy::worker::Settings;

use crate::common::Proxy;

/// The machine's address, which stands for a client on loopback; loopback where there is no other.
fn own_address() -> String {
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    match probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()) {
        Ok(address) => address.ip().to_string(),
        Err(_) => "127.0.0.1".to_owned(),
    }
}

/// The service cluster and the id of the node, on both sides.
const SERVICE: (&str, &str) = ("tests", "node");

/// Whoever serves the listeners.
pub enum Side {
    Envoy(Child),
    Ours(Box<Proxy>),
}

impl Side {
    /// Starts a stock Envoy and waits until it accepts connections at `probe`.
    pub fn envoy(program: &str, static_resources: &Value, dir: &Path, probe: SocketAddr) -> Self {
        let (file, log) = (dir.join("bootstrap.json"), dir.join("envoy.log"));
        let bootstrap = json!({
            "static_resources": static_resources,
            "node": { "id": SERVICE.1, "cluster": SERVICE.0 },
            // Spans are sent at once, each in a report of its own.
            "layered_runtime": { "layers": [{ "name": "test", "static_layer": {
                "tracing.opentelemetry.min_flush_spans": 1, "tracing.zipkin.min_flush_spans": 1 } }] },
        });
        std::fs::write(&file, serde_json::to_string_pretty(&bootstrap).unwrap()).unwrap();
        let child = Command::new(program)
            .args(["--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "20"])
            .args(["-l", &std::env::var("ENVOY_LOG").unwrap_or_else(|_| "error".to_owned())])
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|e| panic!("ENVOY={program}: {e}"));
        let mut side = Self::Envoy(child);
        let patience = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(probe).is_err() {
            let Self::Envoy(child) = &mut side else { unreachable!() };
            if child.try_wait().unwrap().is_some() || Instant::now() > patience {
                panic!("Envoy does not start:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        side
    }

    /// Starts ours.
    pub fn ours(static_resources: &Value) -> Self {
        let node = NodeConfig { ip: own_address(), ..NodeConfig::default() };
        let settings = Settings {
            node,
            service_cluster: SERVICE.0.to_owned(),
            node_id: SERVICE.1.to_owned(),
            report_delay: std::time::Duration::from_millis(20),
            ..Settings::default()
        };
        Self::Ours(Box::new(Proxy::with(static_resources.clone(), settings)))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Self::Envoy(child) = self {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
