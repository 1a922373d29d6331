//! Which endpoints of a selected event are meant.

use super::{Frozen, SetMode};
use crate::delivery::{Delivery, Reason, Status, Trigger};
use crate::event::Event;
use crate::id::{Id, IdMap, IdSet};
use std::collections::HashSet;

/// An event is meant for this endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub endpoint_id: Id,
    /// The newest delivery that makes it so; for endpoints that match today, the newest they got.
    /// `None`: they got none.
    pub delivery_id: Option<Id>,
    /// Some delivery to this endpoint succeeded, of those the selector looks at.
    pub already_succeeded: bool,
}

impl Frozen {
    /// For an event that [`Frozen::admits`]: each endpoint at most once, oldest delivery first or as
    /// routing gives them. `deliveries`: all of the event, in any order; those born after the
    /// high-water mark are not looked at, so what a run makes does not change what it means.
    /// `matching`: the endpoints that match the event today, in order; asked only when
    /// [`Frozen::needs_routing`].
    pub fn pairs(&self, event: &Event, deliveries: &[Delivery], matching: impl FnOnce() -> Vec<Id>) -> Vec<Pair> {
        if !self.reaches(event, deliveries) {
            return Vec::new();
        }
        self.pairs_of_reached(event, deliveries, matching)
    }

    /// The same for an event that is known to be one that [`Frozen::reaches`]. Both lists may then be cut
    /// down to some of its endpoints: what is meant of those is said.
    pub fn pairs_of_reached(
        &self,
        event: &Event,
        deliveries: &[Delivery],
        matching: impl FnOnce() -> Vec<Id>,
    ) -> Vec<Pair> {
        let counts = |one: &&Delivery| {
            one.id <= self.parts().high_water
                && self.wants_endpoint(one.endpoint_id)
                && (self.parts().replay_id.is_some() || !is_to_an_address(one))
        };
        let mut known: Vec<&Delivery> = deliveries.iter().filter(counts).collect();
        known.sort_unstable_by_key(|delivery| delivery.id);
        self.leave_out_what_hides(&mut known);
        if self.needs_routing() {
            return self.matching_pairs(event, &known, matching());
        }
        let succeeded = with_success(&known);
        let mut pairs: Vec<Pair> = Vec::new();
        let mut place: IdMap<usize> = IdMap::default();
        for delivery in newest_of_each_subscription(&known).into_iter().filter(|delivery| self.fits(delivery)) {
            let at = *place.entry(delivery.endpoint_id).or_insert(pairs.len());
            match pairs.get_mut(at) {
                Some(pair) => pair.delivery_id = Some(delivery.id),
                None => pairs.push(Pair {
                    endpoint_id: delivery.endpoint_id,
                    delivery_id: Some(delivery.id),
                    already_succeeded: succeeded.binary_search(&delivery.endpoint_id).is_ok(),
                }),
            }
        }
        pairs
    }

    fn matching_pairs(&self, event: &Event, known: &[&Delivery], matching: Vec<Id>) -> Vec<Pair> {
        let is_backfill = self.parts().mode == SetMode::Missing;
        // A duplicate stands for an event that has deliveries of its own.
        if is_backfill && event.is_duplicate {
            return Vec::new();
        }
        let succeeded = with_success(known);
        let mut by_endpoint: Vec<(Id, Id)> = known.iter().map(|delivery| (delivery.endpoint_id, delivery.id)).collect();
        by_endpoint.sort_unstable();
        let newest = |endpoint: Id| {
            let behind = by_endpoint.partition_point(|(of, _)| *of <= endpoint);
            by_endpoint.get(..behind)?.last().filter(|(of, _)| *of == endpoint).map(|(_, delivery)| *delivery)
        };
        let tried = endpoints(known, |delivery| is_backfill && !never_tried(delivery));
        let mut taken = IdSet::default();
        let mut pairs = Vec::new();
        for endpoint_id in matching {
            if tried.binary_search(&endpoint_id).is_ok()
                || !self.wants_endpoint(endpoint_id)
                || !taken.insert(endpoint_id)
            {
                continue;
            }
            pairs.push(Pair {
                endpoint_id,
                delivery_id: newest(endpoint_id),
                already_succeeded: succeeded.binary_search(&endpoint_id).is_ok(),
            });
        }
        pairs
    }

