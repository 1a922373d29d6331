//! Promises 1 and 2 where nodes share a database: kill one, or all but one, under load, and count what the sink got.
//!
//! What may come twice is what was in flight at a kill: requests that had reached the sink, or were answered, and whose
//! record was not on disk. It is bounded by time: what was sent in the last [`IN_FLIGHT_TIME`] before the kill.

use super::{Courses, Nodes, Spread, Stream, settled_on};
use crate::ledger::Ledger;
use crate::product::{Product, content, wait_until};
use crate::random::Random;
use crate::sink::{Answer, Keep, Plan, Sink};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The sink's answer, the way of its record to disk, and a busy machine's delays.
pub const IN_FLIGHT_TIME: Duration = Duration::from_millis(500);
/// Where the shards of a killed node are with the living at the latest: it expires ten seconds after its
/// last heartbeat, and a living node looks again within two.
pub const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(12);
/// The sink takes this long to answer, so that there is always something in flight.
const SINK_DELAY: Duration = Duration::from_millis(20);
/// Endpoints, so that every node has some.
const ENDPOINTS: usize = 12;
/// The backlog must be gone this long after the last kill.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);
/// The load's last events are acknowledged this long after its end.
const LOAD_ENDS_WITHIN: Duration = Duration::from_secs(30);
/// Shards are shared out again this long after a node came back.
const SHARED_OUT_WITHIN: Duration = Duration::from_secs(30);
/// Most rounds of one run.
const KILLS_MAX: usize = 500;
/// Lost markers named in a verdict.
const NAMED_MAX: usize = 10;

#[derive(Clone, Debug)]
pub struct Options {
    pub binary: PathBuf,
    pub nodes: usize,
    /// How many nodes are killed at once, one number a round; always fewer than there are.
    pub rounds: Vec<usize>,
    /// Events a second, over all nodes.
    pub per_second: u32,
    /// From shared out to the next kill.
    pub between: (Duration, Duration),
    pub seed: u64,
    pub progress: bool,
}

impl Options {
    pub fn new(binary: PathBuf, nodes: usize, rounds: Vec<usize>) -> Self {
        let between = (Duration::from_millis(500), Duration::from_millis(1500));
        Self { binary, nodes, rounds, per_second: 300, between, seed: 1, progress: false }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Of each round: how many were killed at once, and how long until the living owned everything.
    pub kills: Vec<(usize, Duration)>,
    pub spread: Spread,
    pub delivered: u64,
    pub lost: u64,
    pub lost_first: Vec<u64>,
    pub duplicates: u64,
    pub duplicates_max: u64,
}

impl Count {
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.lost == 0, "{} acknowledged events were never delivered, first: {:?}", self.lost, self.lost_first);
        ensure!(
            self.duplicates <= self.duplicates_max,
            "{} duplicates, more than the {} that were in flight",
            self.duplicates,
            self.duplicates_max
        );
        ensure!(self.spread.acknowledged > 0, "nothing was acknowledged: the run shows nothing");
        let late = self.kills.iter().find(|(_, took)| *took > TAKEN_OVER_WITHIN);
        ensure!(late.is_none(), "shards were taken over too late: {late:?}");
        Ok(())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (killed, took) in &self.kills {
            writeln!(f, "killed {killed}, all shards with the living after {:.1} s", took.as_secs_f64())?;
        }
        let Spread { events, acknowledged, refused, unanswered, .. } = self.spread;
        writeln!(f, "events / acknowledged (2xx)   {events} / {acknowledged}")?;
        writeln!(f, "refused / unanswered tries    {refused} / {unanswered}")?;
        writeln!(f, "delivered, distinct           {}", self.delivered)?;
        writeln!(f, "acknowledged, never delivered {}   (must be 0)", self.lost)?;
        write!(f, "duplicates                    {}   (in flight: ≤ {})", self.duplicates, self.duplicates_max)
    }
}

