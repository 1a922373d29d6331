//! What a selected event becomes in a replay: an item for each endpoint that is meant. Plan and run
//! both ask here, so a plan counts what a run makes.

use crate::route;
use dacapo_model::catalog::ProjectView;
use dacapo_model::delivery::Reason;
use dacapo_model::event::Target;
use dacapo_model::replay::{Definition, Elsewhere};
use dacapo_model::selector::Pair;
use dacapo_model::{Id, Mode, routing};
use dacapo_store::roles::ScanItem;

/// An item to be.
pub struct Planned {
    pub target: Target,
    /// Some delivery of this event to the endpoint it was meant for succeeded.
    pub already_succeeded: bool,
}

/// `replay`: under whose id an address goes that is nobody's endpoint.
pub fn of(view: &ProjectView, replay: Id, definition: &Definition, item: &ScanItem) -> Vec<Planned> {
    let event = &item.event;
    let mut routed: Option<Vec<Target>> = None;
    let pairs = definition.frozen.pairs(event, &item.deliveries, || {
        let targets = route::again(view, event, None);
        let endpoints = targets.iter().map(|target| target.endpoint_id).collect();
        routed = Some(targets);
        endpoints
    });
    let routed = routed.unwrap_or_default();
    match &definition.options.target {
        None => pairs.iter().map(|pair| back_to(view, definition, item, pair, &routed)).collect(),
        // Whoever it was meant for, it goes there once.
        Some(elsewhere) => pairs.first().map(|_| elsewhere_to(view, replay, elsewhere)).into_iter().collect(),
    }
}

fn back_to(view: &ProjectView, definition: &Definition, item: &ScanItem, pair: &Pair, routed: &[Target]) -> Planned {
    let by_route = routed.iter().find(|target| target.endpoint_id == pair.endpoint_id);
    let before = pair.delivery_id.and_then(|id| item.deliveries.iter().find(|delivery| delivery.id == id));
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
    let target = Target {
        endpoint_id: pair.endpoint_id,
        subscription_id,
        mode: mode.unwrap_or_default(),
        policy: routing::policy(view, subscription),
        discarded: if skips { Some(Reason::AlreadyDelivered) } else { refused },
    };
    Planned { target, already_succeeded: pair.already_succeeded }
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
    Planned { target, already_succeeded: false }
}
