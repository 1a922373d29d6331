//! Replays as dispatch knows them: whether their items may be sent, and how many at a time.
//!
//! - In: replays as the store has them ([`Dispatcher::adopt_replays`]), from whoever changed one, from
//!   who follows other nodes' changes, and from reads of the queue that met an unknown one.
//! - Promise: after `adopt_replays` has returned with a replay that is paused or over, no item of it
//!   leaves a lane to be sent. An item of a replay this node knows nothing of is not sent.
//! - An older state of a replay never replaces a newer one, whatever order they come in.
//! - What a run may send to one endpoint is counted in [`super::caps`].
//!
//! It all lies in dispatch's state, behind its one lock: [`State::clear_front`] looks before each
//! delivery is handed out.

use super::caps::{Caps, Full};
use super::lane::Part;
use super::{Dispatcher, State, Work, size};
use dacapo_model::id::IdSet;
use dacapo_model::replay::{Definition, Elsewhere, Gate};
use dacapo_model::{Class, Id, Replay, Timestamp};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Replays kept in mind; with more, single calls are looked up again when met, and runs without anything under way
/// where those alone are half as many.
pub(super) const KNOWN_MAX: usize = 4_096;
/// A lane that waits for its replay to have a place looks this often by itself; usually it is told. At whole
/// multiples, so that a lane whose other runs go on does not set a timer for each of their items.
const BLOCKED_LOOK: Duration = Duration::from_millis(200);

/// What a courier has to know of an item's replay.
pub struct Terms {
    pub id: Id,
    pub definition: Definition,
}

impl Terms {
    /// Whether it matters if the endpoint of an item has had its event.
    pub fn asks_for_successes(&self) -> bool {
        let options = &self.definition.options;
        !options.include_succeeded && !matches!(options.target, Some(Elsewhere::Url { .. }))
    }
}

#[derive(Default)]
pub struct Runs {
    known: HashMap<Id, Known>,
    /// Those that are over and may have items to be discarded.
    over: BTreeSet<Id>,
}

enum Known {
    /// Of one call for one event: nothing to steer.
    Single,
    Run(Box<Run>),
}

struct Run {
    terms: Arc<Terms>,
    gate: Gate,
    revision: u64,
    concurrency: usize,
    in_exchange: usize,
    caps: Caps,
    /// Lanes that wait for a place, longest first. One that does not any more is passed over.
    blocked: VecDeque<Id>,
    /// The same, to have each in it once.
    is_blocked: IdSet,
    /// Lanes that let go of items while the gate was shut, and look for them when it opens.
    aside: BTreeSet<Id>,
}

impl Run {
    fn has_place(&self) -> bool {
        self.in_exchange < self.concurrency
    }

    fn block(&mut self, lane: Id) {
        if self.is_blocked.insert(lane) {
            self.blocked.push_back(lane);
        }
    }

    /// Whether an item of it may go to this endpoint now. `Err`: when to look again, if nothing will tell, and
    /// another lane that may have the place.
    fn look(&mut self, endpoint: Id, now: Timestamp) -> Result<(), (Option<Timestamp>, Option<Id>)> {
        if !self.has_place() {
            self.block(endpoint);
            let every = BLOCKED_LOOK.as_micros() as i64;
            let next = (now.micros().div_euclid(every) + 1) * every;
            return Err((Some(Timestamp::from_micros(next)), None));
        }
        self.caps.look(endpoint, now).map_err(|full| {
            let at = match full {
                Full::Until(at) => Some(at),
                Full::ForNow => None,
            };
            (at, self.unblock(1).pop())
        })
    }

    /// The first that waited, this many at most.
    fn unblock(&mut self, lanes_max: usize) -> Vec<Id> {
        let lanes: Vec<Id> = self.blocked.drain(..lanes_max.min(self.blocked.len())).collect();
        lanes.iter().for_each(|lane| {
            self.is_blocked.remove(lane);
        });
        lanes
    }
}