pub async fn run(options: &Options) -> Result<Count> {
    ensure!((1..=KILLS_MAX).contains(&options.rounds.len()), "rounds: 1 to {KILLS_MAX}");
    ensure!(options.rounds.iter().all(|kills| (1..options.nodes).contains(kills)), "one node must live on");
    let mut field = Field::start(Nodes::start_with(options.binary.clone(), options.nodes, &[]).await?).await?;
    let stream = field.load(options.per_second)?;
    let mut count = Count::default();
    let mut random = Random::seeded(options.seed);
    for (round, &kills) in options.rounds.iter().enumerate() {
        // The moment is what is random here, not a wait for something.
        tokio::time::sleep(random.between(options.between.0, options.between.1)).await;
        let first = usize::try_from(random.draw() % options.nodes as u64)?;
        let victims: Vec<usize> = (first..first + kills).map(|number| number % options.nodes).collect();
        let took = field.kill_and_restart(&victims).await.with_context(|| format!("round {}", round + 1))?;
        count.kills.push((kills, took));
        if options.progress {
            eprintln!("round {} of {}: killed {kills}, {took:.1?}", round + 1, options.rounds.len());
        }
    }
    let acknowledged = stream.acknowledged();
    count.spread = stream.stop(LOAD_ENDS_WITHIN).await?;
    field.drain(&acknowledged).await?;
    (count.lost, count.lost_first) = field.lost(&acknowledged);
    count.delivered = field.sink.record().ledger().distinct();
    count.duplicates = field.duplicates();
    let in_flight = u64::from(options.per_second) * u64::try_from(IN_FLIGHT_TIME.as_millis())? / 1000;
    count.duplicates_max = in_flight * options.rounds.len() as u64;
    Ok(count)
}

/// Nodes, a sink, and endpoints that lead to it.
pub struct Field {
    pub nodes: Nodes,
    pub sink: Sink,
    pub endpoints: Vec<String>,
}

impl Field {
    pub async fn start(nodes: Nodes) -> Result<Self> {
        let plan = Plan::always(Answer::status(200).after(SINK_DELAY));
        let sink = Sink::start(plan, Keep { markers: super::load::MARKERS_MAX, requests: 0 }).await?;
        let mut endpoints = Vec::new();
        let first = nodes.each.first().context("no node")?;
        for _ in 0..ENDPOINTS {
            endpoints.push(first.subscribed_endpoint(&sink.url("/"), &json!({})).await?);
        }
        Ok(Self { nodes, sink, endpoints })
    }

    /// To all nodes.
    pub fn load(&self, per_second: u32) -> Result<Stream> {
        let keys = self.nodes.keys()?;
        let courses = Courses {
            nodes: self.nodes.each.iter().map(|node| node.url().to_owned()).collect(),
            project_id: keys.project_id.clone(),
            api_key: keys.api_key.clone(),
            endpoints: self.endpoints.clone(),
        };
        Stream::start(courses, per_second)
    }

    /// A node that runs, and the addresses of all that do.
    pub fn living(&self) -> Result<(&Product, Vec<&str>)> {
        let running = || self.nodes.each.iter().filter(|node| node.pid().is_ok());
        Ok((running().next().context("no node runs")?, running().map(Product::url).collect()))
    }

    /// Gives how long it took until the living owned all shards; the killed are back afterwards.
    async fn kill_and_restart(&mut self, victims: &[usize]) -> Result<Duration> {
        let began = Instant::now();
        for victim in victims {
            self.nodes.each[*victim].kill9()?;
        }
        let (asked, urls) = self.living()?;
        settled_on(asked, &urls, TAKEN_OVER_WITHIN * 2).await?;
        let took = began.elapsed();
        for victim in victims {
            self.nodes.each[*victim].restart().await?;
        }
        let (asked, urls) = self.living()?;
        settled_on(asked, &urls, SHARED_OUT_WITHIN).await?;
        Ok(took)
    }

    /// Until every acknowledged event has arrived and nothing waits any more.
    pub async fn drain(&self, acknowledged: &Ledger) -> Result<()> {
        const WAITING: &str = "/eventdeliveries?perPage=1&status=Scheduled&status=Processing&status=Retry";
        let (asked, _) = self.living()?;
        let drained = wait_until(DRAIN_WITHIN, "the backlog drained", async || {
            if self.lost(acknowledged).0 > 0 {
                return Ok(None);
            }
            let reply = asked.get(WAITING).await?;
            Ok((reply.status == 200 && content(&reply).is_empty()).then_some(()))
        });
        // Events that never come are counted as what they are, and named by the verdict.
        match drained.await {
            Err(cause) if self.lost(acknowledged).0 == 0 => bail!("everything arrived, and yet: {cause}"),
            _ => Ok(()),
        }
    }

    /// Acknowledged and not delivered so far, and the first of them.
    pub fn lost(&self, acknowledged: &Ledger) -> (u64, Vec<u64>) {
        acknowledged.missing_from(self.sink.record().ledger(), NAMED_MAX)
    }

    /// What came twice or more.
    pub fn duplicates(&self) -> u64 {
        self.sink.record().ledger().repeated()
    }
}
