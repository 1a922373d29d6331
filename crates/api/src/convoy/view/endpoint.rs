//! An endpoint, whole or reduced (contracts/convoy.md §3.1, App. A).

use super::zero::Empty;
use crate::convoy::go_duration;
use crate::convoy::version::Version;
use dacapo_control::endpoints::REDACTED;
use dacapo_model::Timestamp;
use dacapo_model::endpoint::{Authentication, Endpoint, RecoverOnHeal, Secret};
use dacapo_model::health::Shown;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// In which answer the endpoint stands: they differ in what they say of "nothing".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    /// Answer to a create or update: no authentication is `null`.
    Written,
    /// Read: no authentication is `{}`.
    Read,
    /// Inside a subscription: authentication is not shown.
    InSubscription,
    /// Inside a delivery: nor are the secrets.
    InDelivery,
    /// Told to an address that need not know them: secrets and the like are there, but not what they are.
    InMetaEvent,
}

pub struct EndpointView<'a> {
    endpoint: &'a Endpoint,
    version: Version,
    face: Face,
    health: Option<Shown>,
    now: Timestamp,
}

impl<'a> EndpointView<'a> {
    /// `now` decides which secrets have expired; so for the others.
    pub fn written(endpoint: &'a Endpoint, version: Version, health: Shown, now: Timestamp) -> Self {
        Self { endpoint, version, face: Face::Written, health: Some(health), now }
    }

    pub fn read(endpoint: &'a Endpoint, version: Version, health: Shown, now: Timestamp) -> Self {
        Self { endpoint, version, face: Face::Read, health: Some(health), now }
    }

    pub fn in_subscription(endpoint: &'a Endpoint, now: Timestamp) -> Self {
        Self { endpoint, version: Version::default(), face: Face::InSubscription, health: None, now }
    }

    pub fn in_delivery(endpoint: &'a Endpoint, now: Timestamp) -> Self {
        Self { endpoint, version: Version::default(), face: Face::InDelivery, health: None, now }
    }

    pub fn in_meta_event(endpoint: &'a Endpoint, now: Timestamp) -> Self {
        Self { endpoint, version: Version::default(), face: Face::InMetaEvent, health: None, now }
    }

    /// What stands for a text that is a secret.
    fn hidden<'t>(&self, text: &'t str) -> &'t str {
        if self.face == Face::InMetaEvent && !text.is_empty() { REDACTED } else { text }
    }

    fn secrets(&self) -> Vec<SecretView<'a>> {
        if self.face == Face::InDelivery {
            return Vec::new();
        }
        let view =
            |secret: &'a Secret| SecretView { value: self.hidden(&secret.value), ..SecretView::new(secret, self.now) };
        self.endpoint.secrets.iter().map(view).collect()
    }
}

impl Serialize for EndpointView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let endpoint = self.endpoint;
        let (url, name) = if self.version.old_names { ("target_url", "title") } else { ("url", "name") };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("uid", &endpoint.id)?;
        map.serialize_entry("project_id", &endpoint.project_id)?;
        entry_unless_empty(&mut map, "owner_id", &endpoint.owner_id)?;
        map.serialize_entry(url, &endpoint.url)?;
        map.serialize_entry(name, &endpoint.name)?;
        map.serialize_entry("secrets", &self.secrets())?;
        map.serialize_entry("advanced_signatures", &endpoint.advanced_signatures)?;
        map.serialize_entry("description", &endpoint.description)?;
        entry_unless_empty(&mut map, "slack_webhook_url", self.hidden(&endpoint.slack_webhook_url))?;
        entry_unless_empty(&mut map, "teams_webhook_url", self.hidden(&endpoint.teams_webhook_url))?;
        entry_unless_empty(&mut map, "support_email", &endpoint.support_email)?;
        map.serialize_entry("status", endpoint.status.as_str())?;
        self.duration_entry(&mut map, "http_timeout", endpoint.http_timeout)?;
        match (&endpoint.authentication, self.face) {
            (Some(given), Face::Written | Face::Read | Face::InMetaEvent) => {
                let is_hidden = self.face == Face::InMetaEvent;
                map.serialize_entry("authentication", &AuthenticationView { given, is_hidden })?;
            }
            (None, Face::Read | Face::InMetaEvent) => map.serialize_entry("authentication", &Empty {})?,
            _ => map.serialize_entry("authentication", &())?,
        }
        map.serialize_entry("rate_limit", &endpoint.rate_limit)?;
        self.duration_entry(&mut map, "rate_limit_duration", endpoint.rate_limit_duration)?;
        map.serialize_entry("content_type", endpoint.content_type.as_str())?;
        map.serialize_entry("failure_rate", &self.health.and_then(|health| health.failure_rate))?;
        map.serialize_entry("cb_state", &self.health.map(|health| health.state))?;
        for not_computed_here in ["period_failure_rate", "success_count", "failure_count", "retry_count"] {
            map.serialize_entry(not_computed_here, &())?;
        }
        if let Some(setting) = &endpoint.recover_on_heal {
            map.serialize_entry("recover_on_heal", &RecoverView::new(setting))?;
        }
        map.serialize_entry("created_at", &endpoint.created_at)?;
        map.serialize_entry("updated_at", &endpoint.updated_at)?;
        map.serialize_entry("deleted_at", &endpoint.deleted_at)?;
        map.end()
    }
}

