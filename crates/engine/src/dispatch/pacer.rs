//! The one timer of dispatch: wakes lanes whose rate limit, breaker or retry has come.

use super::lane::Lane;
use super::{Dispatcher, State};
use dacapo_model::{Id, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Looked at this often even without a timer, as a net under lost wake-ups.
const IDLE_LOOK: Duration = Duration::from_secs(5);

impl Dispatcher {
    /// Runs until `stop`.
    pub async fn pace(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.catalog.changes();
        while !stop.is_cancelled() {
            // Those that share its thread go on, however soon the next timer is.
            tokio::task::yield_now().await;
            let wait = self.fire_due();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.timer_set.notified() => {}
                Ok(()) = changes.changed() => self.look_again(),
                () = stop.cancelled() => {}
            }
        }
    }

    /// After a change of configuration: a limit may have been lifted, an endpoint activated or deleted.
    /// Lanes that are still limited find out when their next delivery is taken.
    pub(super) fn look_again(&self) {
        let now = self.clock.now();
        let snapshot = self.catalog.snapshot();
        let mut state = self.lock();
        let is_held = |lane: &Lane| lane.resume_at.is_some() || lane.awaits_answers || lane.guard.is_tripped();
        let held: Vec<Id> = state.lanes.iter().filter(|(_, lane)| is_held(lane)).map(|(id, _)| *id).collect();
        for endpoint in &held {
            if let Some(lane) = state.lanes.get_mut(endpoint) {
                lane.guard.adopt(&snapshot, lane.project_id, *endpoint, now);
                (lane.resume_at, lane.awaits_answers) = (None, false);
            }
            state.list(*endpoint, now, &self.settings);
        }
        self.refill_hungry(&mut state, held.into_iter());
        let room = state.has_room(&self.settings);
        drop(state);
        if room {
            self.work.notify_one();
        }
    }

    /// Fires what is due and says how long until the next.
    pub(super) fn fire_due(&self) -> Duration {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut woken = Vec::new();
        while let Some((at, endpoint)) = state.timers.first().copied() {
            if at > now {
                break;
            }
            state.timers.pop_first();
            woken.push(endpoint);
        }
        for endpoint in &woken {
            state.wake(*endpoint, now);
            state.list(*endpoint, now, &self.settings);
        }
        self.refill_hungry(&mut state, woken.into_iter());
        let wait = state.timers.first().map_or(IDLE_LOOK, |(at, _)| at.since(now).min(IDLE_LOOK));
        let room = state.has_room(&self.settings);
        drop(state);
        if room {
            self.work.notify_one();
        }
        // Timers are exact to the microsecond, the runtime's to the millisecond.
        wait.max(Duration::from_micros(500))
    }
}

impl State {
    fn wake(&mut self, endpoint: Id, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        if lane.resume_at.is_some_and(|at| at <= now) {
            lane.resume_at = None;
        }
        lane.blocked = false;
        // A later need of the same lane has a timer of its own only if it was set when it arose.
        let needs = [lane.resume_at, lane.next_stored_due(), lane.guard.open_until()];
        let later = needs.into_iter().flatten().filter(|at| *at > now).min();
        if let Some(at) = later {
            self.set_timer(at, endpoint);
        }
    }
}
