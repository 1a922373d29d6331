//! One endpoint's lane: a bounded window of deliveries in memory, what it may send now, and what it
//! knows of the rest that waits in the store.

use super::guard::{Guard, is_sent_to};
use super::held::Held;
use super::ownership::Spent;
use super::reached::Reached;
use super::run_queues::RunQueues;
use super::{Exchanged, Work};
use crate::settings::Settings;
use dacapo_model::breaker::{PROBES_MAX, Turn, Wait};
use dacapo_model::gcra::{Gcra, Limit};
use dacapo_model::id::{IdMap, IdSet};
use dacapo_model::{Class, Endpoint, Id, Timestamp};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Turns out of eleven when all classes have work.
const WEIGHTS: [i32; 3] = [8, 2, 1];
/// Concurrent exchanges a new lane starts with; each success allows one more, up to the setting. A
/// thousand endpoints that all hang at once must not take every place.
const CONCURRENCY_AT_START: usize = 16;
/// Failures in a row for which the allowed concurrency is halved once more.
const FAILURES_PER_HALVING: u32 = 16;

/// Deliveries that a read is told to leave out.
const KNOWN_MAX: usize = 256;
/// From so many on, rows are not known to be large.
const ROWS_THAT_FIT_MAX: usize = 16_384;

pub struct Lane {
    pub project_id: Id,
    queues: [ClassQueue; 3],
    /// Of the smooth weighted round robin between classes.
    credit: [i32; 3],
    in_exchange: usize,
    /// All deliveries in memory: placed, ready, in exchange, or not yet recorded.
    held: Held,
    limiter: Gcra,
    /// What is to be known of the limit before it is next asked.
    pub spent: Spent,
    /// Nothing is sent before this moment: rate limit or open breaker.
    pub resume_at: Option<Timestamp>,
    /// The breaker lets nothing through before one of those under way is answered.
    pub awaits_answers: bool,
    pub guard: Guard,
    /// Of those in exchange, how many the breaker was not asked for: they are not sent.
    unasked: usize,
    successes: usize,
    failures_in_a_row: u32,
    /// In the rotation.
    pub listed: bool,
    /// All runs with items here have to wait.
    pub blocked: bool,
    /// The last of its replays was an item of a run.
    was_run: bool,
    /// Read to be discarded, and not handed out yet.
    given_up: usize,
    /// Of the runs' items in memory.
    pub reached: Reached,
}

#[derive(Default)]
struct ClassQueue {
    ready: VecDeque<Work>,
    /// Of replays, whose class has nothing in `ready`: those of a single call, which take turns with the items
    /// of runs.
    singles: VecDeque<Work>,
    runs: RunQueues,
    /// Of payload, in these three.
    bytes: usize,
    /// How many rows a read found room for in bytes, when that was less than it was asked for; doubled by each
    /// that was not.
    rows_that_fit: Option<usize>,
    /// Placed, not committed yet.
    reserved: usize,
    /// Parked, not committed yet.
    parking: usize,
    /// When something in the store is due; `None` when it holds nothing (beyond what is held here).
    stored_due: Option<Timestamp>,
    refill: Option<Refill>,
}

impl ClassQueue {
    fn in_memory(&self) -> usize {
        self.ready.len() + self.singles.len() + self.runs.len()
    }

    fn left(&mut self, work: Option<&Work>) {
        self.bytes -= work.map_or(0, |work| work.event.data.len());
    }
}

/// What a delivery of the replays' class is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Single,
    Run,
    /// Of a run that is over: it is to be discarded.
    GivenUp,
}

/// How much a read of the store may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub rows: usize,
    /// Of payload.
    pub bytes: usize,
}

/// What a read of the store found.
#[derive(Default)]
pub struct Found {
    pub rows: Vec<Work>,
    /// They are all that is due.
    pub is_all: bool,
    /// There were more, and room for them but in bytes.
    pub is_cut_by_bytes: bool,
    /// When what comes after is due.
    pub next_due: Option<Timestamp>,
    /// By id of the event, whether the endpoint has had it, where that was looked up.
    pub reached: IdMap<bool>,
}

/// What a read of the store gave a lane.
#[derive(Default)]
pub struct Refilled {
    /// Bytes of payload, with those of `given_up`.
    pub bytes: usize,
    pub given_up: Vec<Work>,
}

