//! Which subscriptions an event matches (contracts/convoy.md §4.3): pure, over a snapshot.

use crate::catalog::ProjectView;
use crate::delivery::Reason;
use crate::endpoint::{Endpoint, Status};
use crate::event::{Audience, Target};
use crate::filter::scopes::{Event, Scopes};
use crate::id::Id;
use crate::retry::Policy;
use crate::subscription::Subscription;

/// What routing looks at of an event.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub audience: &'a Audience,
    pub event_type: &'a str,
    pub source_id: Option<Id>,
    /// What filters see of it; parsed only when a subscription that asks could match, and once.
    pub content: Event<'a>,
}

/// A target per matching subscription. Endpoints that take no deliveries now give targets that are
/// born discarded; deleted endpoints give none.
pub fn route(view: &ProjectView, question: Question<'_>) -> Vec<Target> {
    let mut targets = Vec::new();
    let scopes = Scopes::new(question.content);
    match question.audience {
        Audience::Endpoints(ids) => {
            targets.reserve(ids.len());
            for id in ids {
                if let Some(endpoint) = view.live_endpoint(*id) {
                    push_matches(view, endpoint, question, &scopes, &mut targets);
                }
            }
        }
        Audience::Project | Audience::Source => {
            for endpoint in view.endpoints.values().filter(|endpoint| endpoint.is_live()) {
                push_matches(view, endpoint, question, &scopes, &mut targets);
            }
        }
    }
    targets
}

fn push_matches(
    view: &ProjectView,
    endpoint: &Endpoint,
    question: Question<'_>,
    scopes: &Scopes<'_>,
    targets: &mut Vec<Target>,
) {
    for subscription in view.subscriptions_of(endpoint.id) {
        let by_source = *question.audience == Audience::Source;
        if by_source && (question.source_id.is_none() || subscription.source_id != question.source_id) {
            continue;
        }
        if subscription.wants(question.event_type) && conditions_hold(view, subscription, scopes) {
            targets.push(target(view, endpoint, subscription));
        }
    }
}

/// A condition that cannot be evaluated on this event leaves its subscription out, and no other: as
/// Convoy does for broadcasts (§4.3, 4). Trying again later, as it does otherwise, would not help.
fn conditions_hold(view: &ProjectView, subscription: &Subscription, scopes: &Scopes<'_>) -> bool {
    view.matcher_of(subscription.id).is_none_or(|matcher| matcher.matches(scopes).unwrap_or(false))
}

/// How a delivery is tried again: the subscription's own way, or the project's.
pub fn policy(view: &ProjectView, subscription: Option<&Subscription>) -> Policy {
    match subscription.and_then(|subscription| subscription.retry_config.as_ref()) {
        Some(own) => Policy::from(crate::retry::Strategy {
            kind: own.kind,
            duration: own.duration,
            retry_count: own.retry_count,
        }),
        None => Policy::from(view.project.config.strategy),
    }
}

/// Why an endpoint takes no deliveries now.
pub const fn refusal(endpoint: &Endpoint) -> Option<Reason> {
    match endpoint.status {
        Status::Active => None,
        Status::Inactive => Some(Reason::EndpointInactive),
        Status::Paused => Some(Reason::EndpointPaused),
    }
}

fn target(view: &ProjectView, endpoint: &Endpoint, subscription: &Subscription) -> Target {
    Target {
        endpoint_id: endpoint.id,
        subscription_id: subscription.id,
        mode: subscription.delivery_mode,
        policy: policy(view, Some(subscription)),
        discarded: refusal(endpoint),
    }
}

#[cfg(test)]
mod tests;
