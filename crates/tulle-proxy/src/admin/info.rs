//! Small pages: readiness, server, listeners, log levels, names.

use hyper::StatusCode;
use serde_json::{Value, json};
use tulle_base::drain::DrainState;
use tulle_base::duration::to_json;

use super::http::{Asked, Reply};
use crate::boot::Main;

/// `/ready` and `/healthz/ready`.
pub(super) fn ready(main: &Main) -> Reply {
    match state(main) {
        "LIVE" => Reply::text("LIVE\n"),
        other => Reply::of(StatusCode::SERVICE_UNAVAILABLE, format!("{other}\n")),
    }
}

fn state(main: &Main) -> &'static str {
    if main.drain_state() != DrainState::Serving {
        "DRAINING"
    } else if main.is_ready() {
        "LIVE"
    } else {
        "INITIALIZING"
    }
}

/// `/server_info`.
pub(super) fn server_info(main: &Main) -> Reply {
    Reply::json(&json!({
        "version": format!("tulle/{}", env!("CARGO_PKG_VERSION")),
        "state": state(main),
        "uptime_current_epoch": to_json(std::time::Duration::from_secs(main.started.elapsed().as_secs())),
        "command_line_options": { "concurrency": main.workers },
        "node": { "id": &*main.node_name },
    }))
}

/// `/listeners`.
pub(super) fn listeners(main: &Main, asked: &Asked) -> Reply {
    let mut rows = main.listener_addresses();
    rows.sort();
    if asked.parameter("format") == Some("json") {
        let statuses: Vec<Value> = rows
            .into_iter()
            .map(|(name, address)| json!({ "name": name, "local_address": address }))
            .collect();
        return Reply::json(&json!({ "listener_statuses": statuses }));
    }
    let mut out = String::new();
    for (name, address) in rows {
        out.push_str(&name);
        out.push_str("::");
        out.push_str(&address);
        out.push('\n');
    }
    Reply::text(out)
}

/// `/logging`: what is logged, and changes of it.
pub(super) fn logging(main: &Main, asked: &Asked) -> Reply {
    let levels: Vec<String> = asked
        .query
        .iter()
        .filter(|(key, _)| key != "paths")
        .map(|(key, value)| if key == "level" { value.clone() } else { format!("{key}={value}") })
        .collect();
    let changed = if levels.is_empty() { Ok(()) } else { main.set_log_levels(&levels.join(",")) };
    match changed {
        Ok(()) => Reply::text(active(&main.log_levels())),
        Err(error) => Reply::of(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

/// The levels in force, a line each.
fn active(levels: &str) -> String {
    let mut lines: Vec<String> = levels
        .split(',')
        .filter(|one| !one.is_empty())
        .map(|one| {
            let (target, level) = one.split_once('=').unwrap_or(("level", one));
            format!("  {target}: {level}\n")
        })
        .collect();
    lines.sort();
    format!("active loggers:\n{}", lines.concat())
}

/// `/debug/ndsz`: the names that the DNS server knows.
pub(super) fn names(main: &Main) -> Reply {
    match main.dns_names() {
        Some(names) => {
            let table: serde_json::Map<String, Value> =
                names.into_iter().map(|(name, ips)| (name, json!({ "ips": ips }))).collect();
            Reply::json(&json!({ "table": table }))
        }
        None => Reply::of(StatusCode::NOT_FOUND, "DNS is not served here\n"),
    }
}
