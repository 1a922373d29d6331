//! Large fan-outs: what a commit leaves for later (design §2).
//!
//! - In: fan-outs that are not finished, read from the store a part at a time.
//! - Out: their deliveries, written and handed to dispatch, without reading them back.
//! - Promise: a broadcast is acknowledged with its first deliveries
//!   ([`crate::settings::Settings::fan_out_at_once_max`]); the others follow from the store, which knows how far it is, whichever node goes on and however often it dies.
//!   Other commits come in between parts.
//! - Failure: a part that cannot be written is tried again.

use crate::dispatch::Dispatcher;
use dacapo_model::event::Target;
use dacapo_store::roles::{FanOuts, Part};
use dacapo_store::{Result, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The slow poll under the words.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a part that could not be read or written.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Takes what is too much for one transaction off the end.
pub fn later(targets: &mut Vec<Target>, at_once_max: usize) -> Vec<Target> {
    if targets.len() <= at_once_max { Vec::new() } else { targets.split_off(at_once_max) }
}

/// Goes on with fan-outs that are not finished.
pub struct Unfolder {
    pub store: Arc<dyn Store>,
    pub dispatcher: Arc<Dispatcher>,
    /// Told when there may be one.
    pub begun: Arc<Notify>,
    /// Targets of one part: what other commits wait for at most while a fan-out goes on.
    pub part_targets_max: usize,
}

impl Unfolder {
    /// Runs until `stop`, which takes effect between two parts.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.next().await {
                Ok(true) => continue,
                Ok(false) => LOOK_EVERY,
                Err(cause) => {
                    tracing::warn!(%cause, "a large fan-out could not be continued; trying again");
                    AGAIN_AFTER
                }
            };
            tokio::select! {
                () = self.begun.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// `false` when there is nothing to go on with.
    async fn next(&self) -> Result<bool> {
        let Some(part) = FanOuts::next_part(&*self.store, self.part_targets_max).await? else {
            return Ok(false);
        };
        self.unfold(&part).await.map(|()| true)
    }

    async fn unfold(&self, part: &Part) -> Result<()> {
        let deliveries = part.deliveries();
        let places = self.dispatcher.place_part(&part.event, &deliveries);
        let written = self.store.unfold(part).await;
        self.dispatcher.offer_part(&part.event, deliveries, &places, matches!(written, Ok(true)));
        written.map(drop)
    }
}
