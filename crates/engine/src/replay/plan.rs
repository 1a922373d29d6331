//! What a replay would do, before it does it: counted over the very walk a run takes.

use super::items::{self, Planned};
use super::page::past_the_one_taken;
use crate::deliver::{Rendered, Sampler};
use dacapo_model::catalog::ProjectView;
use dacapo_model::replay::Definition;
use dacapo_model::{Clock, Frozen, Id, Timestamp};
use dacapo_store::roles::{Load, Place, ScanItem, ScanPage, ScanRequest};
use dacapo_store::{Store, StoreError};
use std::borrow::Borrow;
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
            add(&mut self.per_endpoint, &target.endpoint_id);
            add(&mut self.per_event_type, event.event_type.as_str());
        }
        if !planned.is_empty() {
            self.events += u64::from(!is_more);
            self.oldest = Some(self.oldest.map_or(event.created_at, |oldest| oldest.min(event.created_at)));
            self.newest = self.newest.max(Some(event.created_at));
        }
    }
}

fn add<K, Q>(counts: &mut BTreeMap<K, u64>, key: &Q)
where
    K: Ord + Borrow<Q>,
    Q: Ord + ToOwned<Owned = K> + ?Sized,
{
    if let Some(count) = counts.get_mut(key) {
        *count += 1;
    } else if counts.len() < GROUPS_MAX {
        counts.insert(key.to_owned(), 1);
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
    let until = clock.now().plus(walk.within);
    let once = walk.definition.options.target.is_some();
    let selector = Arc::new(walk.definition.frozen.clone());
    let mut counting = Counting { walk, selector, sampler, plan: Plan::default(), last: None };
    let mut page = store.scan(counting.request(None)).await?;
    loop {
        // The next page is read while this one is counted, where it does not hang on that.
        let ahead = page.next.filter(|_| !once && !counting.wants_samples());
        let request = ahead.map(|after| counting.request(Some(after)));
        let read_ahead = async {
            match request {
                Some(request) => store.scan(request).await.map(Some),
                None => Ok(None),
            }
        };
        let (read, counted) = tokio::join!(read_ahead, counting.take(&page));
        counted?;
        let after = if once { past_the_one_taken(page.next, counting.last) } else { page.next };
        let Some(after) = after else {
            counting.plan.is_complete = true;
            return Ok(counting.plan);
        };
        if clock.now() >= until {
            return Ok(counting.plan);
        }
        page = match read? {
            Some(page) => page,
            None => store.scan(counting.request(Some(after))).await?,
        };
    }
}

struct Counting {
    walk: Walk,
    selector: Arc<Frozen>,
    sampler: Arc<Sampler>,
    plan: Plan,
    /// The last event of which something was counted.
    last: Option<Id>,
}

impl Counting {
    fn wants_samples(&self) -> bool {
        self.plan.samples.len() < self.walk.samples_max
    }

    fn request(&self, after: Option<Place>) -> ScanRequest {
        let wants_samples = self.wants_samples();
        ScanRequest {
            project: self.walk.view.project.id,
            selector: Arc::clone(&self.selector),
            ascending: true,
            after,
            rows_max: PAGE_ROWS_MAX,
            items_max: if wants_samples { SAMPLES_MAX } else { PAGE_EVENTS_MAX },
            deliveries_max: PAGE_DELIVERIES_MAX,
            load: Load { data: wants_samples || self.selector.needs_routing(), deliveries: true },
        }
    }

    async fn take(&mut self, page: &ScanPage) -> Result<(), StoreError> {
        let Walk { view, replay, definition, .. } = &self.walk;
        self.plan.scanned += page.rows;
        for (n, item) in page.items.iter().enumerate() {
            if n % EVENTS_AT_ONCE == EVENTS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let planned = items::of(view, *replay, definition, item);
            self.plan.count(item, &planned, self.last == Some(item.event.id));
            if !planned.is_empty() {
                self.last = Some(item.event.id);
            }
            for one in planned.iter().filter(|one| one.target.discarded.is_none()) {
                if self.wants_samples() {
                    let sample = self.sampler.render(view, *replay, definition, &item.event, &one.target).await?;
                    self.plan.samples.extend(sample);
                }
            }
        }
        Ok(())
    }
}
