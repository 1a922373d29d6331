//! Breaking promise 1 and 2 on purpose: the real binary under load is killed with SIGKILL at random moments and started
//! again on the same data; at the end the sink counts.
//!
//! In: how often, how far apart, the seed. Out: a `Count`. Promise under test: acknowledged and never delivered = 0,
//! duplicates ≤ what was in flight. On a violation `Count::verdict` says which, with the first markers concerned.

use crate::generator::{self, Load, Pace, Shape, Target};
use crate::ledger::Ledger;
use crate::product::{Options as ProductOptions, Product, content, wait_until};
use crate::random::Random;
use crate::sink::{Keep, Plan, Sink};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Most events one run sends.
const EVENTS_MAX: usize = 2_000_000;
/// Most kills of one run.
const KILLS_MAX: u32 = 1000;
/// The backlog must be gone this long after the last restart.
const DRAIN_WITHIN: Duration = Duration::from_secs(300);
/// Lost markers named in a verdict.
const NAMED_MAX: usize = 10;
/// A start may take this long while the load waits.
const RESTART_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Options {
    pub binary: PathBuf,
    pub kills: u32,
    pub between: (Duration, Duration),
    /// The sink answers 500 to a third, retries come after a second.
    pub fail_third: bool,
    pub seed: u64,
    pub connections: usize,
    /// Events a second; 0 is as fast as answers come.
    pub rate: u32,
    /// What may be in flight at one kill: sends under way, and sends answered whose record is not on disk yet.
    pub in_flight_max: u64,
    pub progress: bool,
}

