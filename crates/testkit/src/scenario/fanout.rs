//! One event to many endpoints, through Connect: deliveries a second against those of one endpoint.

use super::measure::{Drive, Measure, measure};
use super::report::{Report, Row};
use super::subject::Subject;
use super::throughput::drive;
use super::{Settings, progress};
use anyhow::Result;

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut one = Row::new("fan-out", "dacapo, 1 → 1");
    let mut many = Row::new("fan-out", &format!("dacapo, 1 → {}", settings.fan))
        .note("ratio: deliveries/s to fan-out 1 of the same run; CPU per delivery");
    for run in 1..=settings.runs {
        progress(&format!("fan-out, run {run} of {}: 1", settings.runs));
        one.add(once(settings, 1).await);
        progress(&format!("fan-out, run {run} of {}: {}", settings.runs, settings.fan));
        many.add(once(settings, settings.fan).await);
        many.compare(&one, |m| m.delivered_s);
    }
    report.row(one);
    report.row(many);
    Ok(())
}

async fn once(settings: &Settings, fan: usize) -> Result<Measure> {
    let mut subject = Subject::dacapo(settings).await?;
    subject.endpoints_target(fan).await?;
    let target = subject.connect_target()?;
    measure(&subject, &target, &Drive { fan: fan as u64, ..drive(settings) }).await
}
