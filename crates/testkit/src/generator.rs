//! The load generator: N keep-alive connections, each sending its next event when the last was answered (closed loop),
//! or all together keeping a rate (open loop). Straight on hyper's connection API, so that it costs little of the
//! cores it shares with what it measures. It ends by itself: both its count and its time are bounded.

mod target;

pub use target::{PAYLOAD_BYTES, Shape, Target};

use crate::clock;
use crate::histogram::Histogram;
use crate::ledger::Ledger;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Most connections one load may open.
const CONNECTIONS_MAX: usize = 1024;
/// Longest a load may run.
const DURATION_MAX: Duration = Duration::from_secs(3600);
/// After the end, answers still under way get this long.
const GRACE: Duration = Duration::from_secs(30);
/// Between two tries to connect to a server that is away.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);
/// After a refusal (503 and the like), so that a refusing server is not hammered.
const REFUSED_PAUSE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as answers come.
    Closed,
    /// This many a second, evenly; a late answer does not hold back the others.
    PerSecond(u32),
}

#[derive(Clone, Debug)]
pub struct Load {
    pub target: Arc<Target>,
    pub connections: usize,
    pub pace: Pace,
    /// Markers run from here up.
    pub first_marker: u64,
    pub count_max: u64,
    pub duration: Duration,
    /// Markers answered 2xx are counted here.
    pub acknowledged: Option<Arc<Ledger>>,
    /// Cancel to end early.
    pub stop: CancellationToken,
}

impl Load {
    pub fn new(target: Arc<Target>, connections: usize, duration: Duration) -> Self {
        Self {
            target,
            connections,
            pace: Pace::Closed,
            first_marker: 0,
            count_max: u64::MAX,
            duration,
            acknowledged: None,
            stop: CancellationToken::new(),
        }
    }
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: AtomicU64,
    pub accepted: AtomicU64,
    /// Answered, but not 2xx.
    pub refused: AtomicU64,
    /// No answer: the connection broke.
    pub broken: AtomicU64,
    /// Request → answer.
    pub latency: Histogram,
    /// How late a paced request went out, at worst.
    pub lag_max_us: AtomicU64,
    pub started_us: AtomicU64,
    pub ended_us: AtomicU64,
}

impl Tally {
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn started_us(&self) -> u64 {
        self.started_us.load(Ordering::Relaxed)
    }

    pub fn seconds(&self) -> f64 {
        self.ended_us.load(Ordering::Relaxed).saturating_sub(self.started_us()) as f64 / 1e6
    }

    pub fn accepted_per_second(&self) -> f64 {
        self.accepted() as f64 / self.seconds().max(1e-6)
    }
}

/// Runs a load to its end. Broken connections are opened again; what they carried counts as `broken`.
pub async fn run(load: Load) -> Result<Arc<Tally>> {
    ensure!((1..=CONNECTIONS_MAX).contains(&load.connections), "connections: 1 to {CONNECTIONS_MAX}");
    ensure!(load.duration <= DURATION_MAX, "duration: at most {DURATION_MAX:?}");
    let tally = Arc::new(Tally::default());
    let start = Instant::now();
    tally.started_us.store(clock::micros(), Ordering::Relaxed);
    let shared = Arc::new(Shared {
        next: AtomicU64::new(0),
        start,
        deadline: start + load.duration,
        tally: Arc::clone(&tally),
        load,
    });
    let mut connections = JoinSet::new();
    for _ in 0..shared.load.connections {
        connections.spawn(connection(Arc::clone(&shared)));
    }
    let all = async { while connections.join_next().await.is_some() {} };
    let ended = timeout(shared.load.duration + GRACE, all).await;
    tally.ended_us.store(clock::micros(), Ordering::Relaxed);
    ended.context("generator: an answer did not come")?;
    Ok(tally)
}

struct Shared {
    load: Load,
    next: AtomicU64,
    start: Instant,
    deadline: Instant,
    tally: Arc<Tally>,
}

impl Shared {
    fn over(&self) -> bool {
        self.load.stop.is_cancelled() || Instant::now() >= self.deadline
    }

    /// The next marker's index, at its time; `None` when the load is over.
    async fn turn(&self) -> Option<u64> {
        if self.over() {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if index >= self.load.count_max {
            return None;
        }
        if let Pace::PerSecond(rate) = self.load.pace {
            let due = self.start + Duration::from_secs_f64(index as f64 / f64::from(rate.max(1)));
            if due >= self.deadline {
                return None;
            }
            tokio::select! {
                () = self.load.stop.cancelled() => return None,
                () = sleep_until(due) => {}
            }
            let lag = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.tally.lag_max_us.fetch_max(lag, Ordering::Relaxed);
        }
        Some(index)
    }
}

/// Requests go in at one end, and a task moves them and their answers until the connection ends.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

async fn connection(shared: Arc<Shared>) {
    let mut kept: Option<Link> = None;
    while let Some(index) = shared.turn().await {
        let mut link = match kept.take() {
            Some(link) if !link.sender.is_closed() => link,
            _ => match connect(&shared).await {
                Some(link) => link,
                None => return,
            },
        };
        let marker = shared.load.first_marker + index;
        let tally = &shared.tally;
        let at_us = clock::micros();
        tally.sent.fetch_add(1, Ordering::Relaxed);
        match answer(&mut link, &shared.load.target, marker, at_us).await {
            Some(true) => {
                tally.accepted.fetch_add(1, Ordering::Relaxed);
                tally.latency.add(clock::micros() - at_us);
                if let Some(acknowledged) = &shared.load.acknowledged {
                    acknowledged.add(marker);
                }
                kept = Some(link);
            }
            Some(false) => {
                tally.refused.fetch_add(1, Ordering::Relaxed);
                kept = Some(link);
                sleep(REFUSED_PAUSE).await;
            }
            None => {
                tally.broken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// `None`: the connection broke. A request that meets the end of its connection may be forgotten, not refused (hyper issue
/// 4122), and would be waited for without end.
async fn answer(link: &mut Link, target: &Target, marker: u64, at_us: u64) -> Option<bool> {
    let mut exchange = pin!(exchange(&mut link.sender, target, marker, at_us));
    tokio::select! {
        biased;
        answer = &mut exchange => return answer.ok(),
        _ = &mut link.driver => {}
    }
    // What came before the end is here by now.
    timeout(Duration::ZERO, exchange).await.ok()?.ok()
}

/// True when the answer was 2xx; it is acknowledged once the status line is here.
async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    target: &Target,
    marker: u64,
    at_us: u64,
) -> Result<bool, hyper::Error> {
    sender.ready().await?;
    let response = sender.send_request(target.request(marker, at_us)).await?;
    let accepted = response.status().is_success();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            break;
        }
    }
    Ok(accepted)
}

async fn connect(shared: &Shared) -> Option<Link> {
    while !shared.over() {
        if let Ok(stream) = TcpStream::connect(shared.load.target.address()).await {
            let _ = stream.set_nodelay(true);
            if let Ok((sender, connection)) = handshake(TokioIo::new(stream)).await {
                let driver = tokio::spawn(async move {
                    // Ends with its sender, or where it is cut.
                    let _ = connection.await;
                });
                return Some(Link { sender, driver });
            }
        }
        sleep(RECONNECT_PAUSE).await;
    }
    None
}
