//! What a caller may do with replays: plan one, start one, look at it, steer it.
//!
//! - Promise: when pausing or cancelling has answered, no node that has acknowledged it sends anything
//!   more of the replay; what was in exchange at that moment is counted, and how many living nodes have
//!   not acknowledged is said. A set that was counted is the set that runs.
//! - Failure: typed refusals; nothing was changed, as far as the store can be asked.

#[cfg(test)]
mod tests;

use super::plan::{Plan, Planner, SAMPLES_MAX, Walk};
use crate::dispatch::Dispatcher;
use crate::transport::Transport;
use dacapo_model::meta_event::Teller;
use dacapo_model::replay::{Asker, CallKind, Control, Counts, Definition, Elsewhere, Options, Progress, Sends, State};
use dacapo_model::selector::{Selector, SelectorError};
use dacapo_model::{Clock, Id, IdSource, Replay};
use dacapo_store::roles::{Acknowledged, CallView, NewReplayRun, Page, ReplayCreated};
use dacapo_store::{LiveCatalog, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// Replays of a project that may be under way at a time: each has up to 10,000 items in the queue.
pub const OPEN_REPLAYS_MAX: u64 = 8;
/// How long a caller waits for a plan.
pub const PLAN_TIME_MAX: Duration = Duration::from_secs(20);
/// How long a start without `expected_count` counts beforehand; then the total stays unknown.
const COUNT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a stop waits for other nodes to say that they know.
const STOP_WITHIN: Duration = Duration::from_millis(800);
const STOP_LOOK: Duration = Duration::from_millis(10);
/// A change that finds another one came first looks again this often.
const STEER_TRIES_MAX: u32 = 16;

/// What is asked for, checked by itself.
#[derive(Clone, Debug)]
pub struct Wish {
    pub project_id: Id,
    pub name: String,
    pub reason: String,
    pub asked_by: Asker,
    /// As it came, and what it says.
    pub given: serde_json::Value,
    pub selector: Selector,
    pub options: Options,
    /// Refused when the set holds another number of items.
    pub expected: Option<u64>,
    /// A selector without a start is meant.
    pub confirm_unbounded: bool,
    pub key: Option<(String, [u8; 32])>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    #[error("unknown replay")]
    Unknown,
    #[error("unknown project")]
    UnknownProject,
    #[error("selector.{0}")]
    Selector(#[from] SelectorError),
    #[error(
        "selector: it has no start and means everything back to the oldest event kept; add \"from\", or \"confirm_unbounded\": true if that is meant"
    )]
    Unbounded,
    #[error(
        "expected_count: the set holds {found} item(s) now, not {expected}; plan without it (\"dry_run\": true) and look at what changed"
    )]
    Moved { expected: u64, found: u64 },
    #[error("expected_count: the set could not be counted within {} seconds ({counted} item(s) by then); narrow the selector, or leave expected_count out", PLAN_TIME_MAX.as_secs())]
    NotCounted { counted: u64 },
    #[error("options.target.endpoint_id: the project has no endpoint {0}")]
    UnknownTarget(Id),
    #[error(
        "options.target: what replay {0} sent went to an address, not to an endpoint; say where this one sends it, such as {{\"url\": \"https://…\"}}"
    )]
    NeedsTarget(Id),
    #[error("options.target.url: {0}")]
    RefusedTarget(String),
    #[error("idempotency_key: it was used for another replay")]
    KeyConflict,
    #[error(
        "{open} replays of this project are open, and no more than {OPEN_REPLAYS_MAX} may be: wait for one, or cancel one"
    )]
    TooMany { open: u64 },
    #[error("it was one call, done when it answered; only a replay of many events can be steered")]
    Call,
    #[error("the replay is {}: {advice}", .state.as_str())]
    WrongState { state: State, advice: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
}

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

pub struct Desk {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub ids: Arc<IdSource>,
    pub clock: Arc<dyn Clock>,
    pub dispatcher: Arc<Dispatcher>,
    pub planner: Arc<Planner>,
    pub transport: Arc<dyn Transport>,
    /// Where sets are counted: not where events are taken in, whose latency it would add to.
    pub aside: Handle,
    /// Whether other processes have to hear of a stop.
    pub is_shared: bool,
    pub teller: Arc<Teller>,
}

impl Desk {
    /// Nothing is written. Refused where the same start would be for what it expects.
    pub async fn plan(&self, wish: Wish) -> Result<(Definition, Plan), Refused> {
        let (id, mut definition) = self.define(&wish).await?;
        let plan = self.count(&wish, id, &mut definition, PLAN_TIME_MAX, SAMPLES_MAX).await?;
        Ok((definition, plan))
    }

