//! A store full of finished events: what history costs those that follow.

use super::measure::{Measure, arrived, measure};
use super::report::{Report, Row};
use super::subject::Subject;
use super::throughput::drive;
use super::{Settings, latency, pages, progress};
use crate::generator::{self, Load};
use crate::procfs;
use anyhow::{Result, ensure};
use std::time::Duration;

/// Longest the filling may take.
const FILL_WITHIN: Duration = Duration::from_secs(3600);

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut subject = Subject::dacapo(settings).await?;
    let target = subject.endpoints_target(1).await?;
    let mut before = Row::new("history", "empty store");
    progress("history: the empty store");
    before.add(measure(&subject, &target, &drive(settings)).await);

    progress(&format!("history: {} events to finish", settings.stored));
    let delivered = subject.sink.record().delivered();
    let mut load = Load::new(target.clone(), settings.connections, FILL_WITHIN);
    load.count_max = settings.stored;
    let tally = generator::run(load).await?;
    ensure!(tally.accepted() == settings.stored, "{} of {} accepted", tally.accepted(), settings.stored);
    arrived(&subject, delivered + settings.stored).await?;
    let mut filled = Row::new("history", "filling").note(format!("{} finished", settings.stored));
    filled.add(Ok(Measure {
        accepted_s: Some(tally.accepted_per_second()),
        pss_mb: Some(procfs::pss_bytes(subject.pid()?)? as f64 / 1e6),
        ..Measure::default()
    }));

    let mut after = Row::new("history", "full store").note("ratio: delivered/s to the empty store");
    let mut after_paced = Row::new("history", "full store, paced");
    progress("history: the full store");
    after.add(measure(&subject, &target, &drive(settings)).await);
    after.compare(&before, |m| m.delivered_s);
    after_paced.add(measure(&subject, &target, &latency::drive(settings)).await);
    let lists = pages::rows("history", &mut subject).await?;
    for row in [before, filled, after, after_paced].into_iter().chain(lists) {
        report.row(row);
    }
    Ok(())
}
