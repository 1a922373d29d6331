//! `bench`: one table, side by side: a forwarder without storage, then Dacapo. See docs/benchmarks.md for the method.

use anyhow::{Result, ensure};
use clap::Parser;
use dacapo_testkit::product;
use dacapo_testkit::scenario::{self, DeadKind, Scenario, Settings, StoreKind};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measure Dacapo against a forwarder without storage, on loopback, in one run.
#[derive(Debug, Parser)]
struct Arguments {
    /// The release `dacapo` binary [default: beside this one]
    #[arg(long)]
    dacapo: Option<PathBuf>,
    /// Measure the forwarder alone: the machine's own limit
    #[arg(long, conflicts_with = "dacapo")]
    forwarder_only: bool,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_value = "throughput,latency")]
    scenario: Vec<Scenario>,
    /// What Dacapo keeps its data in, in every scenario but `postgres`
    #[arg(long, value_enum, default_value = "sqlite")]
    store: StoreKind,
    /// Alternating runs of each comparison
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of load in each
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Keep-alive connections of the load
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Events a second of the latency runs
    #[arg(long, default_value_t = 400)]
    paced_rate: u32,
    /// Seconds of each latency run
    #[arg(long, default_value_t = 15)]
    paced_seconds: u64,
    /// Endpoints of `endpoints`
    #[arg(long, default_value_t = 1000)]
    endpoints: usize,
    /// Endpoints one event reaches in `fanout`
    #[arg(long, default_value_t = 20)]
    fan: usize,
    /// Deliveries behind the dead endpoint of `dead`; events of `replay`
    #[arg(long, default_value_t = 1_000_000)]
    waiting: u64,
    /// How the dead endpoint is dead
    #[arg(long, value_enum, default_value = "refuses")]
    dead: DeadKind,
    /// Finished events of `history`
    #[arg(long, default_value_t = 5_000_000)]
    stored: u64,
    /// Where the data directories are made [default: the system's temporary directory]
    #[arg(long)]
    data_root: Option<PathBuf>,
    /// Print the table as markdown
    #[arg(long)]
    markdown: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!((1..=50).contains(&arguments.runs), "--runs {}: 1 to 50", arguments.runs);
    ensure!((1..=600).contains(&arguments.seconds), "--seconds {}: 1 to 600", arguments.seconds);
    let dacapo = match (arguments.dacapo, arguments.forwarder_only) {
        (_, true) => None,
        (Some(path), false) => Some(path),
        (None, false) => Some(product::sibling("dacapo")?),
    };
    let settings = Settings {
        dacapo,
        forwarder: product::sibling("forwarder")?,
        store: arguments.store,
        data_root: arguments.data_root.unwrap_or_else(std::env::temp_dir),
        runs: arguments.runs,
        seconds: Duration::from_secs(arguments.seconds),
        connections: arguments.connections,
        paced_rate: arguments.paced_rate,
        paced_seconds: Duration::from_secs(arguments.paced_seconds),
        endpoints: arguments.endpoints,
        fan: arguments.fan,
        waiting: arguments.waiting,
        dead_kind: arguments.dead,
        stored: arguments.stored,
    };
    let machine = scenario::machine(&settings)?;
    let report = scenario::run(&settings, &arguments.scenario).await;
    let mut out = std::io::stdout();
    for line in machine {
        writeln!(out, "{}{line}", if arguments.markdown { "- " } else { "" })?;
    }
    let runs = format!(
        "{} alternating runs of {} s, {} connections, {}-byte payload, medians",
        settings.runs,
        arguments.seconds,
        settings.connections,
        dacapo_testkit::generator::PAYLOAD_BYTES
    );
    writeln!(out, "{}{runs}\n\n{}", if arguments.markdown { "- " } else { "" }, report.render(arguments.markdown))?;
    if report.any_failed() {
        std::process::exit(1);
    }
    Ok(())
}
