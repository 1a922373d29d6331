//! `GET ~/eventdeliveries/{id}/deliveryattempts` and `…/{attempt}` (§2.5).

use crate::convoy::error::Error;
use crate::convoy::view::attempt::AttemptView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use crate::{Api, Shared};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_engine::Refused;
use dacapo_model::Delivery;
use dacapo_model::replay::AsOf;

/// A list shows the newest this many, as upstream.
const LISTED_MAX: usize = 10;
/// A single attempt is looked for among the newest this many.
const SEARCHED_MAX: usize = 1_000;

/// A bare array, oldest first.
pub async fn attempts(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let delivery = delivery(&shared, &caller, &path).await?;
    let found = shared.store.attempts(caller.project_id(), delivery.id, LISTED_MAX).await?;
    let as_of = as_of(&shared, &caller, &delivery).await?;
    let views: Vec<_> = found.iter().map(|attempt| AttemptView::new(attempt, &delivery, as_of)).collect();
    Ok(envelope::ok("Event delivery attempts fetched successfully", views))
}

pub async fn attempt(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let delivery = delivery(&shared, &caller, &path).await?;
    let found = shared.store.attempts(caller.project_id(), delivery.id, SEARCHED_MAX).await?;
    let attempt = found.iter().find(|attempt| Some(attempt.id) == path.attempt);
    let attempt = attempt.ok_or(Error::bad("event delivery attempt not found"))?;
    let as_of = as_of(&shared, &caller, &delivery).await?;
    Ok(envelope::ok("Event delivery attempt fetched successfully", AttemptView::new(attempt, &delivery, as_of)))
}

/// Which state of its endpoint's configuration a replay asked its requests to be made with. `None`: no replay,
/// or one to somewhere else.
async fn as_of(shared: &Shared, caller: &Caller, delivery: &Delivery) -> Result<Option<AsOf>, Error> {
    let Some(replay) = delivery.replay_id else { return Ok(None) };
    match shared.engine.replays().get(caller.project_id(), replay).await {
        Ok(run) => Ok(Some(run.definition.options).filter(|options| options.target.is_none()).map(|o| o.as_of)),
        // A single call, which has no such options.
        Err(Refused::Unknown) => Ok(Some(AsOf::default())),
        Err(refused) => Err(refused.into()),
    }
}

async fn delivery(shared: &Shared, caller: &Caller, path: &Named) -> Result<Delivery, Error> {
    let unknown = || Error::bad("event delivery not found");
    let id = path.id.ok_or_else(unknown)?;
    let found = shared.store.delivery(caller.project_id(), id).await?.ok_or_else(unknown)?;
    Ok(found.delivery)
}
