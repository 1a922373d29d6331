//! A subscription (contracts/convoy.md §4.1, App. A).

use super::endpoint::EndpointView;
use dacapo_model::catalog::ProjectView;
use dacapo_model::filter::scopes;
use dacapo_model::subscription::{AlertConfig, RateLimitConfig, RetryConfig, Subscription};
use dacapo_model::{Id, Timestamp};
use serde::Serialize;

#[derive(Serialize)]
pub struct SubscriptionView<'a> {
    uid: Id,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    project_id: Id,
    function: Option<()>,
    source_metadata: Option<()>,
    endpoint_metadata: Option<EndpointView<'a>>,
    device_metadata: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_config: Option<&'a AlertConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_config: Option<RetryView>,
    filter_config: FilterView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit_config: Option<&'a RateLimitConfig>,
    delivery_mode: &'static str,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct FilterView<'a> {
    event_types: &'a [String],
    filter: Conditions<'a>,
}

/// As written, all four. Always objects: the generated Python client cannot read `null` here (§11.1).
#[derive(Serialize)]
struct Conditions<'a> {
    is_flattened: bool,
    headers: &'a scopes::Written,
    body: &'a scopes::Written,
    query: &'a scopes::Written,
    path: &'a scopes::Written,
}

/// The Go SDK reads `duration` as text: it is left out when it is 0 (§11).
#[derive(Serialize)]
struct RetryView {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    duration: u64,
    retry_count: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> SubscriptionView<'a> {
    /// In the answer to a create the endpoint is not looked up again.
    pub fn created(subscription: &'a Subscription) -> Self {
        Self::new(subscription, None, false)
    }

    pub fn read(subscription: &'a Subscription, project: &'a ProjectView, now: Timestamp) -> Self {
        let endpoint = project.endpoints.get(&subscription.endpoint_id);
        Self::new(subscription, endpoint.map(|endpoint| EndpointView::in_subscription(endpoint, now)), true)
    }

    fn new(subscription: &'a Subscription, endpoint: Option<EndpointView<'a>>, is_flattened: bool) -> Self {
        let scopes::Conditions { headers, body, query, path } = &subscription.conditions;
        let conditions = Conditions { is_flattened, headers, body, query, path };
        Self {
            uid: subscription.id,
            name: &subscription.name,
            kind: "api",
            project_id: subscription.project_id,
            function: None,
            source_metadata: None,
            endpoint_metadata: endpoint,
            device_metadata: None,
            alert_config: subscription.alert_config.as_ref(),
            retry_config: subscription.retry_config.as_ref().map(RetryView::new),
            filter_config: FilterView { event_types: &subscription.event_types, filter: conditions },
            rate_limit_config: subscription.rate_limit_config.as_ref(),
            delivery_mode: subscription.delivery_mode.as_str(),
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
            deleted_at: subscription.deleted_at,
        }
    }
}

impl RetryView {
    fn new(config: &RetryConfig) -> Self {
        Self { kind: config.kind.as_str(), duration: config.duration, retry_count: config.retry_count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_key_set() {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let mut subscription = Subscription {
            name: "all".to_owned(),
            ..Subscription::catch_all(Id::from_u128(1), Id::from_u128(2), Id::from_u128(3), at)
        };
        let text = serde_json::to_string(&SubscriptionView::created(&subscription)).expect("JSON");
        let expected = concat!(
            r#"{"uid":"00000000000000000000000001","name":"all","type":"api","#,
            r#""project_id":"00000000000000000000000002","function":null,"source_metadata":null,"#,
            r#""endpoint_metadata":null,"device_metadata":null,"filter_config":{"event_types":["*"],"#,
            r#""filter":{"is_flattened":false,"headers":{},"body":{},"query":{},"path":{}}},"#,
            r#""delivery_mode":"at_least_once","created_at":"2026-01-01T00:00:00Z","#,
            r#""updated_at":"2026-01-01T00:00:00Z","deleted_at":null}"#,
        );
        assert_eq!(text, expected);
        let kind = dacapo_model::retry::Kind::Linear;
        subscription.retry_config = Some(RetryConfig { kind, duration: 0, retry_count: 3 });
        let text = serde_json::to_string(&SubscriptionView::created(&subscription)).expect("JSON");
        assert!(text.contains(r#""retry_config":{"type":"linear","retry_count":3}"#), "{text}");
        let body = [("b.c".to_owned(), serde_json::json!({"$gte": 1.5})), ("a".to_owned(), serde_json::json!("x"))];
        subscription.conditions.body = body.into_iter().collect();
        let text = serde_json::to_string(&SubscriptionView::created(&subscription)).expect("JSON");
        assert!(text.contains(r#""headers":{},"body":{"b.c":{"$gte":1.5},"a":"x"},"query":{},"path":{}"#), "{text}");
    }
}
