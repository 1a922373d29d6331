//! `crash`: kills the real binary under load and counts what the sink got. Exit code 1 when a promise is broken.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use dacapo_testkit::crash::{self, Options};
use dacapo_testkit::nodes::kills;
use dacapo_testkit::product;
use dacapo_testkit::random::Random;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Kill Dacapo under load, start it again, count what was lost and what came twice.
#[derive(Debug, Parser)]
struct Arguments {
    /// The `dacapo` binary [default: beside this one]
    #[arg(long)]
    dacapo: Option<PathBuf>,
    /// How many times to kill it
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Seconds from ready to the next kill, LOW..HIGH
    #[arg(long, default_value = "0.5..3", value_parser = seconds_between)]
    seconds_between: (Duration, Duration),
    /// The sink answers 500 to a third, retries come after a second
    #[arg(long)]
    fail_third: bool,
    /// Seed of the moments; printed, to have the same run again [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Connections of the load
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Events a second; 0 is as fast as answers come
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// What may be in flight at one kill: sends under way and sends whose record is not on disk yet
    #[arg(long, default_value_t = 256)]
    in_flight_max: u64,
    /// Nodes on one PostgreSQL: each round kills some of them, at random, and all but one at most
    #[arg(long, default_value_t = 1)]
    nodes: usize,
}

fn seconds_between(text: &str) -> Result<(Duration, Duration)> {
    let (low, high) = text.split_once("..").context("LOW..HIGH, e.g. 0.5..3")?;
    let (low, high): (f64, f64) = (low.parse()?, high.parse()?);
    ensure!((0.0..=60.0).contains(&low) && (low..=60.0).contains(&high), "0 to 60 seconds, low first");
    Ok((Duration::from_secs_f64(low), Duration::from_secs_f64(high)))
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let binary = match arguments.dacapo {
        Some(path) => path,
        None => product::sibling("dacapo")?,
    };
    let seed = arguments.seed.unwrap_or_else(clock_seed);
    eprintln!("seed {seed}");
    if arguments.nodes > 1 {
        let mut random = Random::seeded(seed);
        let most = arguments.nodes as u64 - 1;
        let rounds = (0..arguments.kills).map(|_| 1 + (random.draw() % most) as usize).collect();
        let mut options = kills::Options::new(binary, arguments.nodes, rounds);
        (options.per_second, options.between) = (arguments.rate.max(1), arguments.seconds_between);
        (options.seed, options.progress) = (seed, true);
        let count = kills::run(&options).await?;
        return conclude(&count, count.verdict());
    }
    let options = Options {
        kills: arguments.kills,
        between: arguments.seconds_between,
        fail_third: arguments.fail_third,
        seed,
        connections: arguments.connections,
        rate: arguments.rate,
        in_flight_max: arguments.in_flight_max,
        progress: true,
        ..Options::new(binary)
    };
    let count = crash::run(&options).await?;
    conclude(&count, count.verdict())
}

fn conclude(count: &dyn Display, verdict: Result<()>) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{count}")?;
    if let Err(violation) = verdict {
        writeln!(out, "VIOLATED: {violation}")?;
        std::process::exit(1);
    }
    writeln!(out, "kept: nothing acknowledged was lost, duplicates within what was in flight")?;
    Ok(())
}

fn clock_seed() -> u64 {
    u64::from(std::process::id()) << 20 | dacapo_testkit::clock::micros() & 0xF_FFFF
}