impl EndpointView<'_> {
    fn duration_entry<M: SerializeMap>(&self, map: &mut M, key: &str, seconds: u64) -> Result<(), M::Error> {
        if self.version.duration_strings {
            return map.serialize_entry(key, &go_duration::print(seconds));
        }
        map.serialize_entry(key, &seconds)
    }
}

fn entry_unless_empty<M: SerializeMap>(map: &mut M, key: &str, value: &str) -> Result<(), M::Error> {
    if value.is_empty() { Ok(()) } else { map.serialize_entry(key, value) }
}

#[derive(Serialize)]
struct SecretView<'a> {
    uid: dacapo_model::Id,
    value: &'a str,
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

impl<'a> SecretView<'a> {
    /// A secret past its expiry signs nothing any more: it is shown as deleted since then.
    fn new(secret: &'a Secret, now: Timestamp) -> Self {
        Self {
            uid: secret.id,
            value: &secret.value,
            expires_at: secret.expires_at,
            created_at: secret.created_at,
            updated_at: secret.updated_at,
            deleted_at: secret.deleted_at.or(secret.expires_at.filter(|end| *end <= now)),
        }
    }
}

/// Ours; only there when it is on.
#[derive(Serialize)]
struct RecoverView {
    enabled: bool,
    lookback: String,
}

impl RecoverView {
    fn new(setting: &RecoverOnHeal) -> Self {
        Self { enabled: true, lookback: go_duration::print(setting.lookback) }
    }
}

struct AuthenticationView<'a> {
    given: &'a Authentication,
    /// Passwords always are.
    is_hidden: bool,
}