    /// An item of a replay that was never tried (its replay was over, the endpoint paused, or had had the event)
    /// says nothing of how the event fared there, which an older delivery does. It is meant where that replay is
    /// asked for, where it is all there is, and where what was given up is asked for, unless for being needless.
    fn leave_out_what_hides(&self, known: &mut Vec<&Delivery>) {
        let asked = self.parts().replay_id;
        let says_nothing = |one: &Delivery| {
            let is_asked_for = asked.is_some() && one.replay_id == asked;
            let was_needless = one.reason == Some(Reason::AlreadyDelivered);
            let counts = is_asked_for || self.parts().mode == SetMode::Discarded && !was_needless;
            one.trigger == Trigger::Replay && never_tried(one) && !counts
        };
        if !known.iter().any(|one| says_nothing(one)) {
            return;
        }
        let way = |one: &Delivery| (one.endpoint_id, one.subscription_id);
        let spoken: HashSet<(Id, Id)> = known.iter().filter(|one| !says_nothing(one)).map(|one| way(one)).collect();
        known.retain(|one| !(says_nothing(one) && spoken.contains(&way(one))));
    }

    /// What is asked of one delivery.
    fn fits(&self, delivery: &Delivery) -> bool {
        let parts = self.parts();
        let by_mode = match parts.mode {
            SetMode::Failed => delivery.status == Status::Failure,
            SetMode::Discarded => delivery.status == Status::Discarded,
            SetMode::All | SetMode::Missing => true,
        };
        by_mode
            && (parts.delivery_status.is_empty()
                || parts.delivery_status.iter().any(|asked| asked.0 == delivery.status))
            && (parts.http_status.is_empty()
                || parts.http_status.iter().any(|asked| asked.fits(delivery.last_status, delivery.attempts)))
            && parts.attempts_min.is_none_or(|min| delivery.attempts >= min)
            && parts.replay_id.is_none_or(|replay| delivery.replay_id == Some(replay))
            && (parts.subscriptions.is_empty() || parts.subscriptions.contains(&delivery.subscription_id))
    }
}

/// Of a replay to a URL of its own: under the replay's id it went to no endpoint, and says nothing of any.
fn is_to_an_address(delivery: &Delivery) -> bool {
    delivery.replay_id == Some(delivery.endpoint_id)
}

/// Paused or switched off when the event came: a row for the record, nothing was sent.
fn never_tried(delivery: &Delivery) -> bool {
    delivery.status == Status::Discarded && delivery.attempts == 0
}

/// The endpoints some delivery reached, sorted.
fn with_success(known: &[&Delivery]) -> Vec<Id> {
    endpoints(known, |delivery| delivery.status == Status::Success)
}

/// Sorted: most events have one delivery, for which no set is worth building.
fn endpoints(known: &[&Delivery], of: impl Fn(&Delivery) -> bool) -> Vec<Id> {
    let mut endpoints: Vec<Id> =
        known.iter().filter(|delivery| of(delivery)).map(|delivery| delivery.endpoint_id).collect();
    endpoints.sort_unstable();
    endpoints
}

/// `known` oldest first; so is the result.
fn newest_of_each_subscription<'d>(known: &[&'d Delivery]) -> Vec<&'d Delivery> {
    let mut seen = HashSet::new();
    let is_newest = |delivery: &&'d Delivery| seen.insert((delivery.endpoint_id, delivery.subscription_id));
    let mut newest: Vec<&Delivery> = known.iter().rev().copied().filter(is_newest).collect();
    newest.reverse();
    newest
}
