//! The benchmark's scenarios, one file each. Every run of a subject gets a process, a data directory and a sink of its
//! own; subjects that are compared alternate, and a ratio is taken within one run before the median is.

mod dead;
mod endpoints;
mod fanout;
mod history;
mod latency;
mod measure;
mod pages;
mod postgres;
mod replay;
mod report;
mod subject;
mod throughput;

pub use dead::DeadKind;
pub use measure::Measure;
pub use report::{Report, Row};

use crate::procfs;
use anyhow::Result;
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One endpoint, as fast as answers come
    Throughput,
    /// A fixed rate, end-to-end latency
    Latency,
    /// Many endpoints in turn instead of one
    Endpoints,
    /// One event to many endpoints
    Fanout,
    /// A healthy endpoint beside a dead one with a long queue
    Dead,
    /// A store full of finished events
    History,
    /// A live endpoint beside a replay of a long history
    Replay,
    /// The same on PostgreSQL: one node and several
    Postgres,
}

/// What Dacapo keeps its data in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    #[default]
    Sqlite,
    /// A server of its own for each run, whose processes count as Dacapo's
    Postgres,
}

/// What the command line decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Without it only the forwarder is measured.
    pub dacapo: Option<PathBuf>,
    pub forwarder: PathBuf,
    /// Of all scenarios but `postgres`.
    pub store: StoreKind,
    /// Data directories are made in here, one for each run.
    pub data_root: PathBuf,
    pub runs: usize,
    pub seconds: Duration,
    pub connections: usize,
    pub paced_rate: u32,
    pub paced_seconds: Duration,
    pub endpoints: usize,
    pub fan: usize,
    pub waiting: u64,
    pub dead_kind: DeadKind,
    pub stored: u64,
}

/// Runs the scenarios in order; a run that fails is a row that says so, not the end.
pub async fn run(settings: &Settings, scenarios: &[Scenario]) -> Report {
    let mut report = Report::default();
    for scenario in scenarios {
        let outcome = match scenario {
            Scenario::Throughput => throughput::run(settings, &mut report).await,
            Scenario::Latency => latency::run(settings, &mut report).await,
            Scenario::Endpoints => endpoints::run(settings, &mut report).await,
            Scenario::Fanout => fanout::run(settings, &mut report).await,
            Scenario::Dead => dead::run(settings, &mut report).await,
            Scenario::History => history::run(settings, &mut report).await,
            Scenario::Replay => replay::run(settings, &mut report).await,
            Scenario::Postgres => postgres::run(settings, &mut report).await,
        };
        if let Err(error) = outcome {
            eprintln!("{scenario:?} failed: {error:#}");
            report.row(Row::failed(&format!("{scenario:?}").to_lowercase(), "dacapo", &error));
        }
    }
    report
}

/// What the machine can do at all, as lines of text.
pub fn machine(settings: &Settings) -> Result<Vec<String>> {
    let sync_us = procfs::fdatasync_us(&settings.data_root)?;
    Ok(vec![
        format!("{} cores, {}", procfs::cores(), procfs::processor()),
        format!("one fdatasync of 4 KiB in the data directory: {:.2} ms (median of 200)", sync_us / 1000.0),
    ])
}

fn progress(text: &str) {
    eprintln!("{:>7.1} s  {text}", crate::clock::micros() as f64 / 1e6);
}
