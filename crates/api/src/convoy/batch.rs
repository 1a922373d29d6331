//! Convoy's batch calls as replays (docs/replay.md): they survive a crash, let live traffic go first, can
//! be watched and cancelled, and say who asked. What a caller of Convoy sees are its texts and counts.

use super::error::Error;
use super::events::search::freeze_now;
use super::replays::asker;
use crate::Shared;
use aws_lc_rs::digest;
use dacapo_control::Caller;
use dacapo_engine::{Refused, Wish};
use dacapo_model::replay::Options;
use dacapo_model::{Id, Replay, Selector};
use dacapo_store::roles::Page;

/// Of the newest replays, when the same is looked for.
const OPEN_LOOKED_AT: usize = 100;
/// Replays read at once while looking for the newest of a name.
const PAGE_REPLAYS: usize = 100;

/// A replay to start on a caller's behalf.
pub struct Batch {
    pub name: &'static str,
    pub selector: Selector,
    pub include_succeeded: bool,
    /// The same key starts one replay.
    pub key: Option<String>,
}

/// Whether the same is under way already: a caller who lost patience and asks again must not have
/// everything sent twice.
pub async fn is_open(shared: &Shared, caller: &Caller, batch: &Batch) -> Result<bool, Error> {
    let wanted = freeze_now(shared, caller.project_id(), &batch.selector)?;
    let newest = Page { limit: OPEN_LOOKED_AT, from: None, ascending: false };
    let replays = shared.engine.replays().list(caller.project_id(), Vec::new(), newest).await?;
    let is_same = |replay: &Replay| replay.definition.name == batch.name && replay.definition.frozen.meets(&wanted);
    Ok(replays.iter().any(|replay| !replay.control.state.is_over() && is_same(replay)))
}

/// Of this name. A key made of its id starts one replay, whoever else asks at the same moment, on any node: they all name
/// the same one before.
pub async fn newest(shared: &Shared, project: Id, name: &str) -> Result<Option<Replay>, Error> {
    let mut page = Page { limit: PAGE_REPLAYS + 1, from: None, ascending: false };
    loop {
        let mut replays = shared.engine.replays().list(project, Vec::new(), page).await?;
        let next = if replays.len() > PAGE_REPLAYS { replays.pop() } else { None };
        if let Some(found) = replays.into_iter().find(|replay| replay.definition.name == name) {
            return Ok(Some(found));
        }
        let Some(next) = next else { return Ok(None) };
        page.from = Some(next.id);
    }
}

/// The replay, and whether the key had started it before.
pub async fn start(shared: &Shared, caller: &Caller, batch: Batch) -> Result<(Replay, bool), Error> {
    let given = serde_json::to_value(&batch.selector).unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, batch.name.as_bytes());
    let fingerprint = digest.as_ref().try_into().unwrap_or_default();
    let wish = Wish {
        project_id: caller.project_id(),
        name: batch.name.to_owned(),
        reason: String::new(),
        asked_by: asker(caller),
        given,
        selector: batch.selector,
        options: Options { include_succeeded: batch.include_succeeded, ..Options::default() },
        expected: None,
        confirm_unbounded: true,
        key: batch.key.map(|key| (key, fingerprint)),
    };
    shared.engine.replays().start(wish).await.map_err(|refused| match refused {
        // Convoy's clients know 400.
        said @ Refused::TooMany { .. } => Error::bad(said.to_string()),
        other => other.into(),
    })
}
