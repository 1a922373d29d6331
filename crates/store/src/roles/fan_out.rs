//! Fan-outs too large for one transaction: the event is stored with its first targets, the deliveries
//! of the others are written later, a part at a time, by whoever owns the event's shard.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::event::Target;
use dacapo_model::{Delivery, Event, Id, Trigger};
use std::sync::Arc;

/// Targets of a stored event whose deliveries are not written yet, in order.
#[derive(Clone, Debug)]
pub struct Part {
    pub event: Arc<Event>,
    /// The place of the first of them among all of the event's: target `n` of the part becomes the
    /// delivery `event.id.child(first + n)`.
    pub first: u32,
    pub targets: Vec<Target>,
}

impl Part {
    /// As they are born.
    pub fn deliveries(&self) -> Vec<Delivery> {
        let born = |(index, target): (u32, &Target)| {
            target.delivery(&self.event, self.event.id.child(index), Trigger::Event, None, self.event.created_at)
        };
        (self.first..).zip(&self.targets).map(born).collect()
    }
}

#[async_trait]
pub trait FanOuts: Send + Sync + 'static {
    /// Events behind `after`, oldest first and at most `most`, whose fan-out is not finished, among those
    /// whose shard this process holds. Looks at no event's contents: one that cannot be read is listed too.
    async fn unfinished(&self, after: Option<Id>, most: usize) -> Result<Vec<Id>>;

    /// The next part, of at most `targets_max` targets, of this event's fan-out. `None` when it is finished,
    /// or another process's. Reading claims nothing.
    async fn part(&self, event: Id, targets_max: usize) -> Result<Option<Part>>;

    /// That of the oldest fan-out, for who goes through all of them one after the other.
    async fn next_part(&self, targets_max: usize) -> Result<Option<Part>> {
        let Some(oldest) = self.unfinished(None, 1).await?.first().copied() else { return Ok(None) };
        self.part(oldest, targets_max).await
    }

    /// Writes a part's deliveries, and that the fan-out goes on behind it, in one transaction. From then
    /// on [`super::Queue::due`] gives them; owners of the others' shards are told. `false`, and nothing
    /// is written, when the fan-out is somewhere else by now: another process wrote this part.
    async fn unfold(&self, part: &Part) -> Result<bool>;
}
