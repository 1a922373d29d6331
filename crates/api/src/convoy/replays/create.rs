//! `POST ~/replays`: starts one, or with `dry_run` says what it would do.

use super::{asker, body};
use crate::convoy::payload::Payload;
use crate::convoy::view::plan::PlanView;
use crate::convoy::view::replay::ReplayView;
use crate::convoy::{Outcome, envelope};
use crate::{Api, Shared};
use aws_lc_rs::digest;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_engine::Wish;
use dacapo_store::StoreError;

pub async fn create(State(shared): Api, Extension(caller): Extension<Caller>, Payload(bytes): Payload) -> Outcome {
    let https_only = caller.project.project.config.ssl.enforce_secure_endpoints;
    let written = body::read(&bytes, https_only)?;
    let fingerprint = || {
        let digest = digest::digest(&digest::SHA256, written.canonical.as_bytes());
        digest.as_ref().try_into().unwrap_or_default()
    };
    let wish = Wish {
        project_id: caller.project_id(),
        name: written.name,
        reason: written.reason,
        asked_by: asker(&caller),
        given: written.given,
        selector: written.selector,
        options: written.options,
        expected: written.expected,
        confirm_unbounded: written.confirm_unbounded,
        key: written.key.map(|key| (key, fingerprint())),
    };
    if let Some(unknown) = shared.engine.searcher().find_unknown(wish.project_id, &wish.selector).await?
        && !was_asked_before(&shared, &wish).await?
    {
        return Err(body::of_selector(unknown));
    }
    let desk = shared.engine.replays();
    if written.dry_run {
        let (definition, plan) = desk.plan(wish).await?;
        return Ok(envelope::ok("Replay planned", PlanView::new(&definition, &plan, &caller.project)));
    }
    let (replay, is_repeated) = desk.start(wish).await?;
    let view = ReplayView::new(&replay, shared.now());
    Ok(if is_repeated {
        envelope::ok("Replay started before", view)
    } else {
        envelope::created("Replay started", view)
    })
}

/// What the first call named may be gone since; the second has its answer all the same.
async fn was_asked_before(shared: &Shared, wish: &Wish) -> Result<bool, StoreError> {
    let Some((key, _)) = &wish.key else { return Ok(false) };
    Ok(shared.engine.replays().store.replay_by_key(wish.project_id, key.clone()).await?.is_some())
}
