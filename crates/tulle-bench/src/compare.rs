//! `tulle-bench compare`.

use crate::configs::Between;
use crate::idle::{self, Memory};
use crate::load::{self, Seen};
use crate::machine::Running;
use crate::observed::Observed;
use crate::peers::{Peer, Programs};
use crate::report::{self, Cost, Row};
use crate::scenario::{Bed, Bench, Target};
use anyhow::Context;
use clap::ValueEnum;
use std::path::PathBuf;

/// What is measured; the numbers are those of docs/benchmarks.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// HTTP/1.1 through one proxy, 32 connections
    D1,
    /// HTTP/1.1 through one proxy, 1 connection
    D2,
    /// HTTP/1.1 through a pair with mutual TLS between, 32 connections
    D3,
    /// The same with 1 connection
    D4,
    /// HTTP/2 in, HTTP/1.1 out, 4 connections of 32 streams
    D5,
    /// Memory
    D13,
}

/// `tulle-bench compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which proxies, with commas.
    #[arg(long, value_delimiter = ',', default_values_t = Peer::ALL.map(Peer::name).map(str::to_owned))]
    peers: Vec<String>,
    /// Which figures, with commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["d1", "d2", "d3", "d13"])]
    figures: Vec<Figure>,
    /// Rounds; each measures every proxy once, and the minimum counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Length of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// The CPU for everything [default: the last one].
    #[arg(long)]
    cpu: Option<usize>,
    /// The `tulle` to measure [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    tulle: Option<PathBuf>,
    /// The `envoy` to measure [default: from PATH].
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Keeps configurations and logs here [default: a folder that is removed].
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let peers: Vec<Peer> = args
        .peers
        .iter()
        .map(|name| Peer::from_str(name, true).map_err(|_| anyhow::anyhow!("no proxy is called {name}")))
        .collect::<Result<_, _>>()?;
    let h2load = args.figures.contains(&Figure::D5);
    let programs = Programs::find(&peers, args.tulle.as_deref(), args.envoy.as_deref(), h2load)?;
    let place = Bed::make(args.cpu, args.keep.as_deref())?;
    let bench = place.bench(&programs, Observed::Logged);
    let mut rows = Vec::new();
    for figure in &args.figures {
        report::progress(*figure);
        rows.push(measure(&bench, *figure, &peers, args)?);
    }
    report::print(&rows, &peers, args.json)
}

fn measure(bench: &Bench<'_>, figure: Figure, peers: &[Peer], args: &Args) -> anyhow::Result<Row> {
    if figure == Figure::D13 {
        let measured: Vec<(Peer, Memory)> = peers
            .iter()
            .filter(|peer| **peer != Peer::Relay)
            .map(|peer| idle::measure(bench, *peer).map(|memory| (*peer, memory)))
            .collect::<Result<_, _>>()?;
        return Ok(Row::Memory(measured));
    }
    let mut targets = start(bench, figure, peers)?;
    let mut costs: Vec<Option<Cost>> = vec![None; targets.len()];
    for round in 0..args.rounds {
        for (target, best) in targets.iter_mut().zip(&mut costs) {
            if round == 0 {
                client(bench, figure, target.port, 1)
                    .with_context(|| format!("{} under {figure:?}", target.label))?;
            }
            let before: std::time::Duration = target.running.iter().map(Running::cpu).sum();
            let seen = client(bench, figure, target.port, args.seconds)
                .with_context(|| format!("{} under {figure:?}", target.label))?;
            let after: std::time::Duration = target.running.iter().map(Running::cpu).sum();
            let cpu = (after - before).as_secs_f64() * 1e6 / seen.requests as f64;
            let best = best.get_or_insert(Cost { cpu, p50: seen.p50 });
            best.cpu = best.cpu.min(cpu);
            best.p50 = best.p50.min(seen.p50);
        }
    }
    let costs =
        targets.iter().zip(costs).filter_map(|(t, cost)| Some((t.label.clone(), t.peer, cost?))).collect();
    Ok(Row::Cost(figure, costs))
}

/// Starts every proxy for a figure; all run at once, so that rounds can take turns.
fn start(bench: &Bench<'_>, figure: Figure, peers: &[Peer]) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for peer in peers {
        match figure {
            Figure::D3 | Figure::D4 | Figure::D5 | Figure::D13 if *peer == Peer::Relay => {}
            Figure::D1 | Figure::D2 => targets.push(bench.hop(*peer, Between::H1)?),
            Figure::D5 => targets.push(bench.hop(*peer, Between::H2)?),
            Figure::D3 | Figure::D4 => {
                // nginx cannot speak HTTP/2 to its upstream; HAProxy's better mode is HTTP/1 too.
                if matches!(peer, Peer::Tulle | Peer::Envoy) {
                    targets.push(bench.pair(*peer, Between::H2)?);
                }
                targets.push(bench.pair(*peer, Between::H1)?);
            }
            Figure::D13 => {}
        }
    }
    Ok(targets)
}

fn client(bench: &Bench<'_>, figure: Figure, port: u16, seconds: u32) -> anyhow::Result<Seen> {
    let programs = bench.programs;
    match figure {
        Figure::D1 | Figure::D3 => load::wrk(&programs.wrk, port, 32, seconds),
        Figure::D5 => load::h2load(&programs.h2load, port, 4, 32, seconds),
        Figure::D2 | Figure::D4 | Figure::D13 => load::wrk(&programs.wrk, port, 1, seconds),
    }
}
