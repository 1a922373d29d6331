//! One measurement of one subject: load it, wait until the sink has everything, read the clocks.

use super::subject::Subject;
use crate::generator::{self, Load, Pace, Target};
use crate::product::wait_until;
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Load before the clock starts: connections, pools and caches fill.
const WARM_UP: Duration = Duration::from_secs(1);
/// After the load everything accepted must arrive within this.
const DRAIN_WITHIN: Duration = Duration::from_secs(300);
/// The process is at rest when it used at most a clock tick in this long.
const REST_WINDOW: Duration = Duration::from_millis(100);
const REST_TICK_US: u64 = 10_000;
/// Windows waited for rest at most.
const REST_WINDOWS_MAX: usize = 50;

/// Figures of one run. Rates are per second; `None` where a scenario does not have them.
#[derive(Clone, Debug, Default)]
pub struct Measure {
    pub accepted_s: Option<f64>,
    pub delivered_s: Option<f64>,
    pub cpu_us: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub pss_mb: Option<f64>,
}

#[derive(Clone, Debug)]
pub struct Drive {
    pub connections: usize,
    pub pace: Pace,
    pub duration: Duration,
    /// Deliveries that one accepted event makes.
    pub fan: u64,
    /// `false`: something else keeps the process busy, and CPU time says nothing.
    pub comes_to_rest: bool,
}

impl Drive {
    pub fn beside_other_work(self) -> Self {
        Self { comes_to_rest: false, ..self }
    }
}

/// Drives `target`, whose deliveries all end at the subject's sink.
pub async fn measure(subject: &Subject, target: &Arc<Target>, drive: &Drive) -> Result<Measure> {
    measure_all(subject, std::slice::from_ref(target), drive).await
}

/// The same with the load in equal parts on several targets.
pub async fn measure_all(subject: &Subject, target: &[Arc<Target>], drive: &Drive) -> Result<Measure> {
    // The warm-up keeps the pace too, so that the measured load meets no backlog.
    drained(subject, target, drive, WARM_UP).await?;
    let record = subject.sink.record();
    record.latency().clear();
    let cpu = async || if drive.comes_to_rest { at_rest(subject).await.map(Some) } else { Ok(None) };
    let cpu_before = cpu().await?;
    let (started_us, accepted, accepted_s) = drained(subject, target, drive, drive.duration).await?;
    let delivered = accepted * drive.fan;
    let delivering_s = record.last_us().saturating_sub(started_us) as f64 / 1e6;
    let pss = subject.pss_bytes()?;
    let cpu_us = cpu().await?.zip(cpu_before).map(|(after, before)| after - before);
    let milliseconds = |share| record.latency().quantile_us(share).map(|us| us as f64 / 1e3);
    let paced = matches!(drive.pace, Pace::PerSecond(_));
    Ok(Measure {
        accepted_s: Some(accepted_s),
        delivered_s: Some(delivered as f64 / delivering_s.max(1e-6)),
        cpu_us: cpu_us.map(|us| us as f64 / delivered.max(1) as f64),
        p50_ms: paced.then(|| milliseconds(0.5)).flatten(),
        p99_ms: paced.then(|| milliseconds(0.99)).flatten(),
        pss_mb: Some(pss as f64 / 1e6),
    })
}

/// Loads for `duration`, then waits until the sink has all of it. When it began, how many were accepted, and the rate.
async fn drained(
    subject: &Subject,
    targets: &[Arc<Target>],
    drive: &Drive,
    duration: Duration,
) -> Result<(u64, u64, f64)> {
    let record = subject.sink.record();
    let before = record.delivered();
    let mut loads = JoinSet::new();
    let part = u32::try_from(targets.len())?;
    for target in targets {
        let mut load = Load::new(Arc::clone(target), (drive.connections / targets.len()).max(1), duration);
        load.pace = match drive.pace {
            Pace::PerSecond(rate) => Pace::PerSecond((rate / part).max(1)),
            Pace::Closed => Pace::Closed,
        };
        loads.spawn(generator::run(load));
    }
    let (mut started_us, mut accepted, mut rate) = (u64::MAX, 0, 0.0);
    while let Some(tally) = loads.join_next().await {
        let tally = tally.context("a load")??;
        ensure!(tally.refused() == 0, "{} of {} requests were refused", tally.refused(), tally.sent());
        ensure!(tally.broken() == 0, "{} of {} connections broke", tally.broken(), tally.sent());
        ensure!(tally.accepted() > 0, "nothing was accepted");
        started_us = started_us.min(tally.started_us());
        accepted += tally.accepted();
        rate += tally.accepted_per_second();
    }
    arrived(subject, before + accepted * drive.fan).await?;
    Ok((started_us, accepted, rate))
}

/// Until the sink has answered this many with 2xx.
pub async fn arrived(subject: &Subject, want: u64) -> Result<()> {
    let record = subject.sink.record();
    let all = wait_until(DRAIN_WITHIN, "everything delivered", async || Ok((record.delivered() >= want).then_some(())));
    all.await.with_context(|| format!("{} of {want} delivered", record.delivered()))
}

/// The CPU time so far, once what was handed over is also recorded: the process has come to rest, or will not.
pub async fn at_rest(subject: &Subject) -> Result<u64> {
    let mut before = subject.cpu_us()?;
    for _ in 0..REST_WINDOWS_MAX {
        sleep(REST_WINDOW).await;
        let now = subject.cpu_us()?;
        if now - before <= REST_TICK_US {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}
