//! Convoy's batch calls as replays (docs/replay.md): they survive a crash, let live traffic go first, can
//! be watched and cancelled, and say who asked. What a caller of Convoy sees are its texts and counts.

use super::error::Error;
use super::replays::asker;
use crate::Shared;
use aws_lc_rs::digest;
use dacapo_control::Caller;
use dacapo_engine::{Refused, Wish};
use dacapo_model::replay::Options;
use dacapo_model::{Replay, Selector};

/// A replay to start on a caller's behalf.
pub struct Batch {
    pub name: &'static str,
    pub selector: Selector,
    pub include_succeeded: bool,
    /// The same key starts one replay.
    pub key: Option<String>,
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
