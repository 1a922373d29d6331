//! Pause, resume, cancel, other rates: a change of a replay, and who has heard of it.

use super::{Desk, Refused, one, unless_it_worked};
use dacapo_model::replay::{Asker, Control, State};
use dacapo_model::{Id, Replay};
use dacapo_store::StoreError;
use dacapo_store::roles::Acknowledged;
use std::sync::Arc;
use std::time::Duration;

/// How long a stop waits for other nodes to say that they know.
pub(super) const STOP_WITHIN: Duration = Duration::from_millis(800);
const STOP_LOOK: Duration = Duration::from_millis(10);
/// A change that finds another one came first looks again this often.
const STEER_TRIES_MAX: u32 = 16;

/// How fast, from now on: outer `None` leaves it as it is, inner `None` lifts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    pub rate: Option<Option<u32>>,
    pub concurrency: Option<u32>,
    pub endpoint_rate: Option<Option<u32>>,
    pub endpoint_concurrency: Option<Option<u32>>,
}

impl Pace {
    fn change(&self, control: &mut Control) {
        control.rate = self.rate.unwrap_or(control.rate);
        control.concurrency = self.concurrency.unwrap_or(control.concurrency);
        control.endpoint_rate = self.endpoint_rate.unwrap_or(control.endpoint_rate);
        control.endpoint_concurrency = self.endpoint_concurrency.unwrap_or(control.endpoint_concurrency);
    }
}

/// `rate 50, concurrency 64`, and of the caps of endpoints those there are and those that were spoken of.
fn said(pace: &Pace, control: &Control) -> String {
    let word = |cap: Option<u32>| cap.map_or_else(|| "none".to_owned(), |cap| cap.to_string());
    let mut said = format!("rate {}, concurrency {}", word(control.rate), control.concurrency);
    for (name, is_named, cap) in [
        ("endpoint_rate", pace.endpoint_rate.is_some(), control.endpoint_rate),
        ("endpoint_concurrency", pace.endpoint_concurrency.is_some(), control.endpoint_concurrency),
    ] {
        if is_named || cap.is_some() {
            said.push_str(&format!(", {name} {}", word(cap)));
        }
    }
    said
}

/// A replay after it was steered.
#[derive(Clone, Debug)]
pub struct Steered {
    pub replay: Replay,
    /// Exchanges that were under way when their nodes learnt of it.
    pub in_flight: u64,
    /// Living nodes that have not said they know.
    pub unconfirmed: u64,
}

impl Desk {
    pub async fn pause(&self, project: Id, id: Id, by: &Asker) -> Result<Steered, Refused> {
        self.to(project, id, State::Paused, by).await
    }

    pub async fn resume(&self, project: Id, id: Id, by: &Asker) -> Result<Steered, Refused> {
        self.to(project, id, State::Running, by).await
    }

    pub async fn cancel(&self, project: Id, id: Id, by: &Asker) -> Result<Steered, Refused> {
        self.to(project, id, State::Cancelled, by).await
    }

    pub async fn re_rate(&self, project: Id, id: Id, pace: Pace, by: &Asker) -> Result<Steered, Refused> {
        let change = |replay: &Replay| {
            let mut control = replay.control.clone();
            if control.state.is_over() {
                return Err(wrong(control.state, "what is over has no rate; start another one"));
            }
            pace.change(&mut control);
            control.note(self.clock.now(), by, said(&pace, &control));
            Ok(control)
        };
        self.steer(project, id, change).await
    }

    async fn to(&self, project: Id, id: Id, next: State, by: &Asker) -> Result<Steered, Refused> {
        let change = |replay: &Replay| {
            let state = replay.control.state;
            let is_start = next == State::Running && state == State::Planned;
            let moved = replay.control.to(next, self.clock.now(), by).filter(|_| !is_start);
            moved.ok_or_else(|| wrong(state, advice(state, next)))
        };
        self.steer(project, id, change).await
    }

    async fn steer(
        &self,
        project: Id,
        id: Id,
        change: impl Fn(&Replay) -> Result<Control, Refused>,
    ) -> Result<Steered, Refused> {
        for _ in 0..STEER_TRIES_MAX {
            let replay = match self.get(project, id).await {
                Err(Refused::Unknown) => {
                    self.call(project, id).await?;
                    return Err(Refused::Call);
                }
                found => found?,
            };
            let control = change(&replay)?;
            let next = Replay { control: control.clone(), ..replay.clone() };
            let told = self.teller.of_replay(&self.catalog.snapshot(), &next);
            let steered = self.store.steer(id, replay.revision, control.clone(), true, told).await;
            let look = one(Arc::clone(&self.store), id);
            let is_this = |found: Option<Replay>| {
                found.filter(|found| found.control == control).map(|found| Some(found.revision))
            };
            let Some(revision) = unless_it_worked(steered, look, is_this).await? else { continue };
            let replay = Replay { control, revision, ..replay };
            let here = self.dispatcher.adopt_replays(std::slice::from_ref(&replay));
            self.dispatcher.say_steered([id]);
            let in_flight = here.first().map_or(0, |(_, count)| *count);
            return Ok(self.confirmed(replay, in_flight).await);
        }
        Err(Refused::Store(StoreError::Unavailable("the replay was changed again and again".to_owned())))
    }

    /// Waits for the other nodes.
    async fn confirmed(&self, replay: Replay, here: u64) -> Steered {
        if !self.is_shared {
            return Steered { replay, in_flight: here, unconfirmed: 0 };
        }
        let (store, id, revision) = (&self.store, replay.id, replay.revision);
        let told = all_told(STOP_WITHIN, || store.acknowledged(id, revision)).await;
        Steered { replay, in_flight: told.in_flight.max(here), unconfirmed: told.missing }
    }
}

/// The change is made, so a look that fails is no failure: whom nothing is known of has not confirmed.
pub(super) async fn all_told<F>(within: Duration, look: impl Fn() -> F) -> Acknowledged
where
    F: Future<Output = Result<Acknowledged, StoreError>>,
{
    let within = tokio::time::Instant::now() + within;
    let mut last = Acknowledged { missing: 1, in_flight: 0 };
    loop {
        match look().await {
            Ok(told) => last = told,
            Err(cause) => tracing::warn!(%cause, "who has heard of a change of a replay could not be read"),
        }
        if last.missing == 0 || tokio::time::Instant::now() >= within {
            return last;
        }
        tokio::time::sleep(STOP_LOOK).await;
    }
}

fn wrong(state: State, advice: &'static str) -> Refused {
    Refused::WrongState { state, advice }
}

const fn advice(state: State, next: State) -> &'static str {
    match (state, next) {
        (State::Completed, _) => "it is done; start another one for what failed",
        (State::Cancelled, State::Running) => {
            "what is cancelled cannot go on; start another one with the same selector"
        }
        (State::Cancelled, _) => "there is nothing left to stop",
        (State::Failed, _) => "it ended by itself, see \"failure\"; start another one",
        (State::Paused, _) => "it is paused already; resume or cancel it",
        (State::Running | State::Planned, _) => "it is running already",
    }
}
