//! Containers that are told to listen on loopback only, at a port that a Service leads to: traffic comes from the pod's
//! address and finds nobody.
//!
//! Istio looks at the sockets of running pods; here the arguments of the containers tell.

use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// A container is told to listen on loopback at a port that a Service leads to.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0143",
    name: "LocalhostListener",
    severity: Severity::Error,
    about: "A container is told to listen on loopback at a port that a Service leads to",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for pods in whole.pods().iter() {
        let ports = whole.fronts().ports_of(pods);
        if ports.is_empty() {
            continue;
        }
        for (i, container) in pods.spec.containers.iter().enumerate() {
            for (j, port) in listens(&container.args) {
                let exposed = ports.iter().find(|(_, _, target)| *target == port);
                if let Some((service, _, _)) = exposed {
                    let path = format!("{}spec.containers[{i}].args[{j}]", pods.template);
                    let message = format!(
                        "listens on loopback alone, but {} leads to port {port}",
                        service.meta.resource
                    );
                    out.report(
                        pods.object,
                        FieldPath::from(path.as_str()),
                        message,
                        format!("listen on 0.0.0.0:{port}"),
                    );
                }
            }
        }
    }
}

/// The arguments that make a program listen on loopback, with the port.
fn listens(args: &[String]) -> Vec<(usize, u16)> {
    let mut out = Vec::new();
    for (i, arg) in args.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| args.get(i)).map_or("", String::as_str);
        let (flag, value) = match arg.split_once('=') {
            Some((flag, value)) => (flag, value),
            None => (before, arg.as_str()),
        };
        if let Some(port) = loopback_port(value).filter(|_| is_listen_flag(flag)) {
            out.push((i, port));
        }
    }
    out
}

fn is_listen_flag(flag: &str) -> bool {
    let flag = flag.trim_start_matches('-').to_ascii_lowercase();
    flag.contains("listen")
        || flag.contains("bind")
        || matches!(flag.as_str(), "l" | "http" | "serve" | "address")
}

fn loopback_port(value: &str) -> Option<u16> {
    let (host, port) = value.rsplit_once(':')?;
    let host = host.rsplit("//").next()?;
    let loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    port.parse().ok().filter(|_| loopback)
}
