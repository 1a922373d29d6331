//! Large fan-outs: what a commit leaves for later (design §2).
//!
//! - In: fan-outs that are not finished, read from the store a part at a time.
//! - Out: their deliveries, written and handed to dispatch, without reading them back.
//! - Promise: a broadcast is acknowledged with its first deliveries
//!   ([`crate::settings::Settings::fan_out_at_once_max`]); the others follow from the store, which knows how far it is, whichever node goes on and however often it dies.
//!   Fan-outs take turns, a part each, and other commits come in between parts.
//! - Failure: a part that cannot be read or written is tried again after a rest; the others go on meanwhile.

mod resting;
#[cfg(test)]
mod tests;

use self::resting::Resting;
use crate::dispatch::{Dispatcher, Work};
use dacapo_model::event::Target;
use dacapo_model::{Clock, Id};
use dacapo_store::Result;
use dacapo_store::roles::FanOuts;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The slow poll under the words.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After the store could not say what there is, and while some rest.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Listed at once; those behind them have their turn after these.
const LISTED_MAX: usize = 64;

/// Takes what is too much for one transaction off the end.
pub fn later(targets: &mut Vec<Target>, at_once_max: usize) -> Vec<Target> {
    if targets.len() <= at_once_max { Vec::new() } else { targets.split_off(at_once_max) }
}

/// Goes on with fan-outs that are not finished.
pub struct Unfolder {
    pub store: Arc<dyn FanOuts>,
    pub dispatcher: Arc<Dispatcher>,
    pub clock: Arc<dyn Clock>,
    /// Told when there may be one.
    pub begun: Arc<Notify>,
    /// Targets of one part: what other commits wait for at most while a fan-out goes on.
    pub part_targets_max: usize,
}

impl Unfolder {
    /// Runs until `stop`, which takes effect between two parts.
    pub async fn run(self, stop: CancellationToken) {
        let mut resting = Resting::default();
        while !stop.is_cancelled() {
            let pause = match self.round(&mut resting, &stop).await {
                Ok(true) => continue,
                Ok(false) if resting.is_empty(self.clock.now()) => LOOK_EVERY,
                Ok(false) => AGAIN_AFTER,
                Err(cause) => {
                    tracing::warn!(%cause, "large fan-outs could not be looked for; trying again");
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

    /// A part of each that does not rest. `false` when there was nothing to go on with.
    async fn round(&self, resting: &mut Resting, stop: &CancellationToken) -> Result<bool> {
        let (mut after, mut went_on) = (None, false);
        loop {
            let listed = self.store.unfinished(after, LISTED_MAX).await?;
            for event in &listed {
                if stop.is_cancelled() {
                    return Ok(went_on);
                }
                went_on |= self.turn(*event, resting).await;
            }
            after = listed.last().copied();
            if listed.len() < LISTED_MAX {
                return Ok(went_on);
            }
        }
    }

    async fn turn(&self, event: Id, resting: &mut Resting) -> bool {
        if resting.rests(event, self.clock.now()) {
            return false;
        }
        match self.unfold(event).await {
            Ok(went_on) => {
                resting.end(event);
                went_on
            }
            Err(cause) => {
                let rest = resting.begin(event, &cause, self.clock.now());
                tracing::warn!(%cause, %event, rest_ms = rest.as_millis(), "a large fan-out could not be continued; trying again");
                false
            }
        }
    }

    /// `false` when it is finished, or another node's by now.
    async fn unfold(&self, event: Id) -> Result<bool> {
        let Some(part) = self.store.part(event, self.part_targets_max).await? else { return Ok(false) };
        let work = |delivery| Work { delivery, event: Arc::clone(&part.event) };
        let rows: Vec<Work> = part.deliveries().into_iter().map(work).collect();
        let places = self.dispatcher.place_rows(&rows);
        let written = self.store.unfold(&part).await;
        self.dispatcher.offer_rows(rows, &places, matches!(written, Ok(true)), None);
        written.map(|_| true)
    }
}
