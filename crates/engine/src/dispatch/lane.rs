//! One endpoint's lane: a bounded window of deliveries in memory, what it may send now, and what it
//! knows of the rest that waits in the store.

mod reading;
mod turns;

pub use reading::{Found, Part, Room};
pub use turns::limit_of;

use super::Work;
use super::guard::Guard;
use super::held::Held;
use super::ownership::Spent;
use super::reached::Reached;
use super::run_queues::RunQueues;
use crate::settings::Settings;
use dacapo_model::gcra::Gcra;
use dacapo_model::{Class, Id, Timestamp};
use reading::Refill;
use std::collections::VecDeque;

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

    pub fn holds(&self, delivery: Id) -> bool {
        self.held.contains(delivery)
    }

    /// When something in the store is due next.
    pub fn next_stored_due(&self) -> Option<Timestamp> {
        self.queues.iter().filter_map(|queue| queue.stored_due).min()
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
        // What its breaker and its limit made it wait for; both are asked again.
        (self.resume_at, self.awaits_answers) = (None, false);
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
