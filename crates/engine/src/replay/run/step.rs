//! What a replay's next step is, by the state it is in.

use super::page_of_items::Seen;
use super::{Runner, SYSTEM, Step};
use crate::replay::pace::Pace;
use crate::replay::page::{PAGE_ITEMS_MAX, Room};
use dacapo_model::replay::{Order, State};
use dacapo_model::{Class, Id, Replay};
use dacapo_store::StoreError;
use dacapo_store::roles::Release;
use std::time::Duration;

/// Events a page takes.
pub(super) const PAGE_EVENTS_MAX: usize = 256;
/// Items never tried that lie in the queue; the walk waits for room.
const FRESH_ITEMS_MAX: u64 = 2_000;
/// The same of a replay that goes slowly to each endpoint: its items wait in lanes' memory, which others need too.
const CAPPED_ITEMS_MAX: u64 = 400;
/// Items not settled in all, those that wait for a retry included: a dead endpoint holds its replay up
/// here instead of filling the queue.
const OPEN_ITEMS_MAX: u64 = 10_000;
/// Items held or released by one transaction.
const MOVED_ITEMS_MAX: usize = 500;
/// With so few left there is little word: who waits for the end hears of it at once.
const LAST_ITEMS: u64 = 100;
/// A paused replay has items that will become due.
const PAUSED_LOOK: Duration = Duration::from_secs(1);

impl Runner {
    pub(super) async fn step(&self, id: Id, pace: &mut Pace) -> Result<Step, StoreError> {
        let Some(replay) = self.store.replays_among(vec![id]).await?.into_iter().next() else { return Ok(Step::Done) };
        match replay.control.state {
            State::Planned => {
                self.turn(&replay, State::Running, None, true).await?;
                Ok(Step::Again)
            }
            State::Running => self.run(&replay, pace).await,
            State::Paused => {
                pace.rests();
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
        let gait = self.beside.gait(replay.id, replay.control.rate, now);
        let rate = if replay.page == 0 { replay.control.rate } else { gait.rate };
        let leave = pace.leave(rate, gait.saves, now);
        if leave == 0 {
            return Ok(Step::Paced { wait: pace.wait(rate), every: gait.every });
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
        let is_behind = pace.leave(rate, gait.saves, self.clock.now()) >= PAGE_EVENTS_MAX;
        Ok(if is_behind { Step::Again } else { Step::Paced { wait: pace.wait(rate), every: gait.every } })
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
    pub(super) async fn turn(
        &self,
        replay: &Replay,
        state: State,
        failure: Option<String>,
        open: bool,
    ) -> Result<(), StoreError> {
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
