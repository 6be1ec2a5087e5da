//! `tulle-bench telemetry`: what metrics, logs and traces add to the cost of a request.

use crate::configs::Between;
use crate::load;
use crate::machine::Running;
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
}

impl Load {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Plain => "HTTP/1.1 through one proxy, 32 connections",
            Self::Mtls => "through a pair with mutual TLS and HTTP/2 between, both summed, 32 connections",
            Self::MtlsH1 => {
                "through a pair with mutual TLS and HTTP/1.1 between, both summed, 32 connections"
            }
        }
    }

    fn start(self, bench: &Bench<'_>) -> anyhow::Result<Target> {
        match self {
            Self::Plain => bench.hop(Peer::Tulle, Between::H1),
            Self::Mtls => bench.pair(Peer::Tulle, Between::H2),
            Self::MtlsH1 => bench.pair(Peer::Tulle, Between::H1),
        }
    }
}

/// `tulle-bench telemetry`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which loads, with commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["plain", "mtls"])]
    loads: Vec<Load>,
    /// Rounds; each measures every level once, and the minimum counts.
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// Length of each measurement.
    #[arg(long, default_value_t = 2)]
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

/// Every level runs at once; rounds take turns among them, each beginning with another.
fn measure(bed: &Bed, programs: &Programs, load: Load, args: &Args) -> anyhow::Result<Levels> {
    let start = |level| load.start(&bed.bench(programs, level)).map(|target| (level, target, Vec::new()));
    let mut targets: Vec<(Observed, Target, Vec<f64>)> =
        Observed::LEVELS.into_iter().map(start).collect::<Result<_, _>>()?;
    for (level, target, _) in &targets {
        load::wrk(&programs.wrk, target.port, 32, 1)
            .with_context(|| format!("{load:?}, {}", level.name()))?;
    }
    let levels = targets.len();
    for round in 0..args.rounds as usize {
        for turn in 0..levels {
            let (_, target, costs) = &mut targets[(round + turn) % levels];
            let before = cpu(target);
            let seen = load::wrk(&programs.wrk, target.port, 32, args.seconds)?;
            costs.push((cpu(target) - before).as_secs_f64() * 1e6 / seen.requests as f64);
        }
    }
    let costs = targets.into_iter().map(|(level, _, mut costs)| {
        costs.sort_by(f64::total_cmp);
        (level, costs[0], costs[costs.len() / 2])
    });
    Ok(Levels { load, costs: costs.collect() })
}

fn cpu(target: &Target) -> Duration {
    target.running.iter().map(Running::cpu).sum()
}
