//! Planning a replay, and starting one.

use super::{Desk, OPEN_REPLAYS_MAX, PLAN_TIME_MAX, Refused, Wish, one, unless_it_worked};
use crate::replay::plan::{Plan, SAMPLES_MAX, Walk};
use dacapo_model::replay::{Control, Counts, Definition, Elsewhere, Progress, Sends};
use dacapo_model::{Id, Replay};
use dacapo_store::StoreError;
use dacapo_store::roles::{NewReplayRun, ReplayCreated};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// How long a start without `expected_count` counts beforehand; then the total stays unknown.
const COUNT_TIME_MAX: Duration = Duration::from_secs(5);

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
        match self.count(&wish, id, &mut definition, within, 0).await {
            // As when the time for it is up: the total stays unknown.
            Err(Refused::Store(StoreError::TooSlow)) if wish.expected.is_none() => {}
            counted => drop(counted?),
        }
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
