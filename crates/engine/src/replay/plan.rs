//! What a replay would do, before it does it: counted over the very walk a run takes.

use super::items::{self, Planned};
use super::page::past_the_one_taken;
use crate::deliver::{Rendered, Sampler};
use dacapo_model::catalog::ProjectView;
use dacapo_model::replay::Definition;
use dacapo_model::{Clock, Id, Timestamp};
use dacapo_store::roles::{Load, ScanItem, ScanRequest};
use dacapo_store::{Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Events, and rows, of one page of the walk.
const PAGE_EVENTS_MAX: usize = 1_000;
const PAGE_ROWS_MAX: usize = 10_000;
/// Deliveries of one page, and at most twice as many.
const PAGE_DELIVERIES_MAX: usize = 10_000;
/// Events between two of which others that share the thread get their turn.
const EVENTS_AT_ONCE: usize = 64;
/// Endpoints, and event types, that are listed each by itself; the others are counted in the sum only.
pub const GROUPS_MAX: usize = 1_000;
/// Requests shown.
pub const SAMPLES_MAX: usize = 3;

#[derive(Clone, Debug, Default)]
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

    /// `is_more`: of an event that was counted.
    fn count(&mut self, item: &ScanItem, planned: &[Planned], is_more: bool) {
        let event = &item.event;
        for Planned { target, already_succeeded, .. } in planned {
            self.matched += 1;
            self.already_succeeded += u64::from(*already_succeeded);
            match target.discarded {
                Some(reason) => *self.skipped.entry(reason.as_str()).or_default() += 1,
                None => self.bytes += item.data_bytes as u64,
            }
            add(&mut self.per_endpoint, target.endpoint_id);
            add(&mut self.per_event_type, event.event_type.clone());
        }
        if !planned.is_empty() {
            self.events += u64::from(!is_more);
            self.oldest = Some(self.oldest.map_or(event.created_at, |oldest| oldest.min(event.created_at)));
            self.newest = self.newest.max(Some(event.created_at));
        }
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    let is_full = counts.len() >= GROUPS_MAX;
    match counts.get_mut(&key) {
        Some(count) => *count += 1,
        None if is_full => {}
        None => {
            counts.insert(key, 1);
        }
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

/// Of the first few items the request is rendered.
pub async fn plan(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    walk: Walk,
    sampler: Arc<Sampler>,
) -> Result<Plan, StoreError> {
    let Walk { view, replay, definition, within, samples_max } = walk;
    let until = clock.now().plus(within);
    let selector = Arc::new(definition.frozen.clone());
    let mut plan = Plan::default();
    let once = definition.options.target.is_some();
    let (mut after, mut last) = (None, None);
    loop {
        let wants_samples = plan.samples.len() < samples_max;
        let request = ScanRequest {
            project: view.project.id,
            selector: Arc::clone(&selector),
            ascending: true,
            after,
            rows_max: PAGE_ROWS_MAX,
            items_max: if wants_samples { SAMPLES_MAX } else { PAGE_EVENTS_MAX },
            deliveries_max: PAGE_DELIVERIES_MAX,
            load: Load { data: wants_samples || definition.frozen.needs_routing(), deliveries: true },
        };
        let page = store.scan(request).await?;
        plan.scanned += page.rows;
        for (n, item) in page.items.iter().enumerate() {
            if n % EVENTS_AT_ONCE == EVENTS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let planned = items::of(&view, replay, &definition, item);
            plan.count(item, &planned, last == Some(item.event.id));
            if !planned.is_empty() {
                last = Some(item.event.id);
            }
            for one in planned.iter().filter(|one| one.target.discarded.is_none()) {
                if plan.samples.len() < samples_max {
                    let sample = sampler.render(&view, replay, &definition, &item.event, &one.target).await?;
                    plan.samples.extend(sample);
                }
            }
        }
        after = if once { past_the_one_taken(page.next, last) } else { page.next };
        if after.is_none() {
            plan.is_complete = true;
            return Ok(plan);
        }
        if clock.now() >= until {
            return Ok(plan);
        }
    }
}