impl Dispatcher {
    /// Acts by these from now on. Gives what is in exchange of each that is not to be sent.
    pub fn adopt_replays(&self, replays: &[Replay]) -> Vec<(Id, u64)> {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut in_flight = Vec::new();
        let mut look: BTreeSet<Id> = BTreeSet::new();
        for replay in replays {
            let (stopped, lanes) = state.runs.adopt(replay);
            in_flight.extend(stopped.map(|count| (replay.id, count)));
            look.extend(lanes);
        }
        let is_over = |id: &Id| state.runs.part(Some(*id)) == Part::GivenUp;
        let over: BTreeSet<Id> = replays.iter().map(|replay| replay.id).filter(is_over).collect();
        if !over.is_empty() {
            // Whatever a breaker holds back there.
            let State { lanes, given_up, .. } = &mut *state;
            lanes.values_mut().for_each(|lane| given_up.extend(lane.give_up(&over)));
            let lanes: Vec<Id> = state.lanes.keys().copied().collect();
            self.refill_hungry(&mut state, lanes.into_iter());
        }
        for endpoint in &look {
            let Some(lane) = state.lanes.get_mut(endpoint) else { continue };
            lane.blocked = false;
            lane.stored_until(Class::Replay, now);
            state.list(*endpoint, now, &self.settings);
        }
        self.refill_hungry(&mut state, look.into_iter());
        let room = state.has_room(&self.settings);
        drop(state);
        if room {
            self.work.notify_one();
        }
        in_flight
    }

    pub fn knows_replay(&self, replay: Id) -> bool {
        self.lock().runs.known.contains_key(&replay)
    }

    /// Replays among these of which nothing is known here.
    pub fn unknown_replays(&self, items: &[Work]) -> Vec<Id> {
        let ids: BTreeSet<Id> = items.iter().filter_map(|item| item.delivery.replay_id).collect();
        if ids.is_empty() {
            return Vec::new();
        }
        let state = self.lock();
        ids.into_iter().filter(|id| !state.runs.known.contains_key(id)).collect()
    }

    /// There is no such replay in the store: deliveries of one call.
    pub fn adopt_single_replays(&self, ids: impl Iterator<Item = Id>) {
        let mut state = self.lock();
        state.runs.make_room();
        for id in ids {
            state.runs.known.entry(id).or_insert(Known::Single);
        }
    }

    /// Whether what is not sent of this replay is to be discarded.
    pub fn is_given_up(&self, replay: Id) -> bool {
        matches!(self.lock().runs.known.get(&replay), Some(Known::Run(run)) if run.gate == Gate::GivenUp)
    }

    /// Nothing of this replay, which is over, is left to be discarded.
    pub fn close_replay(&self, replay: Id) {
        self.lock().runs.over.remove(&replay);
    }

    /// Items of these lanes were made due in the store.
    pub fn arrived_for(&self, project: Id, endpoints: &[Id], class: Class) {
        let now = self.clock.now();
        let mut state = self.lock();
        for endpoint in endpoints {
            if state.dispatches(*endpoint) {
                state.lane(project, *endpoint).stored_until(class, now);
            }
        }
        self.refill_hungry(&mut state, endpoints.iter().copied());
    }
}

impl Runs {
    pub(super) fn terms(&self, replay: Option<Id>) -> Option<Arc<Terms>> {
        match self.known.get(&replay?) {
            Some(Known::Run(run)) => Some(Arc::clone(&run.terms)),
            Some(Known::Single) | None => None,
        }
    }

    /// `None`: somebody sends it again by hand.
    pub(super) fn part(&self, replay: Option<Id>) -> Part {
        let Some(id) = replay else { return Part::Single };
        match self.known.get(&id) {
            Some(Known::Single) => Part::Single,
            Some(Known::Run(run)) if run.gate == Gate::GivenUp => Part::GivenUp,
            // Of one that was forgotten since it was read, the front is looked at again.
            Some(Known::Run(_)) | None => Part::Run,
        }
    }

    pub(super) fn knows_any(&self) -> bool {
        !self.known.is_empty()
    }

    /// Items of a run that is over may wait in the store.
    pub(super) fn has_given_up(&self) -> bool {
        !self.over.is_empty()
    }

    pub(super) fn began(&mut self, replay: Option<Id>, endpoint: Id, now: Timestamp) {
        if let Some(Known::Run(run)) = replay.and_then(|id| self.known.get_mut(&id)) {
            run.in_exchange += 1;
            run.caps.began(endpoint, now);
        }
    }