/// A read of the store under way.
#[derive(Default)]
struct Refill {
    /// Let go since it began: its snapshot may still show them.
    let_go: IdSet,
    /// Was asked for under an older lease: its rows mean nothing.
    void: bool,
    /// Something was put into the store since it began, due at this moment: it may have missed it.
    stored_since: Option<Timestamp>,
}

/// An endpoint's rate limit as the limiter wants it; `None` for one that nothing is sent to. A replay's
/// own address is in no configuration, and has no limit.
pub fn limit_of(endpoint: Option<&Endpoint>) -> Option<Limit> {
    let Some(endpoint) = endpoint else { return Some(Limit { count: 0, per: Duration::ZERO }) };
    let limit = || Limit { count: endpoint.rate_limit, per: Duration::from_secs(endpoint.rate_limit_duration) };
    is_sent_to(endpoint).then(limit)
}

impl Lane {
    pub fn new(project_id: Id, spent: Spent) -> Self {
        Self {
            project_id,
            spent,
            queues: Default::default(),
            credit: [0; 3],
            in_exchange: 0,
            held: Held::default(),
            limiter: Gcra::default(),
            resume_at: None,
            awaits_answers: false,
            guard: Guard::default(),
            unasked: 0,
            successes: 0,
            failures_in_a_row: 0,
            listed: false,
            blocked: false,
            was_run: false,
            given_up: 0,
            reached: Reached::default(),
        }
    }

    fn queue(&mut self, class: Class) -> &mut ClassQueue {
        &mut self.queues[class as usize]
    }

    /// Whether memory takes a delivery that is about to be committed, and is due. While anything of the
    /// class is in the store that is due, new ones go behind it: order is kept. What is taken is held from
    /// now on: a read of the store may find it before it is offered. What waits for a breaker waits in the
    /// store: memory is for what can be sent.
    pub fn place(
        &mut self,
        class: Class,
        (delivery, bytes): (Id, usize),
        now: Timestamp,
        memory_full: bool,
        settings: &Settings,
    ) -> bool {
        let is_tripped = self.guard.is_tripped();
        let queue = self.queue(class);
        let room = queue.in_memory() + queue.reserved < settings.lane_window_max;
        // Of other classes some wait for their time there, and are not to hold up what is new.
        let is_due = |due: Timestamp| class == Class::Live || due <= now;
        let behind = queue.stored_due.is_some_and(is_due) || queue.parking > 0 || queue.refill.is_some();
        if room && !behind && !is_tripped && !memory_full {
            queue.reserved += 1;
            self.held.insert(delivery, bytes);
            return true;
        }
        queue.parking += 1;
        false
    }

    pub fn unplace(&mut self, class: Class, delivery: Id) {
        self.held.remove(delivery);
        self.queue(class).reserved -= 1;
    }

    /// A parked delivery was committed, or will not be.
    pub fn unpark(&mut self, class: Class) {
        self.queue(class).parking -= 1;
    }

    /// A placed delivery was committed; of a replay: an item of a run.
    pub fn offer(&mut self, class: Class, work: Work) {
        let queue = self.queue(class);
        queue.reserved -= 1;
        queue.bytes += work.event.data.len();
        match work.delivery.steered_by() {
            Some(run) if class == Class::Replay => queue.runs.push(run, work),
            _ => queue.ready.push_back(work),
        }
    }

    /// The store holds something of this class, due at `due_at` at the earliest.
    pub fn stored_until(&mut self, class: Class, due_at: Timestamp) {
        let queue = self.queue(class);
        queue.stored_due = Some(queue.stored_due.map_or(due_at, |earlier| earlier.min(due_at)));
        if let Some(refill) = &mut queue.refill {
            refill.stored_since = Some(refill.stored_since.map_or(due_at, |earlier| earlier.min(due_at)));
        }
    }

