//! Running replays: walks each one's frozen set and writes its items, a bounded page at a time.
//!
//! - In: replays that are open and this node's (it owns the shard their id hashes to).
//! - Out: items in the store's queue, which dispatch delivers as any others, in their own class.
//! - Promise: every event of the set becomes its items once, whatever crashes: a page of items and the
//!   moved cursor are one transaction, and it names the page it follows. Memory holds a page a replay,
//!   which is bounded in items and deliveries, not only in events;
//!   the queue holds a bounded number of items not settled. That is the throttle for the rate, and
//!   what makes a pause quick.
//! - Failure: a store that cannot be used now is tried again; a set that cannot be read ends the replay
//!   as failed, with the cause.

#[cfg(test)]
mod tests;

use super::beside::Beside;
use super::items;
use super::pace::Pace;
use super::page::{self, PAGE_ITEMS_MAX, Room};
use crate::dispatch::{Dispatcher, Had, Moment, Place, Work};
use dacapo_model::catalog::ProjectView;
use dacapo_model::id::{IdMap, IdSet};
use dacapo_model::meta_event::Teller;
use dacapo_model::replay::{Asker, AskerKind, Marks, Order, Progress, State};
use dacapo_model::{Class, Clock, Delivery, Event, Id, IdSource, Replay, Shard, Timestamp, Trigger};
use dacapo_store::roles::{HELD_UNTIL, ItemPage, Load, Release, ScanPage, ScanRequest, Scheduled};
use dacapo_store::{LiveCatalog, Store, StoreError};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Events a page takes.
const PAGE_EVENTS_MAX: usize = 256;
/// Deliveries a page reads, and at most twice as many.
const PAGE_DELIVERIES_MAX: usize = 2 * PAGE_ITEMS_MAX;
/// Rows a page looks at, where few of them are meant.
const PAGE_ROWS_MAX: usize = 2_000;
/// Items never tried that lie in the queue; the walk waits for room.
const FRESH_ITEMS_MAX: u64 = 2_000;
/// The same of a replay that goes slowly to each endpoint: its items wait in lanes' memory, which others need too.
const CAPPED_ITEMS_MAX: u64 = 400;
/// Items not settled in all, those that wait for a retry included: a dead endpoint holds its replay up
/// here instead of filling the queue.
const OPEN_ITEMS_MAX: u64 = 10_000;
/// Items held or released by one transaction.
const MOVED_ITEMS_MAX: usize = 500;
/// Between two pages of a replay with a rate: each takes what the rate allows since the one before.
const PACE_EVERY: Duration = Duration::from_millis(100);
/// After a step that moved nothing, also when there is word: word comes with every batch of records.
const REST: Duration = Duration::from_millis(20);
/// With so few left there is little word: who waits for the end hears of it at once.
const LAST_ITEMS: u64 = 100;
/// Items of a replay may be settled by other nodes, which give no word of it.
const LOOK_ELSEWHERE_EVERY: Duration = Duration::from_millis(100);
/// A paused replay has items that will become due.
const PAUSED_LOOK: Duration = Duration::from_secs(1);
/// The slow look under the words: at each replay, and for replays to drive.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

pub const SYSTEM: Asker = Asker { kind: AskerKind::System, id: None };

pub struct Runner {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub ids: Arc<IdSource>,
    pub clock: Arc<dyn Clock>,
    pub dispatcher: Arc<Dispatcher>,
    pub beside: Beside,
    pub teller: Arc<Teller>,
    /// With what wakes each.
    pub driven: Mutex<HashMap<Id, Arc<Notify>>>,
    /// Told when there may be one to drive.
    pub begun: Notify,
}

impl Runner {
    /// Until `stop`.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = self.look(&stop) => {}
            () = self.pass_on() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn look(self: &Arc<Self>, stop: &CancellationToken) {
        let mut holding = self.store.holding();
        loop {
            holding.mark_unchanged();
            match self.store.open_replays().await {
                Ok(open) => {
                    open.iter().filter(|replay| self.is_ours(replay.id)).for_each(|replay| self.drive(replay.id, stop))
                }
                Err(cause) => tracing::warn!(%cause, "open replays could not be read; trying again"),
            }
            tokio::select! {
                () = self.begun.notified() => {}
                Ok(()) = holding.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Word of a replay, to who drives it.
    async fn pass_on(&self) {
        loop {
            let said = self.dispatcher.hear_of_replays().await;
            let driven = self.driven();
            said.moved.iter().chain(&said.steered).filter_map(|id| driven.get(id)).for_each(|woken| woken.notify_one());
            if said.steered.iter().any(|id| !driven.contains_key(id)) {
                self.begun.notify_one();
            }
        }
    }

    fn is_ours(&self, replay: Id) -> bool {
        self.store.holding().borrow().dispatches(Shard::of(replay))
    }

    fn drive(self: &Arc<Self>, replay: Id, stop: &CancellationToken) {
        let woken = match self.driven().entry(replay) {
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::default())),
        };
        let (runner, stop) = (Arc::clone(self), stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(runner.drive_on(replay, &woken)).await;
            runner.driven().remove(&replay);
        });
    }

