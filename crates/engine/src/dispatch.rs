//! Stage 4, dispatch: which delivery is sent next.
//!
//! - In: deliveries just committed ([`Dispatcher::offer`]), work that waits in the store
//!   ([`refill`]), and what became of attempts ([`Dispatcher::finished`], [`Dispatcher::recorded`]).
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
mod reached;
mod refill;
mod run_queues;
mod runs;
#[cfg(test)]
mod simulation;
mod stay;
mod words;

pub use breakers::Turned;
pub use ownership::Follower;
pub use part::{Had, Place};
pub use reached::Moment;
pub use refill::Refiller;
pub use runs::Terms;

use crate::settings::Settings;
use bytes::Bytes;
use dacapo_model::id::IdMap;
use dacapo_model::{Class, Clock, Delivery, Event, Id, Shard, Status, Timestamp};
use dacapo_store::LiveCatalog;
use dacapo_store::roles::{Backlog, Holding, NewEvent, Report, Waiting};
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

/// What a courier is handed.
pub struct Taken {
    pub work: Work,
    /// When it is an item of a replay that is a resource.
    pub terms: Option<Arc<Terms>>,
    /// Whether the endpoint has had the event by now, where that is known of an item.
    pub has_reached: Option<bool>,
    /// Not to be sent: its replay is over.
    pub is_given_up: bool,
}

/// How a courier's exchange went, as far as dispatch cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchanged {
    Succeeded,
    Failed,
    /// Nothing was sent (the endpoint is gone, say).
    Skipped,
}

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

/// Where the deliveries of an event go that its caller does not send at once.
#[derive(Clone, Debug, Default)]
pub struct Placing {
    /// Indices of targets that memory had no room for.
    pub parked: Vec<u32>,
    /// Of targets whose shard was another node's.
    pub elsewhere: Vec<u32>,
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

    /// At start, and when shards came to this node: what waits in the store.
    pub fn take_up(&self, backlog: &[Backlog]) {
        let mut state = self.lock();
        for waiting in backlog {
            if !state.dispatches(waiting.endpoint_id) {
                continue;
            }
            let lane = state.lane(waiting.project_id, waiting.endpoint_id);
            lane.stored_until(waiting.class, waiting.next_due);
            state.set_timer(waiting.next_due, waiting.endpoint_id);
        }
        drop(state);
        self.timer_set.notify_one();
    }

    /// Before a commit: says for each delivery whether memory has room for it and it is this node's;
    /// the others are marked to wait in the store. Every `place` is followed by `offer` or `take_back`.
    pub fn place(&self, events: &[Arc<Event>]) -> (Vec<NewEvent>, Vec<Placing>) {
        let mut state = self.lock();
        let place = |event: &Arc<Event>| {
            let placing = state.place(event, &self.settings);
            let parked = placing.parked.iter().chain(&placing.elsewhere).copied().collect();
            (NewEvent { event: Arc::clone(event), parked, later: Vec::new() }, placing)
        };
        events.iter().map(place).unzip()
    }

    /// After a commit: takes over what was placed; `stored` tells which events were.
    pub fn offer(&self, events: &[Arc<Event>], placings: &[Placing], stored: impl Fn(usize) -> bool) {
        let mut state = self.lock();
        for (index, (event, placing)) in events.iter().zip(placings).enumerate() {
            if stored(index) {
                state.offer(event, placing);
            } else {
                state.take_back(event, placing);
            }
        }
        self.refill_hungry(
            &mut state,
            events.iter().flat_map(|event| event.targets.iter().map(|target| target.endpoint_id)),
        );
        let room = state.has_room(&self.settings);
        drop(state);
        if room {
            self.work.notify_one();
        }
    }

    /// After a failed commit.
    pub fn take_back(&self, events: &[Arc<Event>], placings: &[Placing]) {
        let mut state = self.lock();
        for (event, placing) in events.iter().zip(placings) {
            state.take_back(event, placing);
        }
    }

    /// The next delivery to send; the caller says [`Self::finished`] afterwards.
    pub fn take(&self) -> Option<Taken> {
        let now = self.clock.now();
        let snapshot = self.catalog.snapshot();
        let mut state = self.lock();
        if state.stopped || state.in_exchange >= self.settings.exchanges_max {
            return None;
        }
        if let Some(taken) = self.take_given_up(&mut state) {
            return Some(taken);
        }
        while let Some(endpoint) = state.fair.pop() {
            let timers = state.timers.len();
            if !state.may_send(endpoint, now) {
                self.timer_set.notify_one();
                continue;
            }
            if let Some(lane) = state.lanes.get_mut(&endpoint) {
                lane.listed = false;
            }
            state.clear_front(endpoint, now);
            if state.timers.len() > timers {
                self.timer_set.notify_one();
            }
            let Some(lane) = state.lanes.get_mut(&endpoint) else { continue };
            lane.guard.adopt(&snapshot, lane.project_id, endpoint, now);
            let limit = lane::limit_of(snapshot.endpoint(lane.project_id, endpoint).map(Arc::as_ref));
            let taken = lane.take(limit, now, &self.settings);
            if let Some(resume_at) = lane.resume_at {
                state.set_timer(resume_at, endpoint);
                self.timer_set.notify_one();
            }
            state.list(endpoint, now, &self.settings);
            let Some(work) = taken else {
                // What was set aside may have been all that kept it from reading.
                self.refill_hungry(&mut state, [endpoint].into_iter());
                continue;
            };
            state.window_bytes -= size(&work.event.data);
            state.in_exchange += 1;
            let replay = work.delivery.steered_by();
            let its_lane = replay.and_then(|_| state.lanes.get_mut(&endpoint));
            let has_reached = its_lane.and_then(|lane| lane.has_reached(&work));
            state.runs.began(replay, endpoint, now);
            let terms = state.runs.terms(replay);
            self.refill_hungry(&mut state, [endpoint].into_iter());
            return Some(Taken { work, terms, has_reached, is_given_up: false });
        }
        None
    }