    /// How much to read for this class, when it is time to; a read is then under way. `sweeps`: some
    /// may be there to be discarded, which no breaker holds up.
    pub fn hunger(&mut self, class: Class, now: Timestamp, settings: &Settings, sweeps: bool) -> Option<Room> {
        let given_up = self.given_up;
        let probes_only = self.guard.open_until().filter(|_| !sweeps || class != Class::Replay);
        if probes_only.is_some_and(|until| now < until || self.has_ready()) {
            return None;
        }
        let queue = self.queue(class);
        let due = queue.stored_due.is_some_and(|due| due <= now);
        let in_memory = queue.in_memory() + if class == Class::Replay { given_up } else { 0 };
        let is_full = in_memory * 2 > settings.lane_window_max || queue.bytes * 2 > settings.lane_bytes_max;
        if !due || queue.refill.is_some() || is_full {
            return None;
        }
        queue.refill = Some(Refill::default());
        let rows = match probes_only {
            Some(_) => PROBES_MAX as usize,
            None => settings.lane_window_max - in_memory,
        };
        let rows = queue.rows_that_fit.map_or(rows, |fit| rows.min(fit * 2));
        Some(Room { rows, bytes: settings.lane_bytes_max - queue.bytes })
    }

    /// Of deliveries of it that are in memory: a read of the store finds them too.
    pub fn held(&self) -> Room {
        Room { rows: self.held.len(), bytes: self.held.bytes() }
    }

    pub fn holds(&self, delivery: Id) -> bool {
        self.held.contains(delivery)
    }

    /// They, for a read that had better leave them out. Only of live ones, and while they are few: whatever is let go
    /// before it is settled comes back in another class, or is looked for again.
    pub fn known(&self, class: Class) -> Arc<[Id]> {
        if class != Class::Live || self.held.len() > KNOWN_MAX {
            return Arc::default();
        }
        self.held.ids().collect()
    }

    fn has_ready(&self) -> bool {
        (0..self.queues.len()).any(|class| self.is_busy(class))
    }

    /// The read could not be asked for or failed: the need stands.
    pub fn refill_failed(&mut self, class: Class) {
        self.queue(class).refill = None;
    }

    /// The read is over; `part` is asked of replays.
    pub fn refilled(&mut self, class: Class, found: Found, now: Timestamp, part: impl Fn(&Work) -> Part) -> Refilled {
        let refill = self.queue(class).refill.take().unwrap_or_default();
        let mut refilled = Refilled::default();
        let mut new = 0;
        for work in found.rows {
            let id = work.delivery.id;
            let bytes = work.event.data.len();
            if refill.void || refill.let_go.contains(&id) || !self.held.insert(id, bytes) {
                continue;
            }
            new += 1;
            let part = part(&work);
            if class != Class::Replay || part != Part::GivenUp {
                self.queue(class).bytes += bytes;
            }
            refilled.bytes += super::size(&work.event.data);
            match part {
                _ if class != Class::Replay => self.queue(class).ready.push_back(work),
                Part::Run => {
                    if let Some(reached) = found.reached.get(&work.event.id) {
                        self.reached.learn(work.event.id, *reached);
                    }
                    let run = work.delivery.steered_by().unwrap_or(Id::MIN);
                    self.queue(class).runs.push(run, work);
                }
                Part::Single => self.queue(class).singles.push_back(work),
                Part::GivenUp => {
                    self.given_up += 1;
                    refilled.given_up.push(work);
                }
            }
        }
        let rest = match refill.void {
            true => None,
            false if found.is_all => found.next_due,
            false => Some(now),
        };
        let queue = self.queue(class);
        queue.stored_due = rest.into_iter().chain(refill.stored_since).min();
        queue.rows_that_fit = match queue.rows_that_fit {
            _ if found.is_cut_by_bytes => Some(new.max(1)),
            Some(fit) => Some(fit * 2).filter(|fit| *fit < ROWS_THAT_FIT_MAX),
            None => None,
        };
        refilled
    }

    /// One that was read to be discarded is handed out; or let go, when the lane is not this node's.
    pub fn hand_out_given_up(&mut self, delivery: Id, is_ours: bool) {
        self.given_up -= 1;
        if is_ours {
            self.in_exchange += 1;
            self.unasked += 1;
        } else {
            self.held.remove(delivery);
        }
    }

    /// When something in the store is due next.
    pub fn next_stored_due(&self) -> Option<Timestamp> {
        self.queues.iter().filter_map(|queue| queue.stored_due).min()
    }

