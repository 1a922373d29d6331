//! A healthy endpoint beside a dead one: measured before, then with a long queue behind the dead one, and once more
//! after a restart on that queue. The project's retry interval is an hour, so that the queue waits and stays.

use super::measure::{Measure, measure};
use super::report::{Report, Row};
use super::subject::{Subject, convoy_target};
use super::{Settings, latency, progress, throughput};
use crate::generator::{self, Load};
use crate::hostile::{Hostile, Kind};
use crate::procfs;
use crate::sink::{Answer, Keep, Plan, Sink};
use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Longest the filling may take.
const FILL_WITHIN: Duration = Duration::from_secs(3600);
/// Seconds between attempts at the dead endpoint.
const RETRY_SECONDS: u64 = 3600;
const RETRY_ATTEMPTS: u64 = 10;

/// How an endpoint is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeadKind {
    /// Its port is closed
    Refuses,
    /// It answers 500 at once
    Errors,
    /// It never answers
    Hangs,
}

/// What stands on the dead endpoint's port, while it does.
enum Dead {
    Nobody(String),
    Errors(Sink),
    Hangs(Hostile),
}

impl Dead {
    async fn start(kind: DeadKind) -> Result<Self> {
        Ok(match kind {
            DeadKind::Refuses => {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                Self::Nobody(format!("http://{}/dead", listener.local_addr()?))
            }
            DeadKind::Errors => Self::Errors(Sink::start(Plan::always(Answer::status(500)), Keep::default()).await?),
            DeadKind::Hangs => Self::Hangs(Hostile::start(Kind::NeverAnswers).await?),
        })
    }

    fn url(&self) -> String {
        match self {
            Self::Nobody(url) => url.clone(),
            Self::Errors(sink) => sink.url("/dead"),
            Self::Hangs(hostile) => hostile.url(),
        }
    }
}

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut subject = Subject::dacapo(settings).await?;
    subject.product()?.linear_retries(RETRY_SECONDS, RETRY_ATTEMPTS).await?;
    let healthy = subject.endpoints_target(1).await?;
    let mut before = Row::new("dead", "healthy, before");
    let mut before_paced = Row::new("dead", "healthy, before, paced");
    progress("dead: the healthy endpoint before");
    before.add(measure(&subject, &healthy, &throughput::drive(settings)).await);
    before_paced.add(measure(&subject, &healthy, &latency::drive(settings)).await);

    let dead = Dead::start(settings.dead_kind).await?;
    let filled = fill(settings, &mut subject, &dead).await?;
    let mut beside = Row::new("dead", "healthy, beside the queue").note("ratio: delivered/s to before");
    let mut beside_paced = Row::new("dead", "healthy, beside, paced").note("ratio: p99 to before");
    progress("dead: the healthy endpoint beside the queue");
    beside.add(measure(&subject, &healthy, &throughput::drive(settings)).await);
    beside.compare(&before, |m| m.delivered_s);
    beside_paced.add(measure(&subject, &healthy, &latency::drive(settings)).await);
    beside_paced.compare(&before_paced, |m| m.p99_ms);

    progress("dead: restart on the queue");
    let restarted = restart(settings, &mut subject).await?;
    let mut after_paced = Row::new("dead", "healthy, after the restart, paced").note("ratio: p99 to before");
    after_paced.add(measure(&subject, &healthy, &latency::drive(settings)).await);
    after_paced.compare(&before_paced, |m| m.p99_ms);
    for row in [before, before_paced, filled, beside, beside_paced, restarted, after_paced] {
        report.row(row);
    }
    Ok(())
}

async fn fill(settings: &Settings, subject: &mut Subject, dead: &Dead) -> Result<Row> {
    progress(&format!("dead: {} deliveries to an endpoint that {:?}", settings.waiting, settings.dead_kind));
    let product = subject.product()?;
    let endpoint = product.subscribed_endpoint(&dead.url(), &json!({})).await?;
    let mut load = Load::new(convoy_target(product, vec![endpoint])?, settings.connections, FILL_WITHIN);
    load.count_max = settings.waiting;
    let tally = generator::run(load).await?;
    ensure!(tally.accepted() == settings.waiting, "{} of {} accepted", tally.accepted(), settings.waiting);
    let measure = Measure {
        accepted_s: Some(tally.accepted_per_second()),
        pss_mb: Some(procfs::pss_bytes(subject.pid()?)? as f64 / 1e6),
        ..Measure::default()
    };
    let mut row = Row::new("dead", "filling").note(format!("{} waiting", settings.waiting));
    row.add(Ok(measure));
    Ok(row)
}

async fn restart(settings: &Settings, subject: &mut Subject) -> Result<Row> {
    let product = subject.product()?;
    product.stop().await?;
    let start = Instant::now();
    product.restart().await?;
    let ready = start.elapsed();
    let pss_mb = procfs::pss_bytes(subject.pid()?)? as f64 / 1e6;
    let note = format!("ready {:.2} s after its start with {} waiting", ready.as_secs_f64(), settings.waiting);
    let mut row = Row::new("dead", "restart").note(note);
    row.add(Ok(Measure { pss_mb: Some(pss_mb), ..Measure::default() }));
    Ok(row)
}
