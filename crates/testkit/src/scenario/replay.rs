//! A live endpoint beside a replay of a long history to another one: live figures with the replay paused and with it
//! running, in turn, and the replay's own speed when it has the machine to itself.

use super::measure::{Drive, Measure, measure};
use super::report::{Report, Row};
use super::subject::{Subject, convoy_target};
use super::{Settings, latency, progress, throughput};
use crate::generator::{self, Load, Target};
use crate::procfs;
use crate::product::text;
use crate::sink::{Keep, Plan, Sink};
use anyhow::{Result, ensure};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest the filling may take.
const FILL_WITHIN: Duration = Duration::from_secs(3600);

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut subject = Subject::dacapo(settings).await?;
    let live = subject.endpoints_target(1).await?;
    let archive = Sink::start(Plan::default(), Keep::default()).await?;
    let filled = fill(settings, &mut subject, &archive).await?;

    let body = json!({"mode": "missing", "selector": {"from": "-1d"}});
    progress("replay: plan");
    let began = Instant::now();
    let plan = subject.product()?.plan_replay(&body).await?;
    let planned = format!("plan of {} in {:.2} s", plan["matched"], began.elapsed().as_secs_f64());
    let id = subject.product()?.start_replay(&body).await?;
    let mut bench = Beside { subject, live, id, runs: settings.runs };
    bench.steer("pause").await?;
    let mut paced = Pair::new(", paced", "ratio: p99 to the same without the replay, its neighbour in time");
    bench.alternate("latency", &mut paced, &latency::drive(settings), |m| m.p99_ms).await?;
    let mut closed = Pair::new("", "ratio: delivered/s to the same without the replay, its neighbour in time");
    bench.alternate("throughput", &mut closed, &throughput::drive(settings), |m| m.delivered_s).await?;
    let now = bench.subject.product()?.replay(&bench.id).await?;
    ensure!(text(&now, "status") == "paused", "it was over before the live endpoint was measured: {now}");

    progress("replay: alone");
    bench.steer("resume").await?;
    let (from, began) = (archive.record().delivered(), Instant::now());
    tokio::time::sleep(settings.seconds).await;
    let speed = (archive.record().delivered() - from) as f64 / began.elapsed().as_secs_f64();
    let pss_mb = Some(procfs::pss_bytes(bench.subject.pid()?)? as f64 / 1e6);
    let mut alone = Row::new("replay", "replay alone").note(format!("ratio: delivered/s to live alone; {planned}"));
    alone.add(Ok(Measure { delivered_s: Some(speed), pss_mb, ..Measure::default() }));
    alone.compare(&closed.alone, |m| m.delivered_s);
    let began = Instant::now();
    bench.steer("cancel").await?;
    progress(&format!("replay: cancelled in {:.0} ms", began.elapsed().as_secs_f64() * 1e3));
    for row in [filled, closed.alone, closed.beside, paced.alone, paced.beside, alone] {
        report.row(row);
    }
    Ok(())
}

/// A live endpoint with the replay paused, and with it running.
struct Pair {
    alone: Row,
    beside: Row,
}

impl Pair {
    fn new(how: &str, note: &str) -> Self {
        Self {
            alone: Row::new("replay", &format!("live, alone{how}")),
            beside: Row::new("replay", &format!("live, beside{how}")).note(note),
        }
    }
}

struct Beside {
    subject: Subject,
    live: Arc<Target>,
    /// Of the replay.
    id: String,
    runs: usize,
}

impl Beside {
    async fn steer(&mut self, verb: &str) -> Result<()> {
        self.subject.product()?.steer_replay(&self.id, verb).await?.expect(200)?;
        Ok(())
    }

    /// Stores grow and machines drift, more than a replay disturbs: so both are measured again and again, now one
    /// first, now the other. The replay is paused before and after.
    async fn alternate(
        &mut self,
        what: &str,
        pair: &mut Pair,
        drive: &Drive,
        figure: impl Fn(&Measure) -> Option<f64>,
    ) -> Result<()> {
        for run in 1..=self.runs {
            progress(&format!("replay: {what} of the live endpoint without and beside it, run {run}"));
            for is_beside in [run % 2 == 0, run % 2 == 1] {
                if is_beside {
                    self.steer("resume").await?;
                    pair.beside.add(measure(&self.subject, &self.live, &drive.clone().beside_other_work()).await);
                    self.steer("pause").await?;
                } else {
                    pair.alone.add(measure(&self.subject, &self.live, drive).await);
                }
            }
            pair.beside.compare(&pair.alone, &figure);
        }
        Ok(())
    }
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