    /// The replay, and whether the same call had made it before.
    pub async fn start(&self, wish: Wish) -> Result<(Replay, bool), Refused> {
        // Before anything is looked at that may have moved since the first call.
        if let Some((key, fingerprint)) = &wish.key
            && let Some((id, written)) = self.store.replay_by_key(wish.project_id, key.clone()).await?
        {
            return if written == *fingerprint {
                Ok((self.get(wish.project_id, id).await?, true))
            } else {
                Err(Refused::KeyConflict)
            };
        }
        // The store decides; who is to be refused need not have the set counted first.
        let open = self.store.open_replays().await?;
        let is_under_way = |replay: &&Replay| replay.project_id == wish.project_id && !replay.control.state.is_over();
        let open = open.iter().filter(is_under_way).count() as u64;
        if open >= OPEN_REPLAYS_MAX {
            return Err(Refused::TooMany { open });
        }
        let (id, mut definition) = self.define(&wish).await?;
        let within = if wish.expected.is_some() { PLAN_TIME_MAX } else { COUNT_TIME_MAX };
        self.count(&wish, id, &mut definition, within, 0).await?;
        let new = NewReplayRun {
            id,
            project_id: wish.project_id,
            control: Control::new(&definition.options),
            definition,
            key: wish.key,
            open_max: OPEN_REPLAYS_MAX,
        };
        let made = Replay {
            id,
            project_id: new.project_id,
            definition: new.definition.clone(),
            control: new.control.clone(),
            revision: 0,
            progress: Progress::default(),
            page: 0,
            counts: Counts::default(),
        };
        let created = self.store.create_replay(new).await;
        let look = one(Arc::clone(&self.store), id);
        match unless_it_worked(created, look, |found| found.is_some().then_some(ReplayCreated::New)).await? {
            ReplayCreated::New => {
                self.dispatcher.say_steered([id]);
                // It is there, whether it can be read now or not.
                Ok((self.get(made.project_id, id).await.unwrap_or(made), false))
            }
            ReplayCreated::Before(id) => Ok((self.get(made.project_id, id).await?, true)),
            ReplayCreated::Conflict => Err(Refused::KeyConflict),
            ReplayCreated::TooMany(open) => Err(Refused::TooMany { open }),
        }
    }

    pub async fn get(&self, project: Id, id: Id) -> Result<Replay, Refused> {
        self.store.replay_by_id(project, id).await?.ok_or(Refused::Unknown)
    }

    pub async fn list(&self, project: Id, page: Page) -> Result<Vec<Replay>, Refused> {
        Ok(self.store.replays_of(project, page).await?)
    }

    /// A single call, which is no [`Replay`].
    pub async fn call(&self, project: Id, id: Id) -> Result<CallView, Refused> {
        self.store.call_by_id(project, id).await?.ok_or(Refused::Unknown)
    }

    pub async fn calls(&self, project: Id, kind: CallKind, page: Page) -> Result<Vec<CallView>, Refused> {
        Ok(self.store.calls_of(project, kind, page).await?)
    }

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

    async fn define(&self, wish: &Wish) -> Result<(Id, Definition), Refused> {
        let snapshot = self.catalog.snapshot();
        let view = snapshot.project(wish.project_id).ok_or(Refused::UnknownProject)?;
        if wish.selector.is_unbounded() && !wish.confirm_unbounded {
            return Err(Refused::Unbounded);
        }
        if let Some(Elsewhere::Endpoint(id)) = &wish.options.target
            && view.live_endpoint(*id).is_none()
        {
            return Err(Refused::UnknownTarget(*id));
        }
        if let Some(Elsewhere::Url { url, .. }) = &wish.options.target
            && let Ok(address) = url.parse()
            && let Some(refusal) = self.transport.refusal(&address).await
        {
            return Err(Refused::RefusedTarget(refusal));
        }
        if let Some(id) = wish.selector.replay_id
            && wish.options.target.is_none()
            && let Some(replay) = self.store.replay_by_id(wish.project_id, id).await?
            && matches!(replay.definition.options.target, Some(Elsewhere::Url { .. }))
        {
            return Err(Refused::NeedsTarget(id));
        }
        // Also the high-water mark: what it makes itself comes later.
        let (id, at) = self.ids.mint(self.clock.now());
        let definition = Definition {
            name: wish.name.clone(),
            reason: wish.reason.clone(),
            asked_by: wish.asked_by.clone(),
            created_at: at,
            selector: wish.given.clone(),
            frozen: wish.selector.freeze(at, id, view)?,
            mode: wish.selector.mode,
            options: wish.options.clone(),
            matched: None,
            sends: None,
        };
        Ok((id, definition))
    }

    /// Notes in the definition what was counted.
    async fn count(
        &self,
        wish: &Wish,
        id: Id,
        definition: &mut Definition,
        within: Duration,
        samples_max: usize,
    ) -> Result<Plan, Refused> {
        let snapshot = self.catalog.snapshot();
        let view = snapshot.project(wish.project_id).ok_or(Refused::UnknownProject)?;
        let walk = Walk { view: Arc::clone(view), replay: id, definition: definition.clone(), within, samples_max };
        let planner = Arc::clone(&self.planner);
        let work = async move { planner.plan(walk).await };
        // Whoever asked may go away: then nobody counts on.
        let counted = AbortOnDropHandle::new(self.aside.spawn(work)).await;
        let plan = counted.map_err(|cause| StoreError::Unavailable(cause.to_string()))??;
        match (wish.expected, plan.is_complete) {
            (Some(_), false) => return Err(Refused::NotCounted { counted: plan.matched }),
            (Some(expected), true) if expected != plan.matched => {
                return Err(Refused::Moved { expected, found: plan.matched });
            }
            _ => {}
        }
        if plan.is_complete {
            definition.matched = Some(plan.matched);
            definition.sends = Some(Sends { all: plan.to_send(), busiest: plan.busiest });
        }
        Ok(plan)
    }
}

/// What a write that failed says nothing of: whether it is in the store all the same. `found` looks.
async fn unless_it_worked<T, F>(
    written: Result<T, StoreError>,
    look: impl Future<Output = Result<F, StoreError>>,
    found: impl FnOnce(F) -> Option<T>,
) -> Result<T, StoreError> {
    match written {
        Err(cause @ (StoreError::Unavailable(_) | StoreError::TooSlow)) => look.await.ok().and_then(found).ok_or(cause),
        other => other,
    }
}

async fn one(store: Arc<dyn Store>, id: Id) -> Result<Option<Replay>, StoreError> {
    Ok(store.replays_among(vec![id]).await?.into_iter().next())
}

/// The change is made, so a look that fails is no failure: whom nothing is known of has not confirmed.
async fn all_told<F>(within: Duration, look: impl Fn() -> F) -> Acknowledged
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
