//! What a selected event becomes in a replay: an item for each endpoint that is meant. Plan and run
//! both ask here, so a plan counts what a run makes.

use crate::route;
use dacapo_model::catalog::ProjectView;
use dacapo_model::delivery::Reason;
use dacapo_model::event::Target;
use dacapo_model::replay::{Definition, Elsewhere};
use dacapo_model::selector::Pair;
use dacapo_model::{Delivery, Id, Mode, Status, routing};
use dacapo_store::roles::ScanItem;

/// An item to be.
#[derive(Clone, Debug)]
pub struct Planned {
    pub target: Target,
    /// Some delivery of this event to the endpoint it was meant for had succeeded when the replay began.
    pub already_succeeded: bool,
    /// And when this was read.
    pub has_reached: bool,
}

/// By id of the endpoint. `replay`: under whose id an address goes that is nobody's endpoint.
pub fn of(view: &ProjectView, replay: Id, definition: &Definition, item: &ScanItem) -> Vec<Planned> {
    let event = &item.event;
    let mut routed: Option<Vec<Target>> = None;
    let mut pairs = item.pairs(&definition.frozen, || {
        let targets = route::again(view, event, None);
        let endpoints = targets.iter().map(|target| target.endpoint_id).collect();
        routed = Some(targets);
        endpoints
    });
    pairs.sort_unstable_by_key(|pair| pair.endpoint_id);
    // Sorted and looked up by halves: most events have one of each, for which no map is worth building.
    let mut routed = routed.unwrap_or_default();
    routed.sort_by_key(|target| target.endpoint_id);
    let successes = item.deliveries.iter().filter(|delivery| delivery.status == Status::Success);
    let mut reached: Vec<Id> = successes.map(|delivery| delivery.endpoint_id).collect();
    reached.sort_unstable();
    match &definition.options.target {
        None => {
            let to_endpoint = |pair: &Pair| {
                let before = pair.delivery_id.and_then(|id| delivery(&item.deliveries, id));
                let has_reached = reached.binary_search(&pair.endpoint_id).is_ok();
                let target = back_to(view, definition, pair, first_to(&routed, pair.endpoint_id), before);
                Planned { target, already_succeeded: pair.already_succeeded, has_reached }
            };
            pairs.iter().map(to_endpoint).collect()
        }
        // Whoever it was meant for, it goes there once.
        Some(elsewhere) => pairs.first().map(|_| elsewhere_to(view, replay, elsewhere)).into_iter().collect(),
    }
}

/// Of some in the order of their ids.
fn delivery(deliveries: &[Delivery], id: Id) -> Option<&Delivery> {
    let at = deliveries.binary_search_by_key(&id, |delivery| delivery.id).ok()?;
    deliveries.get(at)
}

/// Of some in the order of their endpoints.
fn first_to(targets: &[Target], endpoint: Id) -> Option<&Target> {
    let at = targets.partition_point(|target| target.endpoint_id < endpoint);
    targets.get(at).filter(|target| target.endpoint_id == endpoint)
}

fn back_to(
    view: &ProjectView,
    definition: &Definition,
    pair: &Pair,
    by_route: Option<&Target>,
    before: Option<&Delivery>,
) -> Target {
    let subscription_id = match (by_route, before) {
        (Some(target), _) => target.subscription_id,
        (None, Some(delivery)) => delivery.subscription_id,
        (None, None) => Id::MIN,
    };
    let subscription = view.live_subscription(subscription_id).map(|subscription| &**subscription);
    let mode = subscription.map(|subscription| subscription.delivery_mode).or(before.map(|delivery| delivery.mode));
    let skips = pair.already_succeeded && !definition.options.include_succeeded;
    let refused = match view.live_endpoint(pair.endpoint_id) {
        Some(endpoint) => routing::refusal(endpoint),
        None => Some(Reason::EndpointDeleted),
    };
    Target {
        endpoint_id: pair.endpoint_id,
        subscription_id,
        mode: mode.unwrap_or_default(),
        policy: routing::policy(view, subscription),
        discarded: if skips { Some(Reason::AlreadyDelivered) } else { refused },
    }
}

fn elsewhere_to(view: &ProjectView, replay: Id, elsewhere: &Elsewhere) -> Planned {
    let (endpoint_id, discarded) = match elsewhere {
        Elsewhere::Url { .. } => (replay, None),
        Elsewhere::Endpoint(id) => match view.live_endpoint(*id) {
            Some(endpoint) => (*id, routing::refusal(endpoint)),
            None => (*id, Some(Reason::TargetGone)),
        },
    };
    let target = Target {
        endpoint_id,
        subscription_id: Id::MIN,
        mode: Mode::default(),
        policy: routing::policy(view, None),
        discarded,
    };
    Planned { target, already_succeeded: false, has_reached: false }
}
