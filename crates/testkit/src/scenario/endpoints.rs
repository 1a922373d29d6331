//! Many endpoints in turn instead of one: what lanes cost.

use super::report::{Report, Row};
use super::throughput::{dacapo_once, drive};
use super::{Settings, progress};
use anyhow::Result;

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut one = Row::new("endpoints", "dacapo, 1");
    let mut many = Row::new("endpoints", &format!("dacapo, {}", settings.endpoints))
        .note("ratio: delivered/s to one endpoint's of the same run");
    for run in 1..=settings.runs {
        progress(&format!("endpoints, run {run} of {}: 1", settings.runs));
        one.add(dacapo_once(settings, &drive(settings), 1).await);
        progress(&format!("endpoints, run {run} of {}: {}", settings.runs, settings.endpoints));
        many.add(dacapo_once(settings, &drive(settings), settings.endpoints).await);
        many.compare(&one, |m| m.delivered_s);
    }
    report.row(one);
    report.row(many);
    Ok(())
}