impl Options {
    pub fn new(binary: PathBuf) -> Self {
        Self {
            binary,
            kills: 20,
            between: (Duration::from_millis(500), Duration::from_secs(3)),
            fail_third: false,
            seed: 1,
            connections: 32,
            rate: 2000,
            in_flight_max: 256,
            progress: false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Count {
    pub seed: u64,
    pub kills: u32,
    pub sent: u64,
    pub acknowledged: u64,
    pub refused: u64,
    /// Sent, and no answer came: the process was killed meanwhile.
    pub unanswered: u64,
    pub delivered: u64,
    pub lost: u64,
    pub lost_first: Vec<u64>,
    pub duplicates: u64,
    pub duplicates_max: u64,
    /// Committed, and killed before the answer: allowed.
    pub unacknowledged_delivered: u64,
    /// Requests the sink answered 500.
    pub failed_attempts: u64,
}

impl Count {
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.lost == 0, "{} acknowledged events were never delivered, first: {:?}", self.lost, self.lost_first);
        ensure!(
            self.duplicates <= self.duplicates_max,
            "{} duplicates, more than the {} that were in flight at {} kills",
            self.duplicates,
            self.duplicates_max,
            self.kills
        );
        ensure!(self.acknowledged > 0, "nothing was acknowledged: the run shows nothing");
        Ok(())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed                          {}", self.seed)?;
        writeln!(f, "kills                         {}", self.kills)?;
        writeln!(f, "sent                          {}", self.sent)?;
        writeln!(f, "acknowledged (2xx)            {}", self.acknowledged)?;
        writeln!(f, "refused / unanswered          {} / {}", self.refused, self.unanswered)?;
        writeln!(f, "delivered, distinct           {}", self.delivered)?;
        writeln!(f, "attempts answered 500         {}", self.failed_attempts)?;
        writeln!(f, "acknowledged, never delivered {}   (must be 0)", self.lost)?;
        writeln!(
            f,
            "duplicates                    {}   (in flight at the kills: ≤ {})",
            self.duplicates, self.duplicates_max
        )?;
        write!(f, "delivered, unacknowledged     {}   (allowed)", self.unacknowledged_delivered)
    }
}

pub async fn run(options: &Options) -> Result<Count> {
    ensure!((1..=KILLS_MAX).contains(&options.kills), "kills: 1 to {KILLS_MAX}");
    let plan = if options.fail_third { Plan::failing(1, 3) } else { Plan::default() };
    let sink = Sink::start(plan, Keep { markers: EVENTS_MAX, requests: 0 }).await?;
    let dir = tempfile::Builder::new().prefix("dacapo-crash-").tempdir()?;
    let mut product = Product::start(ProductOptions::new(options.binary.clone(), dir.path().join("data"))).await?;
    if options.fail_third {
        product.linear_retries(1, 20).await?;
    }
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;

    let acknowledged = Arc::new(Ledger::new(EVENTS_MAX));
    let stop = CancellationToken::new();
    let load = tokio::spawn(generator::run(load(options, &product, endpoint, &acknowledged, &stop)?));
    let killed = kill_and_restart(options, &mut product).await;
    stop.cancel();
    let tally = load.await.context("generator")??;
    killed?;
    drain(&product, &sink, &acknowledged).await?;
    product.stop().await?;

    let ledger = sink.record().ledger();
    let (lost, lost_first) = acknowledged.missing_from(ledger, NAMED_MAX);
    let (unacknowledged_delivered, _) = ledger.missing_from(&acknowledged, 0);
    Ok(Count {
        seed: options.seed,
        kills: options.kills,
        sent: tally.sent(),
        acknowledged: acknowledged.distinct(),
        refused: tally.refused(),
        unanswered: tally.broken(),
        delivered: ledger.distinct(),
        lost,
        lost_first,
        duplicates: ledger.total() - ledger.distinct(),
        duplicates_max: options.in_flight_max * u64::from(options.kills),
        unacknowledged_delivered,
        failed_attempts: sink.record().requests() - sink.record().delivered(),
    })
}

fn load(
    options: &Options,
    product: &Product,
    endpoint: String,
    acknowledged: &Arc<Ledger>,
    stop: &CancellationToken,
) -> Result<Load> {
    let shape = Shape::Convoy { project_id: product.keys().project_id.clone(), endpoints: vec![endpoint] };
    let bearer = format!("Bearer {}", product.keys().api_key);
    let target = Arc::new(Target::new(product.url(), &shape, Some(&bearer))?);
    let longest = (options.between.1 + RESTART_WITHIN) * (options.kills + 1);
    let mut load = Load::new(target, options.connections, longest.min(Duration::from_secs(3600)));
    if options.rate > 0 {
        load.pace = Pace::PerSecond(options.rate);
    }
    load.count_max = EVENTS_MAX as u64;
    load.acknowledged = Some(Arc::clone(acknowledged));
    load.stop = stop.clone();
    Ok(load)
}

async fn kill_and_restart(options: &Options, product: &mut Product) -> Result<()> {
    let mut random = Random::seeded(options.seed);
    for kill in 1..=options.kills {
        // The moment is what is random here, not a wait for something.
        tokio::time::sleep(random.between(options.between.0, options.between.1)).await;
        product.kill9()?;
        product.restart().await.with_context(|| format!("restart after kill {kill}"))?;
        if options.progress {
            eprintln!("kill {kill} of {}", options.kills);
        }
    }
    Ok(())
}

/// Until nothing waits any more and every acknowledged event has arrived.
async fn drain(product: &Product, sink: &Sink, acknowledged: &Ledger) -> Result<()> {
    const WAITING: &str = "/eventdeliveries?perPage=1&status=Scheduled&status=Processing&status=Retry";
    let drained = wait_until(DRAIN_WITHIN, "the backlog drained", async || {
        let waiting = content(&product.get(WAITING).await?.expect(200)?);
        Ok(waiting.is_empty().then_some(()))
    })
    .await;
    // A backlog that never drains is counted as what it is: lost events, named by the verdict.
    let (lost, _) = acknowledged.missing_from(sink.record().ledger(), 0);
    if drained.is_err() && lost == 0 {
        return drained.context("everything arrived, and yet deliveries wait");
    }
    Ok(())
}
