//! One endpoint, closed loop: the forwarder, then Dacapo, alternating.

use super::measure::{Drive, Measure, measure};
use super::report::{Report, Row};
use super::subject::Subject;
use super::{Settings, progress};
use crate::generator::Pace;
use anyhow::Result;

pub(super) fn drive(settings: &Settings) -> Drive {
    Drive {
        connections: settings.connections,
        pace: Pace::Closed,
        duration: settings.seconds,
        fan: 1,
        comes_to_rest: true,
    }
}

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut forwarder = Row::new("throughput", "forwarder");
    let mut dacapo = Row::new("throughput", "dacapo").note("ratio: delivered/s to the forwarder's of the same run");
    let mut cpu = Row::new("throughput", "dacapo CPU").note("ratio: CPU µs/event to the forwarder's of the same run");
    for run in 1..=settings.runs {
        progress(&format!("throughput, run {run} of {}: forwarder", settings.runs));
        forwarder.add(forwarder_once(settings, &drive(settings)).await);
        if settings.dacapo.is_none() {
            continue;
        }
        progress(&format!("throughput, run {run} of {}: dacapo", settings.runs));
        dacapo.add(dacapo_once(settings, &drive(settings), 1).await);
        dacapo.compare(&forwarder, |m| m.delivered_s);
        if let Some(own) = dacapo.latest() {
            cpu.add(Ok(Measure { cpu_us: own.cpu_us, ..Measure::default() }));
            cpu.compare(&forwarder, |m| m.cpu_us);
        }
    }
    report.row(forwarder);
    if settings.dacapo.is_some() {
        report.row(dacapo);
        if cpu.latest().is_some() {
            report.row(cpu);
        }
    }
    Ok(())
}

pub(super) async fn forwarder_once(settings: &Settings, drive: &Drive) -> Result<Measure> {
    let subject = Subject::forwarder(settings).await?;
    measure(&subject, &subject.bare_target()?, drive).await
}

/// On a fresh data directory with this many endpoints, addressed in turn.
pub(super) async fn dacapo_once(settings: &Settings, drive: &Drive, endpoints: usize) -> Result<Measure> {
    let mut subject = Subject::dacapo(settings).await?;
    let target = subject.endpoints_target(endpoints).await?;
    measure(&subject, &target, drive).await
}
