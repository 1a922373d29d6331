//! Which delivery a courier gets next, and what its lane makes of how it went.

use super::{Dispatcher, State, Terms, Work, lane, size};
use dacapo_model::Id;
use std::sync::Arc;

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

impl Dispatcher {
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
}
