//! Dispatch against a store that is a map, with every step of the seam in random order: commits that
//! fail, reads that return late, records that come later still, endpoints that are dead for a while.
//! What must hold: a delivery is never handed out twice at a time, never after it settled, never but as a
//! probe while its endpoint's breaker is not closed, and every one is handed out in the end. Items of
//! replays among them: none of one that is paused or over is handed out to be sent, never more at a time
//! than it allows, and those of an ordered one in its order ([`ordered`]).

mod ordered;
mod pages;

use super::refill::Request;
use super::{Dispatcher, Exchanged, Taken, Work};
use crate::settings::Settings;
use async_trait::async_trait;
use dacapo_model::breaker::PROBES_MAX;
use dacapo_model::catalog::Change;
use dacapo_model::clock::ManualClock;
use dacapo_model::delivery::Mode;
use dacapo_model::event::Target;
use dacapo_model::id::SystemEntropy;
use dacapo_model::replay::{Asker, AskerKind, Control, Counts, Definition, Options, Progress, State};
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{
    Class, Clock, Endpoint, Event, Id, IdSource, Project, Replay, SetMode, Shard, Status, Timestamp, Trigger,
};
use dacapo_store::LiveCatalog;
use dacapo_store::roles::lease::Deadline;
use dacapo_store::roles::{Backlog, Catalog, Contents, Due, HELD_UNTIL, Holding, Report};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// One project with its endpoints, and nobody who changes it.
struct FixedCatalog;

#[async_trait]
impl Catalog for FixedCatalog {
    async fn load(&self) -> dacapo_store::Result<Contents> {
        let rows = [project()].into_iter().chain((0..ENDPOINTS).map(endpoint)).collect();
        Ok(Contents { version: 1, rows, newest_id: None })
    }

    async fn write(
        &self,
        _: Vec<dacapo_model::catalog::Change>,
        _: Vec<dacapo_model::MetaEvent>,
    ) -> dacapo_store::Result<u64> {
        Ok(1)
    }
}

/// splitmix64: the same seed, the same walk.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % sides
    }
}

struct World {
    dice: Dice,
    clock: Arc<ManualClock>,
    ids: IdSource,
    dispatcher: Arc<Dispatcher>,
    requests: mpsc::Receiver<Request>,
    /// What the store's queue holds, by order.
    waiting: BTreeMap<u64, Work>,
    /// Reads under way, with the rows their snapshot showed, and replays as they were then.
    reads: Vec<(Request, Timestamp, Due, Vec<Replay>)>,
    in_exchange: Vec<Work>,
    unrecorded: Vec<Report>,
    /// The store takes everything, and all of a batch is recorded at once.
    never_fails: bool,
    /// Endpoints that answer nothing but errors.
    dead: HashSet<Id>,
    /// Exchanges that ended, by endpoint.
    ended: HashMap<Id, u64>,
    /// Not settled in the store yet.
    owed: HashSet<u64>,
    events: BTreeMap<u64, Arc<Event>>,
    attempts: HashMap<u64, u32>,
    /// Several nodes on one store: every delivery has a row from its commit on, and shards move.
    is_shared: bool,
    /// What the database says this node holds, and what this node was told last.
    held: BTreeMap<Shard, u64>,
    told: BTreeMap<Shard, u64>,
    leaving: BTreeSet<Shard>,
    epoch: u64,
    /// As the database has them.
    replays: Vec<Replay>,
    revision: u64,
    /// Handed out to be discarded.
    given_up: HashSet<u64>,
    /// Endpoints with the events they have had.
    reached: HashSet<(Id, Id)>,
    /// Items of which it was known, when they were handed out, whether they had.
    known: [u64; 2],
    /// When an item of a replay with a rate for each endpoint was handed out last, by endpoint.
    last_sent: HashMap<(Id, Id), Timestamp>,
    /// Some payloads are.
    has_large: bool,
    /// Reads that had room for more, but in bytes.
    cut_by_bytes: usize,
}

