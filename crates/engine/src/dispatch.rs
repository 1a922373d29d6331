//! Stage 4, dispatch: which delivery is sent next.
//!
//! - In: deliveries just committed ([`placing`]), work that waits in the store ([`stored`], [`refill`]), and what
//!   became of attempts ([`taking`], [`settled`]).
//! - Out: one delivery at a time to a courier ([`Dispatcher::take`]), while there is room.
//! - Promise: round robin across projects, then across a project's lanes; within a lane the classes
//!   live, retry, replay by weight; a lane's concurrency, rate limit and circuit breaker hold; memory is
//!   bounded by lane windows, the rest waits in the store. Only lanes of shards this node owns send
//!   ([`ownership`]).
//! - Failure: none of its own. What it forgets in a crash the store still has.
//!
//! All state is behind one lock that is held for fractions of a microsecond per delivery, never
//! across an await.

mod breakers;
mod caps;
mod fair;
mod guard;
mod held;
#[cfg(test)]
mod idle;
mod lane;
mod ownership;
mod pacer;
mod part;
mod placing;
mod reached;
mod refill;
mod run_queues;
mod runs;
mod settled;
#[cfg(test)]
mod simulation;
mod stay;
mod stored;
mod taking;
mod words;

pub use breakers::Turned;
pub use ownership::Follower;
pub use part::{Had, Place};
pub use placing::Placing;
pub use reached::Moment;
pub use refill::Refiller;
pub use runs::Terms;
pub use taking::{Exchanged, Taken};

use crate::settings::Settings;
use bytes::Bytes;
use dacapo_model::id::IdMap;
use dacapo_model::{Clock, Id, Shard, Timestamp};
use dacapo_store::LiveCatalog;
use dacapo_store::roles::{Holding, Waiting};
use fair::Fair;
use lane::Lane;
use ownership::Spent;
use reached::Successes;
use runs::Runs;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};
use words::Words;

/// A delivery with what is needed to send it.
pub type Work = Waiting;

pub struct Dispatcher {
    state: Mutex<State>,
    catalog: Arc<LiveCatalog>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// Asks for a read of the store; bounded by one request per lane and class.
    refills: mpsc::Sender<refill::Request>,
    /// Told when an earlier timer was set.
    timer_set: Notify,
    /// Told when there is work and room for another courier.
    work: Notify,
    /// Told when the first delivery thread has all it should carry, and there is more.
    help: Notify,
    /// Told when there is something to tell of an endpoint's breaker.
    breaker_turned: Notify,
    words: Words,
}

struct State {
    lanes: IdMap<Lane>,
    holding: Arc<Holding>,
    /// When shards became this node's; empty where they all are for good.
    gained: HashMap<Shard, Timestamp>,
    fair: Fair,
    runs: Runs,
    successes: Successes,
    /// Read to be discarded.
    given_up: VecDeque<Work>,
    /// Work beside this, by shard.
    stays: HashMap<Shard, usize>,
    timers: BTreeSet<(Timestamp, Id)>,
    /// Endpoints whose health others are to hear of; at most one entry a lane.
    untold: BTreeSet<Id>,
    turned: Turned,
    in_exchange: usize,
    /// Bytes of payload in all windows.
    window_bytes: usize,
    stopped: bool,
}

impl Dispatcher {
    /// Also gives the queue of refill requests, for [`Refiller`].
    pub fn new(
        catalog: Arc<LiveCatalog>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> (Arc<Self>, mpsc::Receiver<refill::Request>) {
        let (refills, requests) = mpsc::channel(refill::REQUESTS_QUEUED_MAX);
        let state = State {
            lanes: IdMap::default(),
            holding: Arc::new(Holding::everything()),
            gained: HashMap::new(),
            fair: Fair::default(),
            runs: Runs::default(),
            successes: Successes::default(),
            given_up: VecDeque::new(),
            stays: HashMap::new(),
            timers: BTreeSet::new(),
            untold: BTreeSet::new(),
            turned: Turned::default(),
            in_exchange: 0,
            window_bytes: 0,
            stopped: false,
        };
        let dispatcher = Self {
            state: Mutex::new(state),
            catalog,
            clock,
            settings,
            refills,
            timer_set: Notify::new(),
            work: Notify::new(),
            help: Notify::new(),
            breaker_turned: Notify::new(),
            words: Words::default(),
        };
        (Arc::new(dispatcher), requests)
    }

    /// Hands out nothing more.
    pub fn stop(&self) {
        self.lock().stopped = true;
    }

    pub fn in_exchange(&self) -> usize {
        self.lock().in_exchange
    }

    /// Waits until there may be something to [`Self::take`].
    pub async fn work(&self) {
        self.work.notified().await;
    }

    /// Unless there is nothing to help with, or what is in memory is less than `much_bytes`.
    pub fn call_for_help(&self, much_bytes: usize) {
        let state = self.lock();
        if state.window_bytes >= much_bytes && state.has_room(&self.settings) {
            self.help.notify_one();
        }
    }

    pub async fn help_called(&self) {
        self.help.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a payload counts as in memory: never zero, so that empty ones are bounded too.
const fn size(data: &Bytes) -> usize {
    size_of(data.len())
}

const fn size_of(payload_bytes: usize) -> usize {
    payload_bytes + WORK_OVERHEAD_BYTES
}

/// A delivery without its payload, roughly.
const WORK_OVERHEAD_BYTES: usize = 512;

impl State {
    fn lane(&mut self, project: Id, endpoint: Id) -> &mut Lane {
        let gained = || self.gained.get(&Shard::of(endpoint)).copied();
        let spent = || Spent::at_take_over(&self.holding, endpoint, gained());
        self.lanes.entry(endpoint).or_insert_with(|| Lane::new(project, spent()))
    }

    fn set_timer(&mut self, at: Timestamp, endpoint: Id) {
        self.timers.insert((at, endpoint));
    }

    /// Puts a lane into the rotation when it can send now.
    fn list(&mut self, endpoint: Id, now: Timestamp, settings: &Settings) {
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        if !lane.listed && lane.can_send(now, settings) {
            lane.listed = true;
            self.fair.push(lane.project_id, endpoint);
        }
    }

    /// As [`Self::list`], leaving the lane's own limits to the moment of taking.
    fn list_offered(&mut self, endpoint: Id) {
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        if !lane.listed {
            lane.listed = true;
            self.fair.push(lane.project_id, endpoint);
        }
    }

    fn has_room(&self, settings: &Settings) -> bool {
        !(self.fair.is_empty() && self.given_up.is_empty())
            && self.in_exchange < settings.exchanges_max
            && !self.stopped
    }
}
