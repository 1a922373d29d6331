//! What a replay would do, before it does it: counted over the very walk a run takes.
//!
//! - In: a frozen definition. Out: counts, and the first few requests as they would go out.
//! - Promise: what one walk from end to end counts, whether it was cut in segments or not. A long walk is cut
//!   ([`dacapo_store::roles::Scan::cut`]) and some segments are counted side by side; each has two pages in memory.
//! - Failure: the store's; when time is up, what was counted by then.

mod groups;
mod part;
mod segment;
#[cfg(test)]
mod tests;

use crate::deliver::{Rendered, Sampler};
use dacapo_model::catalog::ProjectView;
use dacapo_model::replay::Definition;
use dacapo_model::{Clock, Id, Timestamp};
use dacapo_store::roles::Place;
use dacapo_store::{Store, StoreError};
use part::Part;
use segment::{Counting, Segment};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::AbortOnDropHandle;

/// Events a segment of a walk looks at. Finding where it ends costs a few hundredths of walking it.
const SEGMENT_EVENTS: usize = 16_384;
/// Segments of a plan that are counted beside its first: reading and counting take turns within each, and three of
/// them keep two cores busy.
const SEGMENTS_BESIDE_MAX: usize = 2;
/// Plans that may do so: each segment takes a reader of the store's, and requests want some too.
const PLANS_SIDE_BY_SIDE_MAX: usize = 1;
/// Endpoints, and event types, that are listed each by itself; the others are counted in the sum only.
pub const GROUPS_MAX: usize = 1_000;
/// Requests shown.
pub const SAMPLES_MAX: usize = 3;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Items a run makes, those to be skipped included.
    pub matched: u64,
    pub events: u64,
    /// Items whose endpoint has had the event.
    pub already_succeeded: u64,
    /// Items that would be born discarded, by why.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Bytes of payload that would be sent.
    pub bytes: u64,
    pub per_endpoint: BTreeMap<Id, u64>,
    /// Items that would be sent to the endpoint that would get most, of the first [`GROUPS_MAX`].
    pub busiest: u64,
    pub per_event_type: BTreeMap<String, u64>,
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    pub scanned: u64,
    /// `false`: time was up, and this is what was counted by then.
    pub is_complete: bool,
    pub samples: Vec<Rendered>,
}

impl Plan {
    /// Those that would be sent.
    pub fn to_send(&self) -> u64 {
        self.matched.saturating_sub(self.skipped.values().sum())
    }
}

/// Which set is walked, and how far.
pub struct Walk {
    pub view: Arc<ProjectView>,
    /// The id it has, or would have.
    pub replay: Id,
    pub definition: Definition,
    pub within: Duration,
    pub samples_max: usize,
}

/// Counts plans.
pub struct Planner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sampler: Arc<Sampler>,
    side_by_side: Semaphore,
    segment_events: usize,
}

impl Planner {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, sampler: Arc<Sampler>) -> Self {
        let side_by_side = Semaphore::new(PLANS_SIDE_BY_SIDE_MAX);
        Self { store, clock, sampler, side_by_side, segment_events: SEGMENT_EVENTS }
    }

    /// Of the first few items the request is rendered.
    pub async fn plan(&self, walk: Walk) -> Result<Plan, StoreError> {
        let samples_max = walk.samples_max;
        let counting = Counting::new(Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.sampler), walk);
        let counting = Arc::new(counting);
        let mut sum = Part::first();
        // In the order of the walk.
        let mut under_way: VecDeque<AbortOnDropHandle<Result<Part, StoreError>>> = VecDeque::new();
        let mut beside = None;
        let (mut after, mut is_all_begun) = (None, false);
        loop {
            while !is_all_begun && self.has_place(under_way.len(), &mut beside) {
                let upto =
                    self.store.cut(counting.request(after.map(Place::Behind), None), self.segment_events).await?;
                let samples_max = samples_max.saturating_sub(sum.samples());
                let segment = Segment { after: after.map(Place::Behind), upto, samples_max };
                let counted = Arc::clone(&counting).count(segment);
                under_way.push_back(AbortOnDropHandle::new(tokio::spawn(counted)));
                (after, is_all_begun) = (upto, upto.is_none());
            }
            let Some(next) = under_way.pop_front() else { return Ok(sum.finish()) };
            let part = next.await.map_err(|cause| StoreError::Unavailable(cause.to_string()))??;
            let is_complete = part.is_complete();
            sum.add(part, samples_max);
            if !is_complete {
                return Ok(sum.finish());
            }
        }
    }

    /// For another segment beside so many.
    fn has_place<'p>(&'p self, under_way: usize, beside: &mut Option<SemaphorePermit<'p>>) -> bool {
        if under_way > 0 && beside.is_none() {
            *beside = self.side_by_side.try_acquire().ok();
        }
        under_way == 0 || under_way <= SEGMENTS_BESIDE_MAX && beside.is_some()
    }
}