    /// What is to be discarded waits for no turn of its lane, whose breaker may be open.
    fn take_given_up(&self, state: &mut State) -> Option<Taken> {
        while let Some(work) = state.given_up.pop_front() {
            let endpoint = work.delivery.endpoint_id;
            let is_ours = state.dispatches(endpoint);
            state.window_bytes -= size(&work.event.data);
            let Some(lane) = state.lanes.get_mut(&endpoint) else { continue };
            lane.hand_out_given_up(work.delivery.id, is_ours);
            if is_ours {
                state.in_exchange += 1;
                let terms = state.runs.terms(work.delivery.steered_by());
                self.refill_hungry(state, [endpoint].into_iter());
                return Some(Taken { work, terms, has_reached: None, is_given_up: true });
            }
        }
        None
    }

    /// An exchange is over: its place is free. The delivery itself stays held until it is recorded.
    /// `replay`: whose place becomes free, too; none for what was given up.
    pub fn finished(&self, endpoint: Id, replay: Option<Id>, exchanged: Exchanged) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.in_exchange -= 1;
        let mut was_tripped = false;
        for blocked in state.runs.ended(replay, endpoint) {
            if let Some(lane) = state.lanes.get_mut(&blocked) {
                lane.blocked = false;
            }
            state.list(blocked, now, &self.settings);
        }
        if let Some(lane) = state.lanes.get_mut(&endpoint) {
            let was_untold = lane.guard.untold;
            was_tripped = lane.guard.is_tripped();
            let turn = lane.finished(exchanged, now);
            let (resume_at, is_news) = (lane.resume_at, turn.is_some() || lane.guard.untold && !was_untold);
            if let Some(resume_at) = resume_at {
                state.set_timer(resume_at, endpoint);
                self.timer_set.notify_one();
            }
            if is_news {
                state.turn(endpoint, turn);
                self.breaker_turned.notify_one();
            }
        }
        state.list(endpoint, now, &self.settings);
        if was_tripped {
            // What waited for a probe, or behind an open breaker.
            self.refill_hungry(&mut state, [endpoint].into_iter());
        }
    }

    /// Reports are in the store: what was held is let go, retries wait for their time.
    pub fn recorded(&self, reports: &[Report]) {
        let mut state = self.lock();
        let (mut earlier, mut moved) = (false, Vec::new());
        for report in reports {
            let delivery = &report.delivery;
            moved.extend(delivery.replay_id);
            if delivery.status == Status::Success {
                state.succeeded(delivery);
            }
            let waits_here = !delivery.status.is_settled() && state.dispatches(delivery.endpoint_id);
            earlier |= state.recorded(delivery, waits_here.then_some((delivery.class(), delivery.due_at)));
        }
        drop(state);
        if earlier {
            self.timer_set.notify_one();
        }
        self.words.moved(moved);
    }

    /// Reports were refused because their shards went to another node, which sends those deliveries
    /// again; or this one, if it has them back.
    pub fn fenced(&self, reports: &[Report]) {
        let now = self.clock.now();
        let mut state = self.lock();
        for Report { delivery, .. } in reports {
            let is_back = state.dispatches(delivery.endpoint_id);
            for class in Class::ALL {
                state.recorded(delivery, is_back.then_some((class, now)));
            }
        }
        drop(state);
        self.timer_set.notify_one();
    }

    /// Deliveries were put into the store's queue from outside (a replay, a resend).
    pub fn stored(&self, deliveries: &[Delivery]) {
        let mut state = self.lock();
        for delivery in deliveries.iter().filter(|delivery| !delivery.status.is_settled()) {
            if !state.dispatches(delivery.endpoint_id) {
                continue;
            }
            let lane = state.lane(delivery.project_id, delivery.endpoint_id);
            lane.stored_until(delivery.class(), delivery.due_at);
            state.set_timer(delivery.due_at, delivery.endpoint_id);
        }
        drop(state);
        self.timer_set.notify_one();
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

    fn refill_hungry(&self, state: &mut State, endpoints: impl Iterator<Item = Id>) {
        let now = self.clock.now();
        let sweeps = state.runs.has_given_up();
        for endpoint in endpoints {
            if !state.dispatches(endpoint) {
                continue;
            }
            let Some(lane) = state.lanes.get_mut(&endpoint) else { continue };
            if lane.guard.is_new() {
                // Before it reads a dead endpoint's backlog.
                lane.guard.adopt(&self.catalog.snapshot(), lane.project_id, endpoint, now);
                // One that has passed would be due at once, and again after each look: a replay's own address is in
                // no configuration, and its guard stays new.
                if let Some(until) = lane.guard.open_until().filter(|until| *until > now) {
                    state.set_timer(until, endpoint);
                    self.timer_set.notify_one();
                }
            }
            let Some(lane) = state.lanes.get_mut(&endpoint) else { continue };
            for class in Class::ALL {
                let Some(room) = lane.hunger(class, now, &self.settings, sweeps) else { continue };
                let (project_id, held) = (lane.project_id, lane.held());
                let known = lane.known(class);
                let request = refill::Request { project_id, endpoint_id: endpoint, class, room, held, known };
                if self.refills.try_send(request).is_err() {
                    lane.refill_failed(class);
                    state.set_timer(now.plus(refill::RETRY_AFTER), endpoint);
                    self.timer_set.notify_one();
                    break;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Idle lanes are kept up to this many lanes in all: making one anew costs more than it holds.
const LANES_IDLE_MAX: usize = 10_000;

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

    fn place(&mut self, event: &Event, settings: &Settings) -> Placing {
        let mut placing = Placing::default();
        for (index, target) in (0u32..).zip(&event.targets) {
            if target.discarded.is_some() {
                continue;
            }
            if !self.dispatches(target.endpoint_id) {
                placing.elsewhere.push(index);
                continue;
            }
            let full = self.window_bytes >= settings.window_bytes_max;
            let lane = self.lane(event.project_id, target.endpoint_id);
            let delivery = (event.id.child(index), event.data.len());
            if lane.place(Class::Live, delivery, event.created_at, full, settings) {
                self.window_bytes += size(&event.data);
            } else {
                placing.parked.push(index);
            }
        }
        placing
    }

    fn offer(&mut self, event: &Arc<Event>, placing: &Placing) {
        let now = event.created_at;
        for (index, target) in (0u32..).zip(&event.targets) {
            if target.discarded.is_some() {
                continue;
            }
            let is_ours = self.dispatches(target.endpoint_id);
            if placing.elsewhere.contains(&index) {
                // The shard came to this node meanwhile, and what it read of it may be older.
                if is_ours {
                    self.lane(event.project_id, target.endpoint_id).stored_until(Class::Live, now);
                }
                continue;
            }
            let Some(delivery) = event.delivery(index) else { continue };
            let Some(lane) = self.lanes.get_mut(&target.endpoint_id) else { continue };
            if placing.parked.contains(&index) {
                lane.unpark(Class::Live);
                if is_ours {
                    lane.stored_until(Class::Live, now);
                }
            } else if is_ours {
                lane.offer(Class::Live, Work { delivery, event: Arc::clone(event) });
                self.list_offered(target.endpoint_id);
            } else {
                lane.unplace(Class::Live, event.id.child(index));
                self.window_bytes -= size(&event.data);
            }
        }
    }

    fn take_back(&mut self, event: &Event, placing: &Placing) {
        for (index, target) in (0u32..).zip(&event.targets) {
            if target.discarded.is_some() || placing.elsewhere.contains(&index) {
                continue;
            }
            let Some(lane) = self.lanes.get_mut(&target.endpoint_id) else { continue };
            if placing.parked.contains(&index) {
                lane.unpark(Class::Live);
            } else {
                lane.unplace(Class::Live, event.id.child(index));
                self.window_bytes -= size(&event.data);
            }
        }
    }

    /// While no replay is known there is nobody to tell.
    fn succeeded(&mut self, delivery: &Delivery) {
        if !self.runs.knows_any() {
            return;
        }
        self.successes.add(delivery.endpoint_id, delivery.event_id);
        if let Some(lane) = self.lanes.get_mut(&delivery.endpoint_id) {
            lane.reached.succeeded(delivery.event_id);
        }
    }

    /// Lets a held delivery go. `true` when a timer was set.
    fn recorded(&mut self, delivery: &Delivery, retry: Option<(Class, Timestamp)>) -> bool {
        let endpoint = delivery.endpoint_id;
        let Some(lane) = self.lanes.get_mut(&endpoint) else {
            return false;
        };
        lane.recorded(delivery.id, retry);
        let Some((_, due_at)) = retry else {
            if self.lanes.len() > LANES_IDLE_MAX && self.lanes.get(&endpoint).is_some_and(Lane::is_idle) {
                self.lanes.remove(&endpoint);
            }
            return false;
        };
        self.set_timer(due_at, endpoint);
        true
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