impl World {
    async fn new(seed: u64, is_shared: bool) -> Self {
        Self::with_window(seed, is_shared, WINDOW_MAX).await
    }

    async fn with_window(seed: u64, is_shared: bool, lane_window_max: usize) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)));
        let (dispatcher, requests) = Self::dispatcher(&clock, lane_window_max).await;
        let held = Holding::everything().shards;
        Self {
            is_shared,
            told: held.clone(),
            leaving: BTreeSet::new(),
            held,
            epoch: 1,
            dice: Dice(seed),
            clock,
            ids: IdSource::new(SystemEntropy),
            dispatcher,
            requests,
            waiting: BTreeMap::new(),
            reads: Vec::new(),
            in_exchange: Vec::new(),
            unrecorded: Vec::new(),
            never_fails: false,
            dead: HashSet::new(),
            ended: HashMap::new(),
            owed: HashSet::new(),
            events: BTreeMap::new(),
            attempts: HashMap::new(),
            replays: (1..=3).map(replay).chain([ordered::replay()]).collect(),
            revision: 1,
            given_up: HashSet::new(),
            reached: HashSet::new(),
            known: [0; 2],
            last_sent: HashMap::new(),
            has_large: false,
            cut_by_bytes: 0,
        }
    }

    async fn dispatcher(
        clock: &Arc<ManualClock>,
        lane_window_max: usize,
    ) -> (Arc<Dispatcher>, mpsc::Receiver<Request>) {
        let (catalog, _) = LiveCatalog::load(Arc::new(FixedCatalog)).await.expect("a catalog");
        let settings = Settings {
            lane_window_max,
            lane_bytes_max: LANE_BYTES_MAX,
            exchanges_max: EXCHANGES_MAX,
            window_bytes_max: 12_000,
            ..Settings::default()
        };
        Dispatcher::new(Arc::new(catalog), Arc::clone(clock) as Arc<dyn Clock>, settings)
    }

    fn event(&mut self) -> Arc<Event> {
        let targets: Vec<Target> = (0..=self.dice.roll(3)).map(|_| target(self.dice.roll(ENDPOINTS))).collect();
        self.event_for(targets)
    }

    fn event_for(&mut self, targets: Vec<Target>) -> Arc<Event> {
        let (id, created_at) = self.ids.event(self.clock.now(), 3);
        Arc::new(Event {
            targets,
            ..Event::plain(
                id,
                PROJECT,
                "t",
                bytes::Bytes::from_static(if self.has_large && id.order().is_multiple_of(4) { LARGE } else { b"{}" }),
                created_at,
            )
        })
    }

    fn commit(&mut self) {
        let events: Vec<Arc<Event>> = (0..=self.dice.roll(4)).map(|_| self.event()).collect();
        self.commit_these(&events);
    }

    fn commit_these(&mut self, events: &[Arc<Event>]) {
        let (batch, placings) = self.dispatcher.place(events);
        if !self.never_fails && self.dice.roll(10) == 0 {
            self.dispatcher.take_back(events, &placings);
            return;
        }
        // One event of the batch may be refused alone.
        let refused = if self.never_fails { usize::MAX } else { self.dice.roll(8) as usize };
        for (index, (event, item)) in events.iter().zip(&batch).enumerate() {
            if index == refused {
                continue;
            }
            for child in 0..u32::try_from(event.targets.len()).expect("few") {
                let delivery = event.delivery(child).expect("a target");
                self.owed.insert(delivery.id.order());
                self.events.insert(delivery.id.order(), Arc::clone(event));
                if self.is_shared || item.parked.contains(&child) {
                    let work = Work { delivery, event: Arc::clone(event) };
                    self.waiting.insert(work.delivery.id.order(), work);
                }
            }
        }
        // The store may be read between a commit and its offer.
        self.begin_read();
        if self.dice.roll(2) == 0 {
            self.end_read();
        }
        self.dispatcher.offer(events, &placings, |index| index != refused);
    }

    fn take(&mut self) {
        let Some(Taken { work, terms, has_reached, is_given_up }) = self.dispatcher.take() else { return };
        let order = work.delivery.id.order();
        if let Some(replay) = self.replays.iter().find(|replay| Some(replay.id) == work.delivery.replay_id) {
            assert!(terms.is_some(), "an item without its terms");
            let state = replay.control.state;
            assert_eq!(is_given_up, state == State::Cancelled, "handed out while its replay is {state:?}");
            assert_ne!(state, State::Paused);
            let of_it = |other: &&Work| {
                other.delivery.replay_id == Some(replay.id) && !self.given_up.contains(&other.delivery.id.order())
            };
            let others = self.in_exchange.iter().filter(of_it).count();
            assert!(is_given_up || others < replay.control.concurrency as usize, "more at a time than it allows");
            let to_it = |other: &&Work| of_it(other) && other.delivery.endpoint_id == work.delivery.endpoint_id;
            let others = self.in_exchange.iter().filter(to_it).count();
            let most = replay.control.endpoint_concurrency.map_or(usize::MAX, |most| most as usize);
            assert!(is_given_up || others < most, "more at a time to one endpoint than it allows");
            if replay.control.endpoint_rate.is_some() && !is_given_up {
                let (now, to) = (self.clock.now(), (replay.id, work.delivery.endpoint_id));
                let before = self.last_sent.insert(to, now);
                let apart = Duration::from_secs(1) / ENDPOINT_RATE;
                assert!(before.is_none_or(|before| now.since(before) >= apart), "more a second than it allows");
            }
            assert!(is_given_up || self.is_in_order(&work), "handed out before an older one of its endpoint settled");
        }
        if let Some(known) = has_reached {
            let has_reached = self.reached.contains(&(work.delivery.endpoint_id, work.event.id));
            assert_eq!(known, has_reached, "whether the endpoint has had the event");
            self.known[usize::from(known)] += 1;
        }
        if is_given_up {
            self.given_up.insert(order);
        }
        assert!(!self.leaving.contains(&Shard::of(work.delivery.endpoint_id)), "handed out of a shard that is left");
        let knows_its_place = self.owns_as_told(work.delivery.endpoint_id);
        assert!(!knows_its_place || self.owed.contains(&order), "handed out after it settled");
        assert!(self.in_exchange.iter().all(|other| other.delivery.id != work.delivery.id), "handed out twice");
        assert!(
            self.unrecorded.iter().all(|report| report.delivery.id != work.delivery.id),
            "handed out before its record"
        );
        let attempts = self.attempts.get(&order).copied().unwrap_or(0);
        assert!(!knows_its_place || work.delivery.attempts == attempts, "handed out as it was before");
        if !is_given_up {
            self.check_breaker(work.delivery.endpoint_id);
        }
        self.in_exchange.push(work);
    }

    /// What was just handed out for this endpoint is no more than a probe, if its breaker is not closed.
    fn check_breaker(&self, endpoint: Id) {
        let state = self.dispatcher.lock();
        let Some(until) = state.lanes[&endpoint].guard.open_until() else { return };
        assert!(until <= self.clock.now(), "handed out while the breaker is open");
        let is_sent = |work: &&Work| !self.given_up.contains(&work.delivery.id.order());
        let of_it = self.in_exchange.iter().filter(|work| work.delivery.endpoint_id == endpoint);
        let under_way = of_it.filter(is_sent).count();
        assert!(under_way < PROBES_MAX as usize, "more than the probes of a half-open breaker");
    }

    fn finish(&mut self, always_succeed: bool) {
        if self.in_exchange.is_empty() {
            return;
        }
        let index = self.dice.roll(self.in_exchange.len() as u64) as usize;
        let work = self.in_exchange.swap_remove(index);
        let mut delivery = work.delivery;
        delivery.attempts += 1;
        let is_given_up = self.given_up.remove(&delivery.id.order());
        let is_dead = self.dead.contains(&delivery.endpoint_id);
        let success = !is_dead && (always_succeed || self.dice.roll(3) > 0);
        *self.ended.entry(delivery.endpoint_id).or_default() += 1;
        if is_given_up {
            delivery.status = Status::Discarded;
        } else if success {
            delivery.status = Status::Success;
        } else {
            delivery.status = Status::Retry;
            delivery.due_at = self.clock.now().plus(Duration::from_millis(self.dice.roll(200)));
        }
        let exchanged = if success { Exchanged::Succeeded } else { Exchanged::Failed };
        let exchanged = if is_given_up { Exchanged::Skipped } else { exchanged };
        self.dispatcher.finished(delivery.endpoint_id, delivery.steered_by().filter(|_| !is_given_up), exchanged);
        self.unrecorded.push(Report { delivery, attempt: None, meta_event: None });
    }

    fn record(&mut self) {
        let all = self.unrecorded.len();
        let count = if self.never_fails { all } else { self.dice.roll(all as u64 + 1) as usize };
        let (batch, fenced): (Vec<Report>, Vec<Report>) = self
            .unrecorded
            .drain(..count)
            .partition(|report| self.held.contains_key(&Shard::of(report.delivery.endpoint_id)));
        for report in &batch {
            let order = report.delivery.id.order();
            if report.delivery.status == Status::Success {
                self.reached.insert((report.delivery.endpoint_id, report.delivery.event_id));
            }
            // Another node was faster: a late report changes nothing.
            if self.is_shared
                && self.waiting.get(&order).is_none_or(|row| row.delivery.attempts >= report.delivery.attempts)
            {
                continue;
            }
            self.attempts.insert(order, report.delivery.attempts);
            if report.delivery.status.is_settled() {
                self.waiting.remove(&order);
                self.owed.remove(&order);
                continue;
            }
            let event = Arc::clone(&self.events[&order]);
            self.waiting.insert(order, Work { delivery: report.delivery.clone(), event });
        }
        self.dispatcher.recorded(&batch);
        self.dispatcher.fenced(&fenced);
    }

    fn owns_as_told(&self, endpoint: Id) -> bool {
        let shard = Shard::of(endpoint);
        self.held.get(&shard) == self.told.get(&shard)
    }

    /// The database gives a shard to another node, or back to this one.
    fn shift(&mut self) {
        let shard = Shard::of(target(self.dice.roll(ENDPOINTS)).endpoint_id);
        if self.held.remove(&shard).is_none() {
            self.epoch += 1;
            self.held.insert(shard, self.epoch);
        }
    }

    /// This node hears of it, a little later; and of what it is to leave, which may be taken back.
    fn tell(&mut self, leaving: u64) {
        self.told = self.held.clone();
        let asked_for = |_: &&Shard| self.dice.roll(3) < leaving;
        self.leaving = self.told.keys().filter(asked_for).copied().collect();
        let holding = Holding::new(self.held.clone(), self.leaving.clone(), Deadline::never());
        if self.dispatcher.adopt(Arc::new(holding)) {
            let backlog = |work: &Work| Backlog {
                project_id: work.delivery.project_id,
                endpoint_id: work.delivery.endpoint_id,
                class: work.delivery.class(),
                next_due: work.delivery.due_at,
            };
            self.dispatcher.take_up(&self.waiting.values().map(backlog).collect::<Vec<_>>());
        }
    }

    /// What another node owns, it settles.
    fn work_elsewhere(&mut self) {
        let elsewhere = |work: &&Work| !self.held.contains_key(&Shard::of(work.delivery.endpoint_id));
        let Some(order) = self.waiting.values().find(elsewhere).map(|work| work.delivery.id.order()) else { return };
        self.waiting.remove(&order);
        self.owed.remove(&order);
    }

    fn steer(&mut self, next: State) {
        let index = self.dice.roll(self.replays.len() as u64) as usize;
        self.steer_one(index, next);
    }

    fn steer_one(&mut self, index: usize, next: State) {
        let now = self.clock.now();
        let Some(control) = self.replays[index].control.to(next, now, &SYSTEM) else { return };
        self.revision += 1;
        let concurrency = 1 + self.dice.roll(3) as u32;
        let replay = &mut self.replays[index];
        replay.control = Control { concurrency, ..control };
        replay.revision = self.revision;
        let replay = replay.clone();
        let in_flight = self.dispatcher.adopt_replays(std::slice::from_ref(&replay));
        let of_it = |work: &&Work| {
            work.delivery.replay_id == Some(replay.id) && !self.given_up.contains(&work.delivery.id.order())
        };
        let under_way = self.in_exchange.iter().filter(of_it).count() as u64;
        let stopped = next != State::Running;
        assert_eq!(in_flight, if stopped { vec![(replay.id, under_way)] } else { Vec::new() });
    }

    fn begin_read(&mut self) {
        let Ok(request) = self.requests.try_recv() else { return };
        let now = self.clock.now();
        if !self.held.contains_key(&Shard::of(request.endpoint_id)) {
            self.dispatcher.refill_failed(&request, now);
            return;
        }
        // A store may leave out what it was told is held.
        let left_out = if self.dice.roll(2) == 0 { Arc::default() } else { Arc::clone(&request.known) };
        let mut rows: Vec<Work> = self
            .waiting
            .values()
            .filter(|work| work.delivery.endpoint_id == request.endpoint_id)
            .filter(|work| work.delivery.class() == request.class && work.delivery.due_at <= now)
            .filter(|work| !left_out.contains(&work.delivery.id))
            .cloned()
            .collect();
        rows.sort_by_key(|work| (work.delivery.due_at, work.delivery.id));
        let found = rows.len();
        let mut bytes = 0;
        let mut is_room = |work: &Work| {
            let has_room = bytes < request.bytes_max();
            bytes += work.event.data.len();
            has_room
        };
        let fit = rows.iter().take_while(|work| is_room(work)).count();
        rows.truncate(fit.min(request.limit()));
        self.cut_by_bytes += usize::from(rows.len() < found.min(request.limit()));
        let is_all = rows.len() == found && found < request.limit();
        let found = Due { waiting: rows, is_all, next: None };
        self.reads.push((request, now, found, self.replays.clone()));
    }

    fn end_read(&mut self) {
        if self.reads.is_empty() {
            return;
        }
        let index = self.dice.roll(self.reads.len() as u64) as usize;
        let (request, at, found, replays) = self.reads.swap_remove(index);
        let Due { waiting: rows, is_all, .. } = found;
        if !self.never_fails && self.dice.roll(10) == 0 {
            self.dispatcher.refill_failed(&request, at);
            return;
        }
        // Looked up at some moment since: what is known meanwhile may be newer.
        let unknown = self.dispatcher.unknown_replays(&rows);
        let seen: Vec<Replay> = replays.into_iter().filter(|replay| unknown.contains(&replay.id)).collect();
        self.dispatcher.adopt_replays(&seen);
        self.dispatcher
            .adopt_single_replays(unknown.into_iter().filter(|id| seen.iter().all(|replay| replay.id != *id)));
        let next = is_all.then(|| self.next_due(&request, at)).flatten();
        let looked = self.look_up(&request, &rows);
        self.dispatcher.refilled(&request, Due { waiting: rows, is_all, next }, at, looked);
    }

    fn next_due(&self, request: &Request, after: Timestamp) -> Option<Timestamp> {
        let of_lane = self.waiting.values().map(|work| &work.delivery);
        of_lane
            .filter(|delivery| delivery.endpoint_id == request.endpoint_id && delivery.class() == request.class)
            .map(|delivery| delivery.due_at)
            .filter(|due| *due > after)
            .min()
    }

    fn tick(&mut self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        self.dispatcher.fire_due();
    }

    fn step(&mut self) {
        if self.is_shared && self.dice.roll(5) == 0 {
            match self.dice.roll(4) {
                0 => self.shift(),
                1 => self.tell(0),
                2 => self.tell(1),
                _ => self.work_elsewhere(),
            }
        }
        if self.dice.roll(40) == 0 {
            let endpoint = target(self.dice.roll(ENDPOINTS)).endpoint_id;
            if !self.dead.remove(&endpoint) {
                self.dead.insert(endpoint);
            }
        }
        if self.dice.roll(4) == 0 {
            match self.dice.roll(12) {
                0 | 1 => self.steer(State::Paused),
                2..=4 => self.steer(State::Running),
                5 if self.dice.roll(20) == 0 => self.steer(State::Cancelled),
                6 => {
                    let (event, (single, _)) = (self.event(), self.ids.mint(self.clock.now()));
                    self.schedule_these(single, &event);
                }
                7 | 8 => self.drive(),
                _ => self.schedule(),
            }
        }
        match self.dice.roll(12) {
            0 | 1 => self.commit(),
            2..=4 => self.take(),
            5..=6 => self.finish(false),
            7 => self.record(),
            8 => self.begin_read(),
            9 => self.end_read(),
            _ => {
                // Now and then long enough for a breaker that opened.
                let millis = if self.dice.roll(10) == 0 { self.dice.roll(40_000) } else { self.dice.roll(50) };
                self.tick(millis);
            }
        }
    }

    /// All that can happen now, happens.
    fn pump(&mut self) {
        for _ in 0..PUMP_ROUNDS {
            for _ in 0..Class::ALL.len() {
                self.begin_read();
                self.end_read();
            }
            while self.in_exchange.len() < EXCHANGES_MAX && self.dispatcher.lock().has_room(&self.dispatcher.settings) {
                let before = self.in_exchange.len();
                self.take();
                if self.in_exchange.len() == before {
                    break;
                }
            }
            while !self.in_exchange.is_empty() {
                self.finish(true);
            }
            self.record();
        }
    }
}

