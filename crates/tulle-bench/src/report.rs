//! What is printed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where the command prints")]

use crate::compare::Figure;
use crate::idle::Memory;
use crate::peers::Peer;
use crate::telemetry::{Levels, MUST};
use serde_json::json;
use std::time::Duration;

/// CPU microseconds per request, summed over the proxies on the way, and the client's median.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    pub(crate) p50: Option<Duration>,
}

/// One figure's results.
pub(crate) enum Row {
    Cost(Figure, Vec<(String, Peer, Cost)>),
    Memory(Vec<(Peer, Memory)>),
}

/// Says on stderr what is being measured.
pub(crate) fn progress(figure: Figure) {
    eprintln!("measuring {figure:?}: {}", title(figure));
}

/// Says on stderr what is being measured.
pub(crate) fn measuring(what: &str) {
    eprintln!("measuring {what}");
}

/// Says on stderr what went wrong.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Prints all figures.
pub(crate) fn print(rows: &[Row], peers: &[Peer], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let rows: Vec<_> = rows.iter().map(row_json).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for row in rows {
        match row {
            Row::Cost(figure, costs) => print_costs(*figure, costs),
            Row::Memory(measured) => print_memory(measured, peers),
        }
    }
    Ok(())
}

fn title(figure: Figure) -> &'static str {
    match figure {
        Figure::D1 => "HTTP/1.1 through one proxy, 32 connections",
        Figure::D2 => "HTTP/1.1 through one proxy, 1 connection",
        Figure::D3 => "HTTP/1.1 through a pair with mutual TLS between, 32 connections",
        Figure::D4 => "HTTP/1.1 through a pair with mutual TLS between, 1 connection",
        Figure::D5 => "HTTP/2 in, HTTP/1.1 out, 4 connections of 32 streams",
        Figure::D13 => "memory",
    }
}

/// The ratio to Envoy that must hold, and the one aimed at.
fn bounds(figure: Figure) -> (f64, f64) {
    match figure {
        Figure::D1 => (0.25, 0.20),
        Figure::D2 => (0.33, 0.25),
        Figure::D3 => (0.25, 0.17),
        Figure::D4 => (0.25, 0.15),
        Figure::D5 => (0.35, 0.28),
        Figure::D13 => (f64::NAN, f64::NAN),
    }
}

/// The better mode of a proxy.
fn best(costs: &[(String, Peer, Cost)], peer: Peer) -> Option<f64> {
    costs.iter().filter(|(_, p, _)| *p == peer).map(|(_, _, cost)| cost.cpu).min_by(f64::total_cmp)
}

fn print_costs(figure: Figure, costs: &[(String, Peer, Cost)]) {
    println!("{figure:?}  {}", title(figure));
    println!("    {:<12} {:>14} {:>10} {:>12}", "proxy", "CPU us/request", "p50", "to envoy");
    let envoy = best(costs, Peer::Envoy);
    for (label, _, cost) in costs {
        let p50 = cost.p50.map_or("-".to_owned(), |p50| format!("{} us", p50.as_micros()));
        let ratio = envoy.map_or("-".to_owned(), |envoy| format!("{:.3}", cost.cpu / envoy));
        println!("    {label:<12} {:>14.2} {p50:>10} {ratio:>12}", cost.cpu);
    }
    if let (Some(ours), Some(envoy)) = (best(costs, Peer::Tulle), envoy) {
        let (must, aim) = bounds(figure);
        println!("    tulle/envoy, better mode of each: {:.3} (must {must}, aim {aim})", ours / envoy);
    }
    println!();
}

fn print_memory(measured: &[(Peer, Memory)], peers: &[Peer]) {
    println!("D13 {}", title(Figure::D13));
    println!(
        "    {:<12} {:>10} {:>22} {:>24}",
        "proxy", "empty MB", "KB/idle connection", "MB for 10,000 clusters"
    );
    for (peer, memory) in measured.iter().filter(|(peer, _)| peers.contains(peer)) {
        let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let clusters = memory.clusters.map_or("-".to_owned(), mb);
        let idle = memory.idle_connection as f64 / 1e3;
        println!("    {:<12} {:>10} {idle:>22.2} {clusters:>24}", peer.name(), mb(memory.empty));
    }
    println!("    tulle: must 10 MB, 4 KB, 60 MB; aim 5 MB, 1 KB, 25 MB\n");
}

/// Prints what telemetry costs.
pub(crate) fn print_levels(all: &[Levels], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let all: Vec<_> = all.iter().map(levels_json).collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    for Levels { load, costs } in all {
        println!("{}", load.title());
        println!("    {:<36} {:>14} {:>8} {:>8}", "observed", "CPU us/request", "median", "to off");
        for (level, least, median) in costs {
            let (name, ratio) = (level.name(), least / costs[0].1);
            println!("    {name:<36} {least:>14.2} {median:>8.2} {ratio:>8.3}");
        }
        println!("    must {MUST}\n");
    }
    Ok(())
}

fn levels_json(levels: &Levels) -> serde_json::Value {
    let Levels { load, costs } = levels;
    let level = |(level, least, median): &(crate::observed::Observed, f64, f64)| json!({"observed": level.name(), "cpu_us_per_request": least, "median": median, "to_off": least / costs[0].1});
    json!({"load": format!("{load:?}"), "what": load.title(), "must": MUST, "levels": costs.iter().map(level).collect::<Vec<_>>()})
}

fn row_json(row: &Row) -> serde_json::Value {
    match row {
        Row::Cost(figure, costs) => json!({
            "figure": format!("{figure:?}"),
            "what": title(*figure),
            "cpu_us_per_request": costs.iter().map(|(label, _, cost)| (label.clone(), json!(cost.cpu))).collect::<serde_json::Map<_, _>>(),
            "p50_us": costs.iter().filter_map(|(label, _, cost)| Some((label.clone(), json!(cost.p50?.as_micros() as u64)))).collect::<serde_json::Map<_, _>>(),
            "ratio_to_envoy": best(costs, Peer::Tulle).zip(best(costs, Peer::Envoy)).map(|(ours, envoy)| ours / envoy),
            "must": bounds(*figure).0,
            "aim": bounds(*figure).1,
        }),
        Row::Memory(measured) => json!({
            "figure": "D13",
            "bytes": measured.iter().map(|(peer, memory)| (peer.name().to_owned(), json!({
                "empty": memory.empty,
                "idle_connection": memory.idle_connection,
                "clusters": memory.clusters,
            }))).collect::<serde_json::Map<_, _>>(),
        }),
    }
}
