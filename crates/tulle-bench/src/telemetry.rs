//! `tulle-bench telemetry`: what metrics, logs and traces add to the cost of a request.

use crate::configs::Between;
use crate::load::{self, Seen};
use crate::machine::{self, Running};
use crate::mesh::Mesh;
use crate::observed::Observed;
use crate::peers::{Peer, Programs};
use crate::report;
use crate::scenario::{Bed, Bench, Target};
use anyhow::Context;
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Duration;

/// What on may cost in terms of off.
pub(crate) const MUST: f64 = 1.10;

/// The loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// HTTP/1.1 through one proxy, 32 connections (D1)
    Plain,
    /// HTTP/1.1 through a pair with mutual TLS and HTTP/2 between, 32 connections (D3)
    Mtls,
    /// The same with HTTP/1.1 between
    MtlsH1,
    /// Through both sidecars of a mesh on this machine, with all that they tell the control plane; needs what `tulle up` needs
    Mesh,
}

impl Load {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Plain => "HTTP/1.1 through one proxy, 32 connections",
            Self::Mtls => "through a pair with mutual TLS and HTTP/2 between, both summed, 32 connections",
            Self::MtlsH1 => {
                "through a pair with mutual TLS and HTTP/1.1 between, both summed, 32 connections"
            }
            Self::Mesh => {
                "through both sidecars of a mesh with what they tell the control plane, both summed, 32 connections"
            }
        }
    }
}

/// `tulle-bench telemetry`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which loads, with commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["plain", "mtls", "mesh"])]
    loads: Vec<Load>,
    /// Rounds; each measures every level once, and the minimum counts.
    #[arg(long, default_value_t = 24)]
    rounds: u32,
    /// Length of each measurement.
    #[arg(long, default_value_t = 1)]
    seconds: u32,
    /// The CPU for everything [default: the last one].
    #[arg(long)]
    cpu: Option<usize>,
    /// The `tulle` to measure [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    tulle: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Keeps configurations and logs here [default: a folder that is removed].
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// What one load costs at each level, in microseconds of CPU per request: the least of all rounds, and the median.
pub(crate) struct Levels {
    pub(crate) load: Load,
    pub(crate) costs: Vec<(Observed, f64, f64)>,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let programs = Programs::find(&[Peer::Tulle], args.tulle.as_deref(), None, false)?;
    let bed = Bed::make(args.cpu, args.keep.as_deref())?;
    let mut all = Vec::new();
    for load in &args.loads {
        report::measuring(load.title());
        all.push(measure(&bed, &programs, *load, args)?);
    }
    report::print_levels(&all, args.json)
}

/// What is measured at one level.
enum Measured<'a> {
    /// Proxies of their own.
    Alone(Target, &'a Programs),
    /// Sidecars of a mesh.
    Sidecars(&'a Mesh, Observed, Vec<u32>, &'a Programs),
}

impl Measured<'_> {
    fn load(&self, seconds: u32) -> anyhow::Result<Seen> {
        match self {
            Self::Alone(target, programs) => load::wrk(&programs.wrk, target.port, 32, seconds),
            Self::Sidecars(mesh, level, _, programs) => mesh.load(&programs.wrk, *level, seconds),
        }
    }

    fn cpu(&self) -> Duration {
        match self {
            Self::Alone(target, _) => target.running.iter().map(Running::cpu).sum(),
            Self::Sidecars(_, _, pids, _) => {
                Duration::from_nanos(pids.iter().map(|pid| machine::cpu_of(*pid)).sum())
            }
        }
    }
}

/// Every level runs at once; rounds take turns among them, each beginning with another.
fn measure(bed: &Bed, programs: &Programs, load: Load, args: &Args) -> anyhow::Result<Levels> {
    let bench = |level| bed.bench(programs, level);
    let alone = |place: fn(&Bench<'_>) -> anyhow::Result<Target>| {
        let levels = Observed::LEVELS.into_iter();
        let start = |level| Ok((level, Measured::Alone(place(&bench(level))?, programs)));
        rounds(levels.map(start).collect::<anyhow::Result<_>>()?, args)
    };
    let costs = match load {
        Load::Plain => alone(|bench| bench.hop(Peer::Tulle, Between::H1)),
        Load::Mtls => alone(|bench| bench.pair(Peer::Tulle, Between::H2)),
        Load::MtlsH1 => alone(|bench| bench.pair(Peer::Tulle, Between::H1)),
        Load::Mesh => {
            let mesh = Mesh::start(programs.of(Peer::Tulle), bed.folder())?;
            let of = |level| {
                anyhow::Ok((level, Measured::Sidecars(&mesh, level, mesh.sidecars(level)?, programs)))
            };
            rounds(vec![of(Observed::Nothing)?, of(Observed::Everything)?], args)
        }
    };
    Ok(Levels { load, costs: costs.with_context(|| format!("{load:?}"))? })
}

/// The least and the median of each level's rounds.
fn rounds(targets: Vec<(Observed, Measured<'_>)>, args: &Args) -> anyhow::Result<Vec<(Observed, f64, f64)>> {
    for (level, target) in &targets {
        target.load(1).with_context(|| level.name())?;
    }
    let mut costs = vec![Vec::new(); targets.len()];
    for round in 0..args.rounds as usize {
        for turn in 0..targets.len() {
            let at = (round + turn) % targets.len();
            let target = &targets[at].1;
            let before = target.cpu();
            let seen = target.load(args.seconds)?;
            costs[at].push((target.cpu() - before).as_secs_f64() * 1e6 / seen.requests as f64);
        }
    }
    let levels = targets.iter().zip(costs).map(|((level, _), mut costs)| {
        costs.sort_by(f64::total_cmp);
        (*level, costs[0], costs[costs.len() / 2])
    });
    Ok(levels.collect())
}
