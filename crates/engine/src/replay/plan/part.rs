//! What was counted of a part of the walk, and how parts that follow each other are added up.

use super::groups::Groups;
use super::{GROUPS_MAX, Plan};
use crate::deliver::Rendered;
use crate::replay::items::Planned;
use dacapo_model::Id;
use dacapo_store::roles::ScanItem;

/// Adding up is exact: of a part that is not the first all groups are kept, because which of them are listed says
/// what came before. They are no more than a segment has event types, and the project endpoints.
pub struct Part {
    /// But for the groups.
    plan: Plan,
    per_endpoint: Groups<Id>,
    /// Of these, the ones that are sent.
    sent_to: Groups<Id>,
    per_event_type: Groups<String>,
}

impl Part {
    pub fn first() -> Self {
        Self::listing(GROUPS_MAX)
    }

    pub fn later() -> Self {
        Self::listing(usize::MAX)
    }

    fn listing(groups_max: usize) -> Self {
        let plan = Plan { is_complete: true, ..Plan::default() };
        Self {
            plan,
            per_endpoint: Groups::of_first(groups_max),
            sent_to: Groups::of_first(groups_max),
            per_event_type: Groups::of_first(groups_max),
        }
    }

    pub fn looked_at(&mut self, rows: u64) {
        self.plan.scanned += rows;
    }

    /// `is_more`: of an event that was counted.
    pub fn count(&mut self, item: &ScanItem, planned: &[Planned], is_more: bool) {
        let (event, plan) = (&item.event, &mut self.plan);
        if planned.is_empty() {
            return;
        }
        for Planned { target, already_succeeded, .. } in planned {
            plan.already_succeeded += u64::from(*already_succeeded);
            match target.discarded {
                Some(reason) => *plan.skipped.entry(reason.as_str()).or_default() += 1,
                None => {
                    plan.bytes += item.data_bytes as u64;
                    self.sent_to.add(&target.endpoint_id, 1);
                }
            }
            self.per_endpoint.add(&target.endpoint_id, 1);
        }
        plan.matched += planned.len() as u64;
        self.per_event_type.add(event.event_type.as_str(), planned.len() as u64);
        plan.events += u64::from(!is_more);
        plan.oldest = Some(plan.oldest.map_or(event.created_at, |oldest| oldest.min(event.created_at)));
        plan.newest = plan.newest.max(Some(event.created_at));
    }

    pub fn samples(&self) -> usize {
        self.plan.samples.len()
    }

    pub fn show(&mut self, sample: Rendered) {
        self.plan.samples.push(sample);
    }

    /// Time is up.
    pub fn break_off(&mut self) {
        self.plan.is_complete = false;
    }

    pub fn is_complete(&self) -> bool {
        self.plan.is_complete
    }

    /// The part that follows this one, and of its samples as many as are missing.
    pub fn add(&mut self, next: Self, samples_max: usize) {
        let (plan, more) = (&mut self.plan, next.plan);
        plan.matched += more.matched;
        plan.events += more.events;
        plan.already_succeeded += more.already_succeeded;
        for (reason, count) in more.skipped {
            *plan.skipped.entry(reason).or_default() += count;
        }
        plan.bytes += more.bytes;
        plan.oldest = plan.oldest.into_iter().chain(more.oldest).min();
        plan.newest = plan.newest.max(more.newest);
        plan.scanned += more.scanned;
        plan.is_complete &= more.is_complete;
        let missing = samples_max.saturating_sub(plan.samples.len());
        plan.samples.extend(more.samples.into_iter().take(missing));
        self.per_endpoint.append(next.per_endpoint);
        self.sent_to.append(next.sent_to);
        self.per_event_type.append(next.per_event_type);
    }

    pub fn finish(self) -> Plan {
        let (per_endpoint, per_event_type) = (self.per_endpoint.into_map(), self.per_event_type.into_map());
        Plan { per_endpoint, busiest: self.sent_to.most(), per_event_type, ..self.plan }
    }
}