const PROJECT: Id = Id::from_u128(1);
const ENDPOINTS: u64 = 3;
const EXCHANGES_MAX: usize = 10;
const WINDOW_MAX: usize = 6;
/// Any window of small payloads, or a single one of the large.
const LANE_BYTES_MAX: usize = 200;
const LARGE: &[u8] = &[b' '; 250];
const PUMP_ROUNDS: usize = 8;

fn project() -> Change {
    let at = Timestamp::default();
    Change::Project(Arc::new(Project::plain(PROJECT, Id::from_u128(2), at)))
}

fn endpoint(number: u64) -> Change {
    let at = Timestamp::default();
    Change::Endpoint(Arc::new(Endpoint::plain(target(number).endpoint_id, PROJECT, "", at)))
}

const SYSTEM: Asker = Asker { kind: AskerKind::System, id: None };

/// Of [`replay`] 3: one each 50 ms.
const ENDPOINT_RATE: u32 = 20;

/// The second is capped to one at a time for each endpoint, the third to so many a second.
fn replay(n: u128) -> Replay {
    let parts = serde_json::json!({"mode": "all", "first": Id::MIN, "last": Id::MAX, "high_water": Id::MAX});
    let definition = Definition {
        name: String::new(),
        reason: String::new(),
        asked_by: SYSTEM,
        created_at: Timestamp::default(),
        selector: serde_json::Value::Null,
        frozen: serde_json::from_value(parts).expect("a selector"),
        mode: SetMode::All,
        options: Options {
            endpoint_concurrency: (n == 2).then_some(1),
            endpoint_rate: (n == 3).then_some(ENDPOINT_RATE),
            ..Options::default()
        },
        matched: None,
        sends: None,
    };
    Replay {
        id: Id::from_u128(n + 100),
        project_id: Id::from_u128(1),
        control: Control { concurrency: 2, state: State::Running, ..Control::new(&definition.options) },
        definition,
        revision: 1,
        progress: Progress::default(),
        page: 0,
        counts: Counts::default(),
    }
}

