//! A live endpoint beside a replay of a long history to another one: live figures before and beside it, and the
//! replay's own speed when it has the machine to itself.

use super::measure::{Measure, measure};
use super::report::{Report, Row};
use super::subject::{Subject, convoy_target};
use super::{Settings, latency, progress, throughput};
use crate::generator::{self, Load};
use crate::procfs;
use crate::product::text;
use crate::sink::{Keep, Plan, Sink};
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::{Duration, Instant};

/// Longest the filling may take.
const FILL_WITHIN: Duration = Duration::from_secs(3600);

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut subject = Subject::dacapo(settings).await?;
    let live = subject.endpoints_target(1).await?;
    let archive = Sink::start(Plan::default(), Keep::default()).await?;
    let filled = fill(settings, &mut subject, &archive).await?;
    let mut before = Row::new("replay", "live, before");
    let mut before_paced = Row::new("replay", "live, before, paced");
    progress("replay: the live endpoint before");
    before.add(measure(&subject, &live, &throughput::drive(settings)).await);
    before_paced.add(measure(&subject, &live, &latency::drive(settings)).await);

    let body = json!({"mode": "missing", "selector": {"from": "-1d"}});
    progress("replay: plan");
    let began = Instant::now();
    let plan = subject.product()?.plan_replay(&body).await?;
    let planned = format!("plan of {} in {:.2} s", plan["matched"], began.elapsed().as_secs_f64());
    let id = subject.product()?.start_replay(&body).await?;
    let mut beside = Row::new("replay", "live, beside").note("ratio: delivered/s to before");
    let mut beside_paced = Row::new("replay", "live, beside, paced").note("ratio: p99 to before");
    progress("replay: the live endpoint beside it");
    beside_paced.add(measure(&subject, &live, &latency::drive(settings).beside_other_work()).await);
    beside_paced.compare(&before_paced, |m| m.p99_ms);
    beside.add(measure(&subject, &live, &throughput::drive(settings).beside_other_work()).await);
    beside.compare(&before, |m| m.delivered_s);
    let now = subject.product()?.replay(&id).await?;
    ensure!(text(&now, "status") == "running", "it was over before the live endpoint was measured: {now}");

    progress("replay: alone");
    let (from, began) = (archive.record().delivered(), Instant::now());
    tokio::time::sleep(settings.seconds).await;
    let speed = (archive.record().delivered() - from) as f64 / began.elapsed().as_secs_f64();
    let pss_mb = Some(procfs::pss_bytes(subject.pid()?)? as f64 / 1e6);
    let mut alone = Row::new("replay", "alone").note(format!("ratio: delivered/s to live before; {planned}"));
    alone.add(Ok(Measure { delivered_s: Some(speed), pss_mb, ..Measure::default() }));
    alone.compare(&before, |m| m.delivered_s);
    let began = Instant::now();
    subject.product()?.steer_replay(&id, "cancel").await?.expect(200)?;
    progress(&format!("replay: cancelled in {:.0} ms", began.elapsed().as_secs_f64() * 1e3));
    // What changed meanwhile without the replay: the store has grown, and the machine may be in another mood.
    let mut after = Row::new("replay", "live, after").note("ratio: delivered/s to before");
    progress("replay: the live endpoint after it");
    after.add(measure(&subject, &live, &throughput::drive(settings)).await);
    after.compare(&before, |m| m.delivered_s);
    for row in [filled, before, before_paced, beside, beside_paced, alone, after] {
        report.row(row);
    }
    Ok(())
}

/// Events that an endpoint would get, had its subscription been there when they came.
async fn fill(settings: &Settings, subject: &mut Subject, archive: &Sink) -> Result<Row> {
    progress(&format!("replay: {} events nobody gets yet", settings.waiting));
    let product = subject.product()?;
    let endpoint = product.create_endpoint(&archive.url("/"), &json!({})).await?;
    let subscription = product.subscribe(&endpoint, &["something.else"]).await?;
    let mut load = Load::new(convoy_target(product, vec![endpoint])?, settings.connections, FILL_WITHIN);
    load.count_max = settings.waiting;
    let tally = generator::run(load).await?;
    ensure!(tally.accepted() == settings.waiting, "{} of {} accepted", tally.accepted(), settings.waiting);
    let wanted = json!({"filter_config": {"event_types": ["*"]}});
    product.put(&format!("/subscriptions/{subscription}"), &wanted).await?.expect(202)?;
    let mut row = Row::new("replay", "filling").note(format!("{} events", settings.waiting));
    row.add(Ok(Measure { accepted_s: Some(tally.accepted_per_second()), ..Measure::default() }));
    Ok(row)
}