    pub fn can_send(&self, now: Timestamp, settings: &Settings) -> bool {
        self.has_ready()
            && self.in_exchange < self.concurrency(settings)
            && !self.awaits_answers
            && self.resume_at.is_none_or(|at| at <= now)
    }

    fn is_busy(&self, class: usize) -> bool {
        let queue = &self.queues[class];
        !queue.ready.is_empty() || !queue.singles.is_empty() || !self.blocked && !queue.runs.is_empty()
    }

    /// Whose item is the next of the runs.
    pub fn front_replay(&self) -> Option<Id> {
        self.queues[Class::Replay as usize].runs.front()
    }

    /// Runs that have items in memory.
    pub fn runs(&self) -> usize {
        self.queues[Class::Replay as usize].runs.runs()
    }

    /// It is another run's turn.
    pub fn pass_front_replay(&mut self) {
        self.queue(Class::Replay).runs.pass();
    }

    /// Takes out what is of these replays.
    pub fn give_up(&mut self, replays: &BTreeSet<Id>) -> Vec<Work> {
        let queue = self.queue(Class::Replay);
        let given_up = queue.runs.take_out(replays);
        given_up.iter().for_each(|work| queue.left(Some(work)));
        given_up.iter().for_each(|work| {
            self.reached.tell(work.delivery.event_id);
        });
        self.given_up += given_up.len();
        given_up
    }

    /// Lets it go; it stays in the store.
    pub fn set_front_replay_aside(&mut self) -> Option<Work> {
        let queue = self.queue(Class::Replay);
        let work = queue.runs.pop()?;
        queue.left(Some(&work));
        self.held.remove(work.delivery.id);
        self.reached.tell(work.delivery.event_id);
        Some(work)
    }

    fn concurrency(&self, settings: &Settings) -> usize {
        let grown = (CONCURRENCY_AT_START + self.successes).min(settings.lane_concurrency_max);
        let halvings = self.failures_in_a_row / FAILURES_PER_HALVING;
        (grown >> halvings.min(16)).max(1)
    }

    /// The next delivery, when the lane may send one now; a rate limit that is used up and a breaker that is
    /// open set `resume_at`. Without a `limit` nothing is sent, only given up, and neither is asked.
    pub fn take(&mut self, limit: Option<Limit>, now: Timestamp, settings: &Settings) -> Option<Work> {
        if !self.can_send(now, settings) {
            return None;
        }
        self.resume_at = None;
        if let Some(limit) = limit {
            match self.guard.may_send(self.in_exchange, now) {
                Ok(()) => {}
                Err(Wait::Until(at)) => {
                    self.resume_at = Some(at);
                    return None;
                }
                Err(Wait::ForAnswers) => {
                    self.awaits_answers = true;
                    return None;
                }
            }
            match std::mem::replace(&mut self.spent, Spent::Nothing) {
                Spent::Nothing => {}
                Spent::UntilWhole(whole_at) => self.limiter = Gcra::going_on(whole_at),
                Spent::AllUntil(then) => self.limiter.use_up(limit, then),
            }
            if let Err(at) = self.limiter.take(limit, now) {
                self.resume_at = Some(at);
                return None;
            }
        }
        let work = self.pick()?;
        self.in_exchange += 1;
        match limit {
            Some(_) => self.guard.sent(),
            None => self.unasked += 1,
        }
        Some(work)
    }

    /// Smooth weighted round robin over the classes that have work.
    fn pick(&mut self) -> Option<Work> {
        let mut best: Option<usize> = None;
        let mut total = 0;
        for (class, weight) in WEIGHTS.into_iter().enumerate() {
            if !self.is_busy(class) {
                continue;
            }
            self.credit[class] += weight;
            total += weight;
            if best.is_none_or(|held| self.credit[class] > self.credit[held]) {
                best = Some(class);
            }
        }
        let class = best?;
        self.credit[class] -= total;
        if class == Class::Replay as usize {
            return self.pick_replay();
        }
        let queue = &mut self.queues[class];
        let work = queue.ready.pop_front();
        queue.left(work.as_ref());
        work
    }

