//! Which path is answered by what, on which port.

use std::rc::Rc;

use hyper::StatusCode;
use tulle_base::drain::DrainState;

use super::http::{Asked, Reply};
use super::{Exposed, certs, clusters, config_dump, info, merged, probes, stats};
use crate::boot::Main;

const HELP: &str = "admin commands are:\n\
    /certs: certificates in force, as JSON\n\
    /clusters: endpoints and their state (?format=json)\n\
    /config_dump: configuration in force, as JSON, without private keys (?resource=, ?mask= are not supported)\n\
    /drain_listeners (POST): stops accepting (?graceful: tells clients to go first)\n\
    /help: this page\n\
    /listeners: listeners and their addresses (?format=json)\n\
    /logging (POST): what is logged (?level=LEVEL or ?TARGET=LEVEL changes it)\n\
    /quitquitquit (POST): stops the proxy\n\
    /ready: 200 once configured\n\
    /server_info: version, state, node, as JSON\n\
    /stats: counters (?filter=REGEX, ?usedonly, ?format=json|prometheus)\n\
    /stats/prometheus: counters for Prometheus\n";

/// The answer to a request on a port.
pub(super) async fn route(main: &Rc<Main>, exposed: Exposed, asked: &Asked) -> Reply {
    match exposed {
        Exposed::Admin => admin(main, asked).await,
        Exposed::Prometheus => match asked.path.as_str() {
            "/stats/prometheus" => stats::prometheus(main, asked).await,
            _ => not_found(),
        },
        Exposed::Health => match asked.path.as_str() {
            "/healthz/ready" => info::ready(main),
            _ => not_found(),
        },
        Exposed::Status => status(main, asked).await,
    }
}

async fn admin(main: &Rc<Main>, asked: &Asked) -> Reply {
    match asked.path.as_str() {
        "/" | "/help" => Reply::text(HELP),
        "/ready" => info::ready(main),
        "/server_info" => info::server_info(main),
        "/stats" => stats::stats(main, asked).await,
        "/stats/prometheus" => stats::prometheus(main, asked).await,
        "/clusters" => clusters::clusters(main, asked).await,
        "/listeners" => info::listeners(main, asked),
        "/certs" => certs::certs(main),
        "/config_dump" => config_dump::config_dump(main, asked).await,
        "/logging" | "/drain_listeners" | "/quitquitquit" if !asked.is_post() => must_post(),
        "/logging" => info::logging(main, asked),
        "/drain_listeners" => {
            let graceful = asked.parameter("graceful").is_some();
            main.drain(if graceful { DrainState::Draining } else { DrainState::Closing });
            Reply::text("OK\n")
        }
        "/quitquitquit" => quit(main),
        _ => Reply::of(StatusCode::NOT_FOUND, format!("invalid path. {HELP}")),
    }
}

async fn status(main: &Rc<Main>, asked: &Asked) -> Reply {
    match asked.path.as_str() {
        "/healthz/ready" => info::ready(main),
        "/stats/prometheus" | "/metrics" => merged::metrics(main, asked).await,
        "/quitquitquit" | "/drain" if !asked.is_post() => must_post(),
        "/quitquitquit" => quit(main),
        "/drain" => {
            main.drain(DrainState::Draining);
            Reply::text("OK\n")
        }
        "/debug/ndsz" => info::names(main),
        path if path.starts_with("/app-health/") => probes::probe(main, path).await,
        _ => not_found(),
    }
}

fn quit(main: &Rc<Main>) -> Reply {
    main.ask_to_stop();
    Reply::text("OK\n")
}

fn must_post() -> Reply {
    Reply::of(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed: use POST\n")
}

fn not_found() -> Reply {
    Reply::of(StatusCode::NOT_FOUND, "not found\n")
}
