//! A fixed rate, open loop: how long from sending an event to its arrival at the endpoint, the commit included.

use super::measure::Drive;
use super::report::{Report, Row};
use super::throughput::{dacapo_once, forwarder_once};
use super::{Settings, progress};
use crate::generator::Pace;
use anyhow::Result;

/// Alternating runs of this scenario; each takes a while and they vary little.
pub(super) const RUNS_MAX: usize = 3;

pub(super) fn drive(settings: &Settings) -> Drive {
    Drive {
        connections: settings.connections,
        pace: Pace::PerSecond(settings.paced_rate),
        duration: settings.paced_seconds,
        fan: 1,
        comes_to_rest: true,
    }
}

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let name = format!("latency at {}/s", settings.paced_rate);
    let mut forwarder = Row::new(&name, "forwarder");
    let mut dacapo = Row::new(&name, "dacapo").note("ratio: p99 to the forwarder's of the same run");
    for run in 1..=settings.runs.min(RUNS_MAX) {
        progress(&format!("latency, run {run}: forwarder"));
        forwarder.add(forwarder_once(settings, &drive(settings)).await);
        if settings.dacapo.is_none() {
            continue;
        }
        progress(&format!("latency, run {run}: dacapo"));
        dacapo.add(dacapo_once(settings, &drive(settings), 1).await);
        dacapo.compare(&forwarder, |m| m.p99_ms);
    }
    report.row(forwarder);
    if settings.dacapo.is_some() {
        report.row(dacapo);
    }
    Ok(())
}