fn target(endpoint: u64) -> Target {
    Target {
        endpoint_id: Id::from_u128(u128::from(endpoint) + 10),
        subscription_id: Id::from_u128(77),
        mode: Mode::AtLeastOnce,
        policy: Policy { kind: Kind::Linear, interval_s: 1, limit: 100 },
        discarded: None,
    }
}

/// Walks per run; each is a few hundred steps.
const WALKS: u64 = 300;
const STEPS: usize = 600;
const SETTLING_STEPS: usize = 20_000;

#[tokio::test]
async fn every_delivery_is_handed_out_and_none_twice() {
    let mut known = [0; 2];
    for seed in 0..WALKS {
        let of_walk = walk(seed, false).await;
        known = [known[0] + of_walk[0], known[1] + of_walk[1]];
    }
    assert!(known.iter().all(|count| *count > 1_000), "items of which it was known whether they are wanted: {known:?}");
}

/// Shards go and come back, this node hears of it late, its reports are refused, another node settles
/// what it owns: nothing is forgotten, and nothing is sent twice by a node that knows its place.
#[tokio::test]
async fn nothing_is_forgotten_while_shards_move() {
    for seed in 0..WALKS {
        walk(seed, true).await;
    }
}

/// Ten minutes, ten events a second to two endpoints, one of which is dead for nine of them.
#[tokio::test]
async fn a_dead_endpoint_gets_probes_and_its_neighbour_everything() {
    let (dead, healthy) = (target(0).endpoint_id, target(1).endpoint_id);
    let mut world = World::new(5, false).await;
    world.never_fails = true;
    world.dead.insert(dead);
    let mut sent = 0;
    for second in 0..600 {
        if second == 540 {
            let attempts = world.ended[&dead];
            // Ten to open it, with what was under way then; one each half minute since.
            assert!((10 + 15..=10 + EXCHANGES_MAX as u64 + 18).contains(&attempts), "{attempts} attempts in 9 minutes");
            world.dead.clear();
        }
        for _ in 0..10 {
            let event = world.event_for(vec![target(0), target(1)]);
            world.commit_these(&[event]);
            sent += 1;
            world.pump();
            world.tick(100);
            assert_eq!(world.ended[&healthy], sent, "the healthy endpoint waited");
        }
    }
    for _ in 0..SETTLING_STEPS {
        if world.owed.is_empty() {
            break;
        }
        world.pump();
        world.tick(100);
    }
    assert!(world.owed.is_empty(), "{} deliveries were forgotten", world.owed.len());
}

/// Gives of how many items it was known that their endpoint had not had the event, and that it had.
async fn walk(seed: u64, is_shared: bool) -> [u64; 2] {
    let mut world = World::new(seed, is_shared).await;
    world.has_large = true;
    for _ in 0..STEPS {
        world.step();
    }
    if is_shared {
        world.tell(0);
    }
    world.dead.clear();
    for index in 0..world.replays.len() {
        world.steer_one(index, State::Running);
    }
    for _ in 0..SETTLING_STEPS {
        if world.owed.is_empty() {
            break;
        }
        world.drive();
        world.begin_read();
        world.end_read();
        world.take();
        world.finish(true);
        world.record();
        world.work_elsewhere();
        world.tick(5);
    }
    assert!(world.owed.is_empty(), "seed {seed}: {} deliveries were forgotten", world.owed.len());
    assert_eq!(world.dispatcher.lock().window_bytes, 0, "seed {seed}: the window's bytes add up");
    assert!(world.cut_by_bytes > 0, "seed {seed}: no read was cut by its bytes");
    world.known
}
