//! On PostgreSQL: one node beside the forwarder, at full speed and at a rate; then three nodes beside one. The
//! server's processes count as the subject's own.

use super::latency::RUNS_MAX;
use super::measure::{Drive, Measure, measure_all};
use super::report::{Report, Row};
use super::subject::Subject;
use super::throughput::{drive, forwarder_once};
use super::{Settings, progress};
use crate::generator::Pace;
use crate::procfs;
use anyhow::{Context, Result};

/// Events a second of the paced runs.
const PACED_RATE: u32 = 200;
const NODES: usize = 3;
/// Addressed in turn by one node and by several, so that each of several has some.
const ENDPOINTS: usize = 24;

/// What an event leaves on the disk.
#[derive(Clone, Copy, Debug, Default)]
struct Traces {
    wal_bytes: u64,
    written_bytes: u64,
}

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    full_speed(settings, report).await;
    paced(settings, report).await;
    several(settings, report).await;
    Ok(())
}

async fn full_speed(settings: &Settings, report: &mut Report) {
    let (mut forwarder, mut cpu) = (Row::new("postgres", "forwarder"), Row::new("postgres", "dacapo CPU"));
    let mut dacapo =
        Row::new("postgres", "dacapo, 1 node").note("ratio: delivered/s to the forwarder's of the same run");
    cpu = cpu.note("ratio: CPU µs/event to the forwarder's of the same run");
    let mut traces = Vec::new();
    for run in 1..=settings.runs {
        progress(&format!("postgres, run {run} of {}: forwarder", settings.runs));
        forwarder.add(forwarder_once(settings, &drive(settings)).await);
        progress(&format!("postgres, run {run} of {}: one node", settings.runs));
        let measured = nodes_once(settings, &drive(settings), 1, 1).await;
        dacapo.add(measured.map(|(measure, left)| {
            traces.push(left);
            measure
        }));
        dacapo.compare(&forwarder, |m| m.delivered_s);
        if let Some(own) = dacapo.latest() {
            cpu.add(Ok(Measure { cpu_us: own.cpu_us, ..Measure::default() }));
            cpu.compare(&forwarder, |m| m.cpu_us);
        }
    }
    traces.sort_by_key(|left: &Traces| left.wal_bytes);
    if let Some(left) = traces.get(traces.len() / 2) {
        let text =
            format!("an event: {} bytes of WAL, {} bytes written by the server", left.wal_bytes, left.written_bytes);
        report.row(forwarder);
        report.row(dacapo);
        report.row(cpu);
        report.row(Row::new("postgres", "on the disk").note(text));
        return;
    }
    report.row(forwarder);
    report.row(dacapo);
}

async fn paced(settings: &Settings, report: &mut Report) {
    let drive = Drive { pace: Pace::PerSecond(PACED_RATE), duration: settings.paced_seconds, ..drive(settings) };
    let mut row = Row::new(&format!("postgres at {PACED_RATE}/s"), "dacapo, 1 node");
    for run in 1..=settings.runs.min(RUNS_MAX) {
        progress(&format!("postgres at {PACED_RATE}/s, run {run}"));
        row.add(nodes_once(settings, &drive, 1, 1).await.map(|(measure, _)| measure));
    }
    report.row(row);
}

async fn several(settings: &Settings, report: &mut Report) {
    let mut one = Row::new("postgres", "dacapo, 1 node, many endpoints");
    let mut three = Row::new("postgres", "dacapo, 3 nodes").note("ratio: CPU µs/event to one node's of the same run");
    for run in 1..=settings.runs.min(RUNS_MAX) {
        progress(&format!("postgres, one node then {NODES}, run {run}"));
        one.add(nodes_once(settings, &drive(settings), 1, ENDPOINTS).await.map(|(measure, _)| measure));
        three.add(nodes_once(settings, &drive(settings), NODES, ENDPOINTS).await.map(|(measure, _)| measure));
        three.compare(&one, |m| m.cpu_us);
    }
    report.row(one);
    report.row(three);
}

/// On a server of its own.
async fn nodes_once(settings: &Settings, drive: &Drive, nodes: usize, endpoints: usize) -> Result<(Measure, Traces)> {
    let mut subject = Subject::nodes(settings, nodes).await?;
    let targets = subject.node_targets(endpoints).await?;
    let before = traces(&subject)?;
    let events = subject.sink.record().delivered();
    let measure = measure_all(&subject, &targets, drive).await?;
    let (after, events) = (traces(&subject)?, (subject.sink.record().delivered() - events).max(1));
    let left = Traces {
        wal_bytes: (after.wal_bytes - before.wal_bytes) / events,
        written_bytes: (after.written_bytes - before.written_bytes) / events,
    };
    Ok((measure, left))
}

fn traces(subject: &Subject) -> Result<Traces> {
    let postgres = &subject.each_node()?.postgres;
    let wal = postgres.ask("postgres", "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")?;
    let wal_bytes = wal.parse().context("a number of bytes")?;
    Ok(Traces { wal_bytes, written_bytes: procfs::family_written_bytes(postgres.pid())? })
}