    /// Gives lanes that may have a place now.
    pub(super) fn ended(&mut self, replay: Option<Id>, endpoint: Id) -> Vec<Id> {
        let Some(Known::Run(run)) = replay.and_then(|id| self.known.get_mut(&id)) else { return Vec::new() };
        run.in_exchange = run.in_exchange.saturating_sub(1);
        let mut lanes = run.unblock(run.concurrency.saturating_sub(run.in_exchange));
        lanes.extend(run.caps.ended(endpoint).then_some(endpoint));
        lanes
    }

    /// What was stopped, with its exchanges; and lanes that are to look again.
    fn adopt(&mut self, replay: &Replay) -> (Option<u64>, Vec<Id>) {
        self.make_room();
        let gate = replay.control.state.gate();
        let concurrency = usize::try_from(replay.control.concurrency).unwrap_or(usize::MAX).max(1);
        let known = self.known.entry(replay.id).or_insert_with(|| Known::Single);
        if let Known::Single = known {
            let terms = Arc::new(Terms { id: replay.id, definition: replay.definition.clone() });
            *known = Known::Run(Box::new(Run {
                terms,
                gate,
                revision: replay.revision,
                concurrency,
                in_exchange: 0,
                caps: Caps::of(&replay.control),
                blocked: VecDeque::new(),
                is_blocked: IdSet::default(),
                aside: BTreeSet::new(),
            }));
        }
        let Known::Run(run) = known else { return (None, Vec::new()) };
        let mut look = Vec::new();
        if replay.revision >= run.revision {
            run.revision = replay.revision;
            run.concurrency = concurrency;
            run.gate = gate;
            run.caps.set(&replay.control);
            look.extend(run.caps.let_look());
            if gate != Gate::Shut {
                look.extend(std::mem::take(&mut run.aside));
            }
            look.extend(run.unblock(usize::MAX));
        }
        if run.gate == Gate::GivenUp {
            self.over.insert(replay.id);
        }
        ((run.gate != Gate::Open).then_some(run.in_exchange as u64), look)
    }

    fn make_room(&mut self) {
        if self.known.len() < KNOWN_MAX {
            return;
        }
        // A run that is forgotten loses what its caps were used up, and that its end is to be carried out.
        self.known.retain(|_, known| matches!(known, Known::Run(_)));
        if self.known.len() < KNOWN_MAX / 2 {
            return;
        }
        self.known.retain(|_, known| match known {
            Known::Single => false,
            Known::Run(run) => run.in_exchange > 0 || !run.aside.is_empty() || !run.blocked.is_empty(),
        });
        self.over.retain(|id| self.known.contains_key(id));
    }
}

impl State {
    /// Brings an item that may be sent to the front of the lane's runs. What may not be sent for long is taken
    /// away; a run that has to wait lets the next one forward; the lane is marked when all of them have to.
    pub(super) fn clear_front(&mut self, endpoint: Id, now: Timestamp) {
        let mut waiting = 0;
        loop {
            let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
            lane.blocked = false;
            let Some(id) = lane.front_replay() else { return };
            if waiting >= lane.runs() {
                lane.blocked = true;
                return;
            }
            match self.runs.known.get_mut(&id) {
                // Of a single call after all.
                Some(Known::Single) => return,
                Some(Known::Run(run)) => match run.gate {
                    Gate::Open => {
                        let Err((at, instead)) = run.look(endpoint, now) else { return };
                        self.timers.extend(at.map(|at| (at, endpoint)));
                        self.timers.extend(instead.map(|other| (now, other)));
                        lane.pass_front_replay();
                        waiting += 1;
                        continue;
                    }
                    Gate::Shut => {
                        run.aside.insert(endpoint);
                    }
                    // Was taken out of the lane when its run ended, or when it was read.
                    Gate::GivenUp => lane.stored_until(Class::Replay, now),
                },
                // Forgotten since it was read: it is read again, and looked up then.
                None => {
                    lane.stored_until(Class::Replay, now);
                    self.timers.insert((now, endpoint));
                }
            }
            if let Some(work) = lane.set_front_replay_aside() {
                self.window_bytes -= size(&work.event.data);
            }
        }
    }
}
