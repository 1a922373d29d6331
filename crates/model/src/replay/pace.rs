//! How fast a run has been of late, and how long the rest takes.
//!
//! The node that drives a run writes down every now and then how much of it is settled ([`Marks`]), with the
//! pages it writes anyway where there are any. So every node gives the same answer, and what was before a
//! pause, a change of how fast it goes or a take-over says nothing any more: marks begin anew there.

use super::{Control, Replay, State};
use crate::clock::Timestamp;
use crate::delivery::{Reason, Status};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The recent past.
pub const PACE_WINDOW: Duration = Duration::from_secs(20);
/// Between two marks, at least.
pub const MARK_EVERY: Duration = Duration::from_secs(2);
/// Of a shorter past than this nothing is said.
pub const PACE_AFTER: Duration = Duration::from_secs(1);
/// One at or before the window's begin, those within, and one for marks that came late.
const MARKS_MAX: usize = 12;

/// What was settled when, in the recent past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// [`Replay::revision`] they were made under.
    revision: u64,
    /// Milliseconds since 1970 and items settled; oldest first, at most [`MARKS_MAX`].
    made: Vec<(i64, u64)>,
}

impl Marks {
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// With what is settled now; `None` while nothing has to be written. `anew`: what was before does not count.
    pub fn with(&self, revision: u64, settled: u64, now: Timestamp, anew: bool) -> Option<Self> {
        let mark = (now.millis(), settled);
        let Some((at, before)) = self.made.last().copied().filter(|_| !anew && self.revision == revision) else {
            return Some(Self { revision, made: vec![mark] });
        };
        if before == settled || now.since(Timestamp::from_millis(at)) < MARK_EVERY {
            return None;
        }
        let mut made = self.made.clone();
        made.push(mark);
        let surplus = made.len().saturating_sub(MARKS_MAX);
        made.drain(..surplus);
        Some(Self { revision, made })
    }

    /// Items settled a second in the recent past; `None` while nothing is known of it.
    fn pace(&self, revision: u64, settled: u64, now: Timestamp) -> Option<f64> {
        let first = self.made.first().filter(|_| self.revision == revision)?;
        let from = now.minus(PACE_WINDOW).millis().max(first.0);
        let took = now.since(Timestamp::from_millis(from));
        let done = settled as f64 - self.settled_at(from, (now.millis(), settled));
        (took >= PACE_AFTER).then(|| (done / took.as_secs_f64()).max(0.0))
    }

    /// Between marks it grew evenly, but not while nothing was marked though it was time to.
    fn settled_at(&self, at: i64, now: (i64, u64)) -> f64 {
        let mut before = self.made.first().copied().unwrap_or(now);
        for after in self.made.iter().copied().chain([now]) {
            if after.0 > at {
                let stood_until = before.0.max(after.0 - MARK_EVERY.as_millis() as i64);
                let part = (at - stood_until).max(0) as f64 / (after.0 - stood_until).max(1) as f64;
                return before.1 as f64 + (after.1 as f64 - before.1 as f64) * part;
            }
            before = after;
        }
        now.1 as f64
    }
}

/// What the count at the start says of how long a run takes at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sends {
    /// Items that are sent: those that are not skipped.
    pub all: u64,
    /// Of these, the ones to the endpoint that gets most.
    pub busiest: u64,
}

impl Replay {
    /// Items settled a second, of the recent past while it runs, of all the time it ran when it is over.
    pub fn pace(&self, now: Timestamp) -> f64 {
        match self.control.state {
            State::Planned | State::Paused => 0.0,
            State::Running => self.recent_pace(now).unwrap_or(0.0),
            State::Completed | State::Failed | State::Cancelled => {
                let done = self.counts.settled().saturating_sub(self.counts.with_reason(Reason::ReplayEnded));
                let ran = self.control.ran(now).as_secs_f64();
                if ran > 0.0 { done as f64 / ran } else { 0.0 }
            }
        }
    }

    fn recent_pace(&self, now: Timestamp) -> Option<f64> {
        self.progress.marks.pace(self.revision, self.counts.settled(), now)
    }

    /// How long the rest takes at the recent pace, and no less than its rates allow. `None` while nothing is known,
    /// and where nothing has moved of late.
    pub fn eta(&self, now: Timestamp) -> Option<Duration> {
        if self.control.state != State::Running {
            return None;
        }
        let left = self.definition.matched?.saturating_sub(self.counts.settled().saturating_add(self.gone()));
        if left == 0 {
            return Some(Duration::ZERO);
        }
        let at_pace = match self.recent_pace(now) {
            Some(pace) if pace <= 0.0 => return None,
            known => known.map(|pace| left as f64 / pace),
        };
        let seconds =
            [at_pace, self.by_rate(left), self.by_endpoint_rate(left)].into_iter().flatten().reduce(f64::max)?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn by_rate(&self, left: u64) -> Option<f64> {
        self.control.rate.map(|rate| self.to_send(left) / f64::from(rate.max(1)))
    }

    /// As if each endpoint had the share of what is left that it has of the whole.
    fn by_endpoint_rate(&self, left: u64) -> Option<f64> {
        let (rate, sends) = (self.control.endpoint_rate?, self.definition.sends?);
        let share = sends.busiest as f64 / sends.all.max(1) as f64;
        Some(self.to_send(left) * share / f64::from(rate.max(1)))
    }

    /// Of what is left, at most: what is skipped takes no time.
    fn to_send(&self, left: u64) -> f64 {
        let sent = self.counts.of(Status::Success).saturating_add(self.counts.of(Status::Failure));
        self.definition.sends.map_or(left, |sends| sends.all.saturating_sub(sent).min(left)) as f64
    }
}

impl Control {
    /// How long it ran until it was over, or `now`, without its pauses.
    fn ran(&self, now: Timestamp) -> Duration {
        let Some(start) = self.started_at else { return Duration::ZERO };
        let until = self.finished_at.unwrap_or(now);
        let (mut ran, mut since) = (Duration::ZERO, Some(start));
        for step in self.steps.iter().filter(|step| step.at >= start) {
            if step.what == State::Paused.as_str() {
                ran += since.take().map_or(Duration::ZERO, |since| step.at.since(since));
            } else if step.what == State::Running.as_str() {
                since = since.or(Some(step.at));
            }
        }
        ran + since.map_or(Duration::ZERO, |since| until.since(since))
    }
}

#[cfg(test)]
mod tests;
