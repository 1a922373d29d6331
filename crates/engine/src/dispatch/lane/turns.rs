//! What a lane sends next, when it may, and what it learns from how that went.

use super::Lane;
use crate::dispatch::guard::is_sent_to;
use crate::dispatch::ownership::Spent;
use crate::dispatch::{Exchanged, Work};
use crate::settings::Settings;
use dacapo_model::breaker::{Turn, Wait};
use dacapo_model::gcra::{Gcra, Limit};
use dacapo_model::{Class, Endpoint, Id, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

/// Turns out of eleven when all classes have work.
const WEIGHTS: [i32; 3] = [8, 2, 1];
/// Concurrent exchanges a new lane starts with; each success allows one more, up to the setting. A
/// thousand endpoints that all hang at once must not take every place.
const CONCURRENCY_AT_START: usize = 16;
/// Failures in a row for which the allowed concurrency is halved once more.
const FAILURES_PER_HALVING: u32 = 16;

/// An endpoint's rate limit as the limiter wants it; `None` for one that nothing is sent to. A replay's
/// own address is in no configuration, and has no limit.
pub fn limit_of(endpoint: Option<&Endpoint>) -> Option<Limit> {
    let Some(endpoint) = endpoint else { return Some(Limit { count: 0, per: Duration::ZERO }) };
    let limit = || Limit { count: endpoint.rate_limit, per: Duration::from_secs(endpoint.rate_limit_duration) };
    is_sent_to(endpoint).then(limit)
}

impl Lane {
    pub fn can_send(&self, now: Timestamp, settings: &Settings) -> bool {
        self.has_ready()
            && self.in_exchange < self.concurrency(settings)
            && !self.awaits_answers
            && self.resume_at.is_none_or(|at| at <= now)
    }

    pub(super) fn has_ready(&self) -> bool {
        (0..self.queues.len()).any(|class| self.is_busy(class))
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
}