    /// Runs, one after the other, and single calls in turn: neither waits for more than one of the other.
    fn pick_replay(&mut self) -> Option<Work> {
        let may_run = !self.blocked;
        let queue = self.queue(Class::Replay);
        let run_waits = may_run && !queue.runs.is_empty();
        let single_waits = !queue.singles.is_empty();
        let is_run = run_waits && !(single_waits && self.was_run);
        self.was_run = is_run;
        let queue = self.queue(Class::Replay);
        let work = if is_run { queue.runs.take_turn() } else { queue.singles.pop_front() };
        queue.left(work.as_ref());
        work
    }

    /// Whether the endpoint has had the event of what was just taken out; `None`: not known.
    pub fn has_reached(&mut self, taken: &Work) -> Option<bool> {
        let reached = self.reached.tell(taken.delivery.event_id);
        if self.queues[Class::Replay as usize].runs.is_empty() {
            self.reached.forget();
        }
        reached
    }

    /// Tells when the breaker opened or closed by it.
    pub fn finished(&mut self, exchanged: Exchanged, now: Timestamp) -> Option<Turn> {
        self.in_exchange -= 1;
        self.awaits_answers = false;
        match exchanged {
            Exchanged::Skipped if self.unasked > 0 => {
                self.unasked -= 1;
                return None;
            }
            Exchanged::Skipped => {}
            Exchanged::Succeeded => {
                self.successes = self.successes.saturating_add(1);
                self.failures_in_a_row = 0;
            }
            Exchanged::Failed => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.successes = self.successes.saturating_sub(1);
            }
        }
        let turn = self.guard.finished(exchanged, now);
        if let Some(Turn::Opened { until, .. }) = turn {
            self.resume_at = Some(until).max(self.resume_at);
        }
        turn
    }

    /// A held delivery is in the store as it is now; it waits there when it is to be tried again.
    pub fn recorded(&mut self, delivery: Id, retry: Option<(Class, Timestamp)>) {
        self.held.remove(delivery);
        for queue in &mut self.queues {
            if let Some(refill) = &mut queue.refill {
                refill.let_go.insert(delivery);
            }
        }
        if let Some((class, due_at)) = retry {
            self.stored_until(class, due_at);
        }
    }

    /// The lane is another node's now: forgets what is ready and what waits in the store, and gives
    /// the bytes that frees. What is in exchange stays held until it is recorded.
    pub fn abandon(&mut self) -> usize {
        self.guard.forget();
        self.reached.forget();
        let mut bytes = 0;
        for queue in &mut self.queues {
            for work in queue.ready.drain(..).chain(queue.singles.drain(..)).chain(queue.runs.drain()) {
                bytes += super::size(&work.event.data);
                self.held.remove(work.delivery.id);
            }
            queue.bytes = 0;
            queue.stored_due = None;
            if let Some(refill) = &mut queue.refill {
                (refill.void, refill.stored_since) = (true, None);
            }
        }
        bytes
    }

    /// When the whole of its rate limit may be used again; `None` when none is known to be used.
    pub fn whole_at(&self) -> Option<Timestamp> {
        match self.spent {
            Spent::Nothing => self.limiter.whole_at(),
            Spent::UntilWhole(whole_at) => Some(whole_at),
            Spent::AllUntil(_) => None,
        }
    }

    /// Nothing is in exchange, unrecorded or being committed.
    pub fn is_quiet(&self) -> bool {
        self.held.is_empty() && self.in_exchange == 0
    }

    /// Nothing in memory, nothing known in the store, nothing under way.
    pub fn is_idle(&self) -> bool {
        let quiet = |queue: &ClassQueue| {
            queue.in_memory() == 0
                && queue.reserved == 0
                && queue.parking == 0
                && queue.stored_due.is_none()
                && queue.refill.is_none()
        };
        self.held.is_empty()
            && self.in_exchange == 0
            && !self.listed
            && self.queues.iter().all(quiet)
            && self.forgettable()
    }

    /// What it learnt of the endpoint is worth keeping while the endpoint is limited or failing: a
    /// forgotten limiter would start with a full allowance.
    fn forgettable(&self) -> bool {
        self.resume_at.is_none()
            && self.failures_in_a_row == 0
            && self.limiter == Gcra::default()
            && !self.guard.is_tripped()
            && !self.guard.untold
    }
}
