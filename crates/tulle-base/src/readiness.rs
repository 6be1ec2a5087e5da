//! How a proxy outside of the cluster asks its application whether it is well: the probe of a WorkloadGroup, as Istio's
//! agents get it (`readinessProbe` of ProxyConfig).

use serde::{Deserialize, Serialize};

/// A probe. Exactly one of the four ways to ask is given; a number that is absent or 0 has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReadinessProbe {
    /// Seconds after start before the first question; default 0.
    pub initial_delay_seconds: u32,
    /// Seconds until a question has failed; default 1.
    pub timeout_seconds: u32,
    /// Seconds between questions; default 10.
    pub period_seconds: u32,
    /// Successes in a row until the application is well; default 1.
    pub success_threshold: u32,
    /// Failures in a row until it is not; default 3.
    pub failure_threshold: u32,
    /// A GET; 200 to 399 is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGet>,
    /// A connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpSocket>,
    /// A command; exit code 0 is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    /// A call of `grpc.health.v1.Health/Check`; `SERVING` is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Grpc>,
}

/// A GET request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpGet {
    /// Path; default `/`.
    #[serde(default)]
    pub path: String,
    /// Port.
    pub port: u16,
    /// Whom to ask; default `localhost`.
    #[serde(default)]
    pub host: String,
    /// `HTTP` (default) or `HTTPS`, where any certificate will do.
    #[serde(default)]
    pub scheme: String,
    /// Headers to send; `Host` replaces the one of `host`.
    #[serde(default)]
    pub http_headers: Vec<Header>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Name.
    pub name: String,
    /// Value.
    #[serde(default)]
    pub value: String,
}

/// A connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpSocket {
    /// Whom to reach; default `localhost`.
    #[serde(default)]
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A command, run without a shell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Program and arguments.
    pub command: Vec<String>,
}

/// A gRPC health check of `localhost`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    /// Port.
    pub port: u16,
    /// The service to ask for; default the server as a whole.
    #[serde(default)]
    pub service: String,
}

impl ReadinessProbe {
    /// What is wrong with it, as a text that names the field.
    ///
    /// # Errors
    /// Not exactly one way to ask, an empty command, an unknown scheme.
    pub fn check(&self) -> Result<(), String> {
        let Self { http_get, tcp_socket, exec, grpc, .. } = self;
        let ways = [http_get.is_some(), tcp_socket.is_some(), exec.is_some(), grpc.is_some()];
        if ways.into_iter().filter(|given| *given).count() != 1 {
            return Err("give exactly one of httpGet, tcpSocket, exec and grpc".to_owned());
        }
        if exec.as_ref().is_some_and(|e| e.command.is_empty()) {
            return Err("exec.command: empty; give a program".to_owned());
        }
        match http_get.as_ref().map(|h| h.scheme.as_str()) {
            Some("" | "HTTP" | "HTTPS" | "http" | "https") | None => Ok(()),
            Some(other) => Err(format!("httpGet.scheme: {other:?}; give HTTP or HTTPS")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_asks_in_one_way() {
        let parse = |text: &str| serde_json::from_str::<ReadinessProbe>(text).map_err(|e| e.to_string());
        let probe = parse(
            r#"{"periodSeconds": 5, "httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTPS"}}"#,
        );
        assert_eq!(probe.as_ref().unwrap().check(), Ok(()));
        assert_eq!(probe.unwrap().http_get.unwrap().port, 8080);
        let wrong = |text: &str| parse(text).and_then(|p| p.check()).unwrap_err();
        assert!(wrong("{}").contains("exactly one"));
        assert!(wrong(r#"{"grpc": {"port": 1}, "tcpSocket": {"port": 1}}"#).contains("exactly one"));
        assert!(wrong(r#"{"exec": {"command": []}}"#).contains("exec.command"));
        assert!(wrong(r#"{"httpGet": {"port": 1, "scheme": "FTP"}}"#).contains("FTP"));
        assert!(wrong(r#"{"tcpSocket": {"prot": 1}}"#).contains("prot"));
    }
}
