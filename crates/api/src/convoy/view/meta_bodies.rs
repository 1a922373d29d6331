//! What meta events tell (contracts/convoy.md §7.3): an endpoint, a delivery that ended, a replay that did, as they
//! are shown elsewhere, without what proves us to others.

use super::attempt::AttemptView;
use super::delivery::{EventMetadata, Metadata, description};
use super::endpoint::EndpointView;
use super::headers::Lists;
use super::replay::ReplayView;
use super::zero;
use dacapo_control::endpoints::REDACTED;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::endpoint::Authentication;
use dacapo_model::meta_event::{Bodies, Outcome};
use dacapo_model::{Attempt, Endpoint, Id, Replay, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// For [`dacapo_engine::Parts`].
pub struct MetaBodies;

impl Bodies for MetaBodies {
    fn endpoint(&self, endpoint: &Endpoint, now: Timestamp) -> String {
        text(&EndpointView::in_meta_event(endpoint, now))
    }

    fn delivery(&self, outcome: &Outcome<'_>, now: Timestamp) -> String {
        let endpoint = outcome.view.endpoints.get(&outcome.delivery.endpoint_id);
        let attempt = without_proof(outcome.attempt, endpoint.and_then(|endpoint| endpoint.authentication.as_ref()));
        let endpoint = endpoint.map(|endpoint| without_hooks(endpoint));
        text(&OutcomeView::new(outcome, endpoint.as_deref(), &attempt, now))
    }

    fn replay(&self, replay: &Replay, now: Timestamp) -> String {
        text(&ReplayView::new(replay, now))
    }
}

/// Plain data: it cannot fail.
fn text(view: &impl Serialize) -> String {
    serde_json::to_string(view).unwrap_or_else(|_| "null".to_owned())
}

/// As it is shown elsewhere, but with nothing in it that the endpoint knows us by.
fn without_proof(attempt: &Attempt, authentication: Option<&Authentication>) -> Attempt {
    let proof = match authentication {
        Some(Authentication::ApiKey { header_name, .. }) => header_name,
        _ => "authorization",
    };
    let hides = |name: &str| name.eq_ignore_ascii_case(proof) || name.eq_ignore_ascii_case("authorization");
    let lines = attempt.request_headers.iter().map(|(name, value)| (name, if hides(name) { REDACTED } else { value }));
    Attempt { request_headers: HeaderLines::from_iter(lines), ..attempt.clone() }
}

/// Who knows the address of a chat hook may speak there.
fn without_hooks(endpoint: &Endpoint) -> Cow<'_, Endpoint> {
    if endpoint.slack_webhook_url.is_empty() && endpoint.teams_webhook_url.is_empty() {
        return Cow::Borrowed(endpoint);
    }
    let (slack_webhook_url, teams_webhook_url) = Default::default();
    Cow::Owned(Endpoint { slack_webhook_url, teams_webhook_url, ..endpoint.clone() })
}

#[derive(Serialize)]
struct OutcomeView<'a> {
    uid: Id,
    project_id: Id,
    event_id: Id,
    endpoint_id: Id,
    device_id: &'static str,
    subscription_id: Id,
    headers: Lists<'a>,
    url_query_params: &'a str,
    idempotency_key: &'a str,
    endpoint_metadata: Option<EndpointView<'a>>,
    event_metadata: EventMetadata<'a>,
    source_metadata: &'static RawValue,
    status: &'static str,
    metadata: Metadata<'a>,
    cli_metadata: Option<()>,
    description: String,
    acknowledged_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
    attempt: AttemptView<'a>,
}

impl<'a> OutcomeView<'a> {
    fn new(outcome: &Outcome<'a>, endpoint: Option<&'a Endpoint>, attempt: &'a Attempt, now: Timestamp) -> Self {
        let Outcome { delivery, event, .. } = *outcome;
        Self {
            uid: delivery.id,
            project_id: delivery.project_id,
            event_id: delivery.event_id,
            endpoint_id: delivery.endpoint_id,
            device_id: "",
            subscription_id: delivery.subscription_id,
            headers: Lists(&event.headers),
            url_query_params: &event.url_query,
            idempotency_key: &event.idempotency_key,
            endpoint_metadata: endpoint.map(|endpoint| EndpointView::in_delivery(endpoint, now)),
            event_metadata: EventMetadata::new(event),
            source_metadata: zero::source(),
            status: delivery.status.as_str(),
            metadata: Metadata::new(delivery, event),
            cli_metadata: None,
            description: description(delivery),
            acknowledged_at: delivery.created_at,
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
            deleted_at: None,
            attempt: AttemptView::new(attempt, delivery, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dacapo_model::endpoint::Secret;

    fn endpoint() -> Endpoint {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let secret = Secret {
            id: Id::from_u128(3),
            value: "hidden-secret".to_owned(),
            expires_at: None,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        };
        Endpoint {
            name: "Acme".to_owned(),
            secrets: vec![secret],
            slack_webhook_url: "https://hooks.example/hidden-hook".to_owned(),
            ..Endpoint::plain(Id::from_u128(1), Id::from_u128(2), "https://r.example/hook", at)
        }
    }

    #[test]
    fn an_endpoint_shows_nothing_that_proves_us_to_others() {
        let mut endpoint = endpoint();
        let api_key = Authentication::ApiKey { header_name: "X-Key".to_owned(), header_value: "hidden-key".to_owned() };
        let basic = Authentication::BasicAuth { username: "u".to_owned(), password: "hidden-password".to_owned() };
        for (given, shown) in [
            (
                api_key,
                r#""authentication":{"type":"api_key","api_key":{"header_name":"X-Key","header_value":"[REDACTED]"}}"#,
            ),
            (basic, r#""authentication":{"type":"basic_auth","basic_auth":{"username":"u","password":"[REDACTED]"}}"#),
        ] {
            endpoint.authentication = Some(given);
            let text = MetaBodies.endpoint(&endpoint, endpoint.created_at);
            assert!(text.contains(shown) && !text.contains("hidden"), "{text}");
            let secret = r#""secrets":[{"uid":"00000000000000000000000003","value":"[REDACTED]","expires_at":null"#;
            assert!(text.contains(secret), "{text}");
            assert!(text.starts_with(r#"{"uid":"00000000000000000000000001","#) && text.contains(r#""name":"Acme""#));
        }
    }

    #[test]
    fn nor_does_a_delivery_show_where_people_chat() {
        let (endpoint, plain) = (endpoint(), Endpoint { slack_webhook_url: String::new(), ..endpoint() });
        let text = text(&EndpointView::in_delivery(&without_hooks(&endpoint), endpoint.created_at));
        assert!(!text.contains("hidden"), "{text}");
        assert!(matches!(without_hooks(&plain), Cow::Borrowed(_)));
    }

    #[test]
    fn nor_do_the_headers_of_an_attempt() {
        let (attempt, _) = crate::convoy::view::attempt::tests::attempt_of_a_delivery();
        let sent = [("authorization", "Basic hidden"), ("x-key", "hidden"), ("content-type", "application/json")];
        let attempt = Attempt { request_headers: HeaderLines::from_iter(sent), ..attempt };
        let key = Authentication::ApiKey { header_name: "X-Key".to_owned(), header_value: "hidden".to_owned() };
        let shown = without_proof(&attempt, Some(&key));
        assert!(!shown.request_headers.as_text().contains("hidden"), "{}", shown.request_headers.as_text());
        assert_eq!(shown.request_headers.get("content-type"), Some("application/json"));
        let shown = without_proof(&attempt, None);
        assert_eq!(shown.request_headers.get("authorization"), Some(REDACTED));
    }
}
