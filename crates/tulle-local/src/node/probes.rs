//! Probes and hooks as written, into what is done.

use std::time::Duration;

use tulle_api::kubernetes::{
    Container, HttpGetAction, LifecycleAction, LifecycleHandler, PodSpec, Probe, ProbeHandler,
    TransportProtocol,
};
use tulle_api::value::IntOrString;

use super::build::Problem;
use crate::pod::plan::{Action, ProbePlan};

/// Ports by name are the container's own.
pub(super) struct Ports<'a> {
    pub pod: &'a PodSpec,
    pub container: &'a Container,
}

impl Ports<'_> {
    fn resolve(&self, port: Option<&IntOrString>, field: &str) -> Result<u16, Problem> {
        let port = port.ok_or_else(|| Problem::new(field, "names no port"))?;
        match port {
            IntOrString::Int(n) => u16::try_from(*n).ok(),
            IntOrString::String(name) => self
                .container
                .port_named(name)
                .or_else(|| name.parse().ok())
                .or_else(|| self.pod.resolve_port(port)),
        }
        .filter(|n| *n > 0)
        .ok_or_else(|| Problem::new(field, format!("port {port} is not among the container's ports")))
    }

    fn http(&self, get: &HttpGetAction, field: &str) -> Result<Action, Problem> {
        if get.is_https() {
            return Err(Problem::new(
                field,
                "httpGet with scheme HTTPS is not supported; use tcpSocket or exec",
            ));
        }
        Ok(Action::Http {
            host: Some(get.host.clone()).filter(|h| !h.is_empty()),
            port: self.resolve(get.port.as_ref(), field)?,
            path: get.path_or_root().to_owned(),
            headers: get.http_headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect(),
        })
    }
}

/// A probe; `None` if it says nothing to do.
pub(super) fn probe(
    probe: Option<&Probe>,
    ports: &Ports<'_>,
    field: &str,
) -> Result<Option<ProbePlan>, Problem> {
    let Some(probe) = probe else { return Ok(None) };
    let Some(handler) = &probe.handler else {
        return Err(Problem::new(field, "says nothing to do; write exec, httpGet, tcpSocket or grpc"));
    };
    let action = match handler {
        ProbeHandler::Exec(exec) => Action::Exec(exec.command.clone()),
        ProbeHandler::HttpGet(get) => ports.http(get, field)?,
        ProbeHandler::TcpSocket(tcp) => Action::Tcp(ports.resolve(tcp.port.as_ref(), field)?),
        ProbeHandler::Grpc(grpc) => Action::Grpc {
            port: ports.resolve(Some(&IntOrString::Int(grpc.port)), field)?,
            service: grpc.service.clone(),
        },
    };
    Ok(Some(ProbePlan {
        action,
        initial_delay: probe.initial_delay(),
        period: probe.period(),
        timeout: probe.timeout(),
        successes: probe.successes(),
        failures: probe.failures(),
    }))
}

/// A hook; `None` if there is none.
pub(super) fn hook(
    handler: Option<&LifecycleHandler>,
    ports: &Ports<'_>,
    field: &str,
) -> Result<Option<Action>, Problem> {
    let Some(action) = handler.and_then(|h| h.action.as_ref()) else { return Ok(None) };
    Ok(Some(match action {
        LifecycleAction::Exec(exec) => Action::Exec(exec.command.clone()),
        LifecycleAction::HttpGet(get) => ports.http(get, field)?,
        LifecycleAction::TcpSocket(tcp) => Action::Tcp(ports.resolve(tcp.port.as_ref(), field)?),
        LifecycleAction::Sleep(sleep) => {
            Action::Sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0)))
        }
    }))
}

/// The TCP ports that a container declares.
pub(super) fn declared(container: &Container) -> Vec<u16> {
    container
        .ports
        .iter()
        .filter(|p| p.transport() == TransportProtocol::Tcp)
        .filter_map(|p| u16::try_from(p.container_port).ok())
        .collect()
}