    fn driven(&self) -> std::sync::MutexGuard<'_, HashMap<Id, Arc<Notify>>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the replay is over and settled, or another node's.
    async fn drive_on(&self, id: Id, woken: &Notify) {
        let mut pace = Pace::starting(self.clock.now());
        let mut has_moved = false;
        while self.is_ours(id) {
            let wait = match self.step(id, &mut pace).await {
                Ok(Step::Again) => {
                    has_moved = true;
                    tokio::task::yield_now().await;
                    continue;
                }
                Ok(Step::After(wait)) => wait,
                // Each word of the page's own items would cut the next one shorter.
                Ok(Step::Paced(wait)) => {
                    has_moved = true;
                    tokio::time::sleep(PACE_EVERY).await;
                    match wait.checked_sub(PACE_EVERY) {
                        None | Some(Duration::ZERO) => continue,
                        Some(rest) => rest,
                    }
                }
                Ok(Step::Done) => return,
                Ok(at @ (Step::AtWord | Step::AtEveryWord)) => {
                    has_moved |= at == Step::AtEveryWord;
                    if self.store.is_shared() { LOOK_ELSEWHERE_EVERY } else { LOOK_EVERY }
                }
                Err(cause) => {
                    tracing::warn!(%cause, replay = %id, "a replay cannot go on now; trying again");
                    TRY_AGAIN_AFTER
                }
            };
            if !std::mem::take(&mut has_moved) {
                tokio::time::sleep(REST).await;
            }
            tokio::select! {
                () = woken.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn step(&self, id: Id, pace: &mut Pace) -> Result<Step, StoreError> {
        let Some(replay) = self.store.replays_among(vec![id]).await?.into_iter().next() else { return Ok(Step::Done) };
        match replay.control.state {
            State::Planned => {
                self.turn(&replay, State::Running, None, true).await?;
                Ok(Step::Again)
            }
            State::Running => self.run(&replay, pace).await,
            State::Paused => {
                if self.store.hold_items(id, self.clock.now(), MOVED_ITEMS_MAX).await? > 0 {
                    return Ok(Step::Again);
                }
                let open = self.store.open_items(id).await?;
                Ok(if open.all > open.held { Step::After(PAUSED_LOOK) } else { Step::AtWord })
            }
            State::Cancelled | State::Failed => self.give_up(&replay).await,
            State::Completed => Ok(Step::Done),
        }
    }

    async fn run(&self, replay: &Replay, pace: &mut Pace) -> Result<Step, StoreError> {
        let now = self.clock.now();
        // Who set it going may not have heard that it did; from now on successes are noted.
        if !self.dispatcher.knows_replay(replay.id) {
            self.dispatcher.adopt_replays(std::slice::from_ref(replay));
        }
        let open = self.store.open_items(replay.id).await?;
        let ordered = replay.definition.options.order == Order::PerEndpoint;
        if ordered || open.held > 0 {
            let which = if ordered { Release::Heads } else { Release::Held };
            let released = self.store.release_items(replay.id, which, now, MOVED_ITEMS_MAX).await?;
            self.dispatcher.arrived_for(replay.project_id, &released.endpoints, Class::Replay);
            if released.items > 0 {
                return Ok(Step::Again);
            }
        }
        if replay.progress.exhausted {
            if replay.waiting() == 0 {
                self.turn(replay, State::Completed, None, false).await?;
                return Ok(Step::Done);
            }
            self.mark(replay, pace, now).await?;
            let is_nearly_done = replay.waiting() <= LAST_ITEMS;
            return Ok(if is_nearly_done { Step::AtEveryWord } else { Step::AtWord });
        }
        let not_tried = open.fresh + if ordered { open.held } else { 0 };
        let is_capped = replay.control.endpoint_rate.is_some() || replay.control.endpoint_concurrency.is_some();
        let (fresh, least) = match is_capped {
            true => (CAPPED_ITEMS_MAX, CAPPED_ITEMS_MAX / 4),
            // Room for a page, not for each item that becomes free.
            false => (FRESH_ITEMS_MAX, PAGE_ITEMS_MAX as u64),
        };
        let room = fresh.saturating_sub(not_tried).min(OPEN_ITEMS_MAX.saturating_sub(open.all));
        if room < least {
            self.mark(replay, pace, now).await?;
            return Ok(Step::AtWord);
        }
        // A small one is done at once, whatever else goes on: only what follows the first page goes gently.
        let beside = || self.beside.rate(replay.control.rate, self.driven().len(), now);
        let rate = if replay.page == 0 { replay.control.rate } else { beside() };
        let leave = pace.leave(rate, now);
        if leave == 0 {
            return Ok(Step::Paced(pace.wait(rate)));
        }
        let items = PAGE_ITEMS_MAX.min(usize::try_from(room).unwrap_or(PAGE_ITEMS_MAX));
        let to_send = items.min(leave);
        let room = Room { items, to_send };
        let since = self.dispatcher.moment();
        let snapshot = self.catalog.snapshot();
        let Some(view) = snapshot.project(replay.project_id) else {
            self.turn(replay, State::Failed, Some("its project is gone".to_owned()), true).await?;
            return Ok(Step::Again);
        };
        let reads_all = self.reads_all(replay);
        let content = reads_all || replay.definition.frozen.needs_routing() && view.routes_by_content();
        let page = match self.read(replay, PAGE_EVENTS_MAX.min(to_send), content).await {
            Ok(page) => page,
            // Readers that are all taken, or slow, are so for now.
            Err(cause @ (StoreError::Unavailable(_) | StoreError::TooSlow)) => return Err(cause),
            Err(cause) => {
                self.turn(replay, State::Failed, Some(cause.to_string()), true).await?;
                return Ok(Step::Again);
            }
        };
        let marks = pace.marks(replay, now);
        let is_marked = marks.is_some();
        let seen = Seen { since, at: now, is_whole: reads_all, marks };
        let Some(written) = self.write(replay, view, page, room, seen).await? else {
            return Ok(Step::Again);
        };
        pace.took(written.to_send);
        if is_marked {
            pace.has_marked();
        }
        if written.is_last {
            return Ok(Step::Again);
        }
        // Small pages cost more than they bring.
        let is_behind = pace.leave(rate, self.clock.now()) >= PAGE_EVENTS_MAX;
        Ok(if is_behind { Step::Again } else { Step::Paced(pace.wait(rate)) })
    }

    /// Whether nearly all items of it that find room in memory are this node's to send: then their payloads are
    /// read with the walk, so that none is read twice. Otherwise they are read of those that found room.
    fn reads_all(&self, replay: &Replay) -> bool {
        replay.definition.options.order == Order::Unordered && self.dispatcher.dispatches_all()
    }

    async fn read(&self, replay: &Replay, events: usize, content: bool) -> Result<ScanPage, StoreError> {
        let request = ScanRequest {
            project: replay.project_id,
            selector: Arc::new(replay.definition.frozen.clone()),
            ascending: true,
            after: page::place(&replay.progress),
            upto: None,
            rows_max: PAGE_ROWS_MAX,
            items_max: events,
            deliveries_max: PAGE_DELIVERIES_MAX,
            load: Load { content, deliveries: true },
        };
        self.store.scan(request).await
    }

    /// `None` when the replay had moved on.
    async fn write(
        &self,
        replay: &Replay,
        view: &ProjectView,
        page: ScanPage,
        room: Room,
        seen: Seen,
    ) -> Result<Option<Written>, StoreError> {
        let Seen { since, at: now, is_whole, marks } = seen;
        let definition = &replay.definition;
        let due_at = match definition.options.order {
            Order::Unordered => now,
            Order::PerEndpoint => HELD_UNTIL,
        };
        let once = definition.options.target.is_some();
        let bytes: IdMap<usize> = page.items.iter().map(|item| (item.event.id, item.data_bytes)).collect();
        let taken = page::take(page, room, once, |item| items::of(view, replay.id, definition, item));
        let mut rows: Vec<Work> = Vec::with_capacity(taken.items.len());
        let mut had = Had { since, read_at: now, by: IdSet::default() };
        for (event, planned) in taken.items {
            let (id, at) = self.ids.mint(now);
            if planned.has_reached {
                had.by.insert(id);
            }
            let mut delivery = planned.target.delivery(&event, id, Trigger::Replay, Some(replay.id), at);
            if !delivery.status.is_settled() {
                delivery.due_at = due_at;
            }
            rows.push(Work { delivery, event });
        }
        let mut progress = replay.progress.clone();
        progress.marks = marks.unwrap_or(progress.marks);
        let written = Written { to_send: taken.to_send as u64, is_last: taken.next.is_none() };
        progress.exhausted = written.is_last;
        progress.scanned += taken.rows;
        taken.next.into_iter().for_each(|next| page::stand_at(&mut progress, next));
        let deliveries: Vec<Delivery> = rows.iter().map(|work| work.delivery.clone()).collect();
        let items = ItemPage { replay: replay.id, after: replay.page, progress, items: deliveries };
        // What waits for its predecessor is released later.
        let mut rows = if due_at == HELD_UNTIL { Vec::new() } else { rows };
        let bytes_of = |work: &Work| bytes.get(&work.event.id).copied().unwrap_or(0);
        let mut places = self.dispatcher.place_sized(rows.iter().map(|work| (work, bytes_of(work))));
        if !is_whole {
            self.read_payloads(replay, &mut rows, &mut places).await;
        }
        let scheduled = self.store.schedule(items).await;
        // The walk reads what the endpoints of its events had, not what another one had.
        let had = (!once).then_some(&had);
        // Some may be gone, or there after all: then the lanes look for themselves.
        let is_all = matches!(scheduled, Ok(Scheduled::Written { gone: 0, .. }));
        let unsure = (!is_all).then(|| rows.iter().map(|work| work.delivery.clone()).collect::<Vec<_>>());
        self.dispatcher.offer_rows(rows, &places, is_all, had);
        self.dispatcher.stored(&unsure.unwrap_or_default());
        match scheduled? {
            Scheduled::Void => Ok(None),
            Scheduled::Written { .. } => Ok(Some(written)),
        }
    }

    /// How far it is, where no page takes that along: a page without items. That it moved on, the next step sees.
    async fn mark(&self, replay: &Replay, pace: &mut Pace, now: Timestamp) -> Result<(), StoreError> {
        let Some(marks) = pace.marks(replay, now) else { return Ok(()) };
        let progress = Progress { marks, ..replay.progress.clone() };
        let page = ItemPage { replay: replay.id, after: replay.page, progress, items: Vec::new() };
        if self.store.schedule(page).await? != Scheduled::Void {
            pace.has_marked();
        }
        Ok(())
    }

    /// Of the rows that memory takes. Those whose payload cannot be read now are read from the queue later.
    async fn read_payloads(&self, replay: &Replay, rows: &mut [Work], places: &mut [Place]) {
        let in_memory = |place: &Place| matches!(place, Place::Memory(_));
        let wanted: BTreeSet<Id> =
            rows.iter().zip(&*places).filter(|(_, place)| in_memory(place)).map(|(work, _)| work.event.id).collect();
        if wanted.is_empty() {
            return;
        }
        let found = self.store.events_among(replay.project_id, wanted.into_iter().collect()).await;
        let found = found.unwrap_or_else(|cause| {
            tracing::warn!(%cause, replay = %replay.id, "payloads could not be read with a page; they are read from the queue");
            Vec::new()
        });
        let found: IdMap<Arc<Event>> = found.into_iter().map(|event| (event.id, event)).collect();
        for (work, place) in rows.iter_mut().zip(places) {
            let Place::Memory(bytes) = *place else { continue };
            match found.get(&work.event.id) {
                Some(event) => work.event = Arc::clone(event),
                None => *place = Place::Unread(bytes),
            }
        }
    }

    /// What waits becomes due, so that dispatch takes it up and discards it.
    async fn give_up(&self, replay: &Replay) -> Result<Step, StoreError> {
        let now = self.clock.now();
        let released = self.store.release_items(replay.id, Release::Everything, now, MOVED_ITEMS_MAX).await?;
        self.dispatcher.arrived_for(replay.project_id, &released.endpoints, Class::Replay);
        if released.items > 0 {
            return Ok(Step::Again);
        }
        if self.store.open_items(replay.id).await?.all > 0 {
            return Ok(Step::AtWord);
        }
        let closed = self.store.steer(replay.id, replay.revision, replay.control.clone(), false, None).await?;
        if closed.is_none() {
            return Ok(Step::Again);
        }
        self.dispatcher.close_replay(replay.id);
        Ok(Step::Done)
    }

    /// Another change that came first is no error: the next step sees it.
    async fn turn(&self, replay: &Replay, state: State, failure: Option<String>, open: bool) -> Result<(), StoreError> {
        let Some(mut control) = replay.control.to(state, self.clock.now(), &SYSTEM) else { return Ok(()) };
        control.failure = failure;
        let mut next = Replay { control, ..replay.clone() };
        let told = self.teller.of_replay(&self.catalog.snapshot(), &next);
        let steered = self.store.steer(replay.id, replay.revision, next.control.clone(), open, told).await?;
        if let Some(revision) = steered {
            next.revision = revision;
            self.dispatcher.adopt_replays(&[next]);
        }
        Ok(())
    }
}

/// How a page was read.
struct Seen {
    /// Before it was.
    since: Moment,
    at: Timestamp,
    /// Its events have their payloads.
    is_whole: bool,
    /// To be written with it.
    marks: Option<Marks>,
}

/// A page of items.
struct Written {
    /// Of those, the ones that are not born settled.
    to_send: u64,
    is_last: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Again,
    /// Time alone makes a difference.
    After(Duration),
    /// So does it, and soon.
    Paced(Duration),
    /// Nothing to do before somebody does something to it, or its items come to something.
    AtWord,
    /// The same, without a rest.
    AtEveryWord,
    Done,
}