impl Serialize for AuthenticationView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct ApiKey<'a> {
            header_name: &'a str,
            header_value: &'a str,
        }
        #[derive(Serialize)]
        struct BasicAuth<'a> {
            username: &'a str,
            password: &'static str,
        }
        let mut map = serializer.serialize_map(None)?;
        match self.given {
            Authentication::ApiKey { header_name, header_value } => {
                let header_value = if self.is_hidden { REDACTED } else { header_value };
                map.serialize_entry("type", "api_key")?;
                map.serialize_entry("api_key", &ApiKey { header_name, header_value })?;
            }
            Authentication::BasicAuth { username, password: _ } => {
                map.serialize_entry("type", "basic_auth")?;
                map.serialize_entry("basic_auth", &BasicAuth { username, password: REDACTED })?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dacapo_model::Id;
    use dacapo_model::breaker::State;

    fn endpoint() -> Endpoint {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let secret = Secret {
            id: Id::from_u128(3),
            value: "s3cret".to_owned(),
            expires_at: None,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        };
        Endpoint {
            name: "Acme".to_owned(),
            secrets: vec![secret],
            advanced_signatures: true,
            http_timeout: 90,
            ..Endpoint::plain(Id::from_u128(1), Id::from_u128(2), "https://r.example/hook", at)
        }
    }

    fn print(view: &EndpointView<'_>) -> String {
        serde_json::to_string(view).expect("JSON")
    }

    #[test]
    fn the_whole_key_set() {
        let endpoint = endpoint();
        let text = print(&EndpointView::read(&endpoint, Version::default(), Shown::UNKNOWN, endpoint.created_at));
        let expected = concat!(
            r#"{"uid":"00000000000000000000000001","project_id":"00000000000000000000000002","#,
            r#""url":"https://r.example/hook","name":"Acme","#,
            r#""secrets":[{"uid":"00000000000000000000000003","value":"s3cret","expires_at":null,"#,
            r#""created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","deleted_at":null}],"#,
            r#""advanced_signatures":true,"description":"","status":"active","http_timeout":90,"authentication":{},"#,
            r#""rate_limit":0,"rate_limit_duration":0,"content_type":"application/json","#,
            r#""failure_rate":null,"cb_state":"closed","period_failure_rate":null,"#,
            r#""success_count":null,"failure_count":null,"retry_count":null,"#,
            r#""created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","deleted_at":null}"#,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn an_endpoint_in_trouble_says_so() {
        let mut endpoint = endpoint();
        let health = Shown { state: State::HalfOpen, failure_rate: Some(87.5) };
        let text = print(&EndpointView::read(&endpoint, Version::default(), health, endpoint.created_at));
        assert!(text.contains(r#""failure_rate":87.5,"cb_state":"half-open","#), "{text}");
        let text = print(&EndpointView::in_delivery(&endpoint, endpoint.created_at));
        assert!(text.contains(r#""failure_rate":null,"cb_state":null,"#), "{text}");
        endpoint.recover_on_heal = Some(RecoverOnHeal { lookback: 86_400, since: endpoint.created_at });
        let text = print(&EndpointView::read(&endpoint, Version::default(), health, endpoint.created_at));
        assert!(text.contains(r#""recover_on_heal":{"enabled":true,"lookback":"24h0m0s"},"#), "{text}");
    }

    #[test]
    fn old_versions_have_old_names_and_duration_strings() {
        let endpoint = endpoint();
        let version = Version { duration_strings: true, old_names: true };
        let text = print(&EndpointView::written(&endpoint, version, Shown::UNKNOWN, endpoint.created_at));
        assert!(text.contains(r#""target_url":"https://r.example/hook","title":"Acme""#), "{text}");
        assert!(text.contains(r#""http_timeout":"1m30s","authentication":null"#), "{text}");
        assert!(text.contains(r#""rate_limit_duration":"0s""#), "{text}");
    }

    #[test]
    fn passwords_stay_here_and_empty_texts_are_left_out() {
        let mut endpoint = endpoint();
        endpoint.owner_id = "acct_7".to_owned();
        endpoint.authentication =
            Some(Authentication::BasicAuth { username: "u".to_owned(), password: "hidden".to_owned() });
        let text = print(&EndpointView::read(&endpoint, Version::default(), Shown::UNKNOWN, endpoint.created_at));
        assert!(text.contains(
            r#""authentication":{"type":"basic_auth","basic_auth":{"username":"u","password":"[REDACTED]"}}"#
        ));
        assert!(text.contains(r#""owner_id":"acct_7""#) && !text.contains("hidden") && !text.contains("support_email"));
        let text = print(&EndpointView::in_delivery(&endpoint, endpoint.created_at));
        assert!(text.contains(r#""secrets":[]"#) && text.contains(r#""authentication":null"#));
    }

    #[test]
    fn an_expired_secret_shows_as_deleted() {
        let mut endpoint = endpoint();
        endpoint.secrets[0].expires_at = Some(Timestamp::from_millis(1_767_225_601_000));
        let later = Timestamp::from_millis(1_767_225_602_000);
        let before = print(&EndpointView::read(&endpoint, Version::default(), Shown::UNKNOWN, endpoint.created_at));
        assert!(before.contains(r#""deleted_at":null}]"#), "{before}");
        let after = print(&EndpointView::read(&endpoint, Version::default(), Shown::UNKNOWN, later));
        assert!(after.contains(r#""deleted_at":"2026-01-01T00:00:01Z"}]"#), "{after}");
    }
}
