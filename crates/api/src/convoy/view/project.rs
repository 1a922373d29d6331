//! A project with its settings (contracts/convoy.md §2.1, §7.1).

use super::id_or_empty;
use dacapo_model::clock::ZERO_TIME;
use dacapo_model::project::{
    CircuitBreaker, Config, Encoding, Hash, Kind, MetaEvent, Project, RateLimit, SignatureConfig, SignatureVersion, Ssl,
};
use dacapo_model::retry::Strategy;
use dacapo_model::{Id, Timestamp};
use serde::Serialize;

#[derive(Serialize)]
pub struct ProjectView<'a> {
    uid: Id,
    name: &'a str,
    logo_url: &'a str,
    organisation_id: Id,
    #[serde(rename = "type")]
    kind: Kind,
    config: ConfigView<'a>,
    statistics: Option<()>,
    retained_events: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ConfigView<'a> {
    max_payload_read_size: u64,
    replay_attacks_prevention_enabled: bool,
    add_event_id_trace_headers: bool,
    disable_endpoint: bool,
    multiple_endpoint_subscriptions: bool,
    verify_dynamic_events: bool,
    allow_unmatched_dynamic_urls: bool,
    search_policy: &'a str,
    ssl: &'a Ssl,
    ratelimit: &'a RateLimit,
    strategy: &'a Strategy,
    signature: SignatureView<'a>,
    request_id_header: &'a str,
    meta_event: MetaEventView<'a>,
    circuit_breaker: &'a CircuitBreaker,
    standard_webhooks: bool,
    event_id_header: &'a str,
}

#[derive(Serialize)]
struct SignatureView<'a> {
    header: &'a str,
    versions: Vec<VersionView>,
}

#[derive(Serialize)]
struct VersionView {
    uid: String,
    hash: Hash,
    encoding: Encoding,
    created_at: String,
}

#[derive(Serialize)]
struct MetaEventView<'a> {
    #[serde(flatten)]
    meta_event: &'a MetaEvent,
    pub_sub: PubSub,
}

/// A broker that is none.
#[derive(Default, Serialize)]
struct PubSub {
    #[serde(rename = "type")]
    kind: &'static str,
    workers: u32,
    sqs: Option<()>,
    google: Option<()>,
    kafka: Option<()>,
    amqp: Option<()>,
}

impl<'a> ProjectView<'a> {
    pub fn new(project: &'a Project) -> Self {
        Self {
            uid: project.id,
            name: &project.name,
            logo_url: &project.logo_url,
            organisation_id: project.organisation_id,
            kind: project.kind,
            config: ConfigView::new(&project.config),
            statistics: None,
            retained_events: 0,
            created_at: project.created_at,
            updated_at: project.updated_at,
            deleted_at: project.deleted_at,
        }
    }
}

impl<'a> ConfigView<'a> {
    fn new(config: &'a Config) -> Self {
        Self {
            max_payload_read_size: config.max_payload_read_size,
            replay_attacks_prevention_enabled: config.replay_attacks_prevention_enabled,
            add_event_id_trace_headers: config.add_event_id_trace_headers,
            disable_endpoint: config.disable_endpoint,
            multiple_endpoint_subscriptions: config.multiple_endpoint_subscriptions,
            verify_dynamic_events: config.verify_dynamic_events,
            allow_unmatched_dynamic_urls: config.allow_unmatched_dynamic_urls,
            search_policy: &config.search_policy,
            ssl: &config.ssl,
            ratelimit: &config.ratelimit,
            strategy: &config.strategy,
            signature: SignatureView::new(&config.signature),
            request_id_header: &config.request_id_header,
            meta_event: MetaEventView { meta_event: &config.meta_event, pub_sub: PubSub::default() },
            circuit_breaker: &config.circuit_breaker,
            standard_webhooks: config.standard_webhooks,
            event_id_header: &config.event_id_header,
        }
    }
}

impl<'a> SignatureView<'a> {
    fn new(signature: &'a SignatureConfig) -> Self {
        Self { header: &signature.header, versions: signature.versions.iter().map(VersionView::new).collect() }
    }
}

impl VersionView {
    fn new(version: &SignatureVersion) -> Self {
        Self {
            uid: id_or_empty(version.uid),
            hash: version.hash,
            encoding: version.encoding,
            created_at: version.created_at.map_or_else(|| ZERO_TIME.to_owned(), |at| at.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_key_set() {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let project = Project { name: "default".to_owned(), ..Project::plain(Id::from_u128(1), Id::from_u128(2), at) };
        let text = serde_json::to_string(&ProjectView::new(&project)).expect("JSON");
        let expected = concat!(
            r#"{"uid":"00000000000000000000000001","name":"default","logo_url":"","#,
            r#""organisation_id":"00000000000000000000000002","type":"outgoing","config":{"#,
            r#""max_payload_read_size":51200,"replay_attacks_prevention_enabled":false,"#,
            r#""add_event_id_trace_headers":false,"disable_endpoint":false,"multiple_endpoint_subscriptions":false,"#,
            r#""verify_dynamic_events":false,"allow_unmatched_dynamic_urls":false,"search_policy":"","#,
            r#""ssl":{"enforce_secure_endpoints":false},"ratelimit":{"count":1000,"duration":60},"#,
            r#""strategy":{"type":"linear","duration":100,"retry_count":10},"#,
            r#""signature":{"header":"X-Convoy-Signature","versions":[{"uid":"","hash":"SHA256","encoding":"hex","#,
            r#""created_at":"0001-01-01T00:00:00Z"}]},"request_id_header":"X-Convoy-Idempotency-Key","#,
            r#""meta_event":{"is_enabled":false,"type":"","event_type":[],"url":"","secret":"","#,
            r#""pub_sub":{"type":"","workers":0,"sqs":null,"google":null,"kafka":null,"amqp":null}},"#,
            r#""circuit_breaker":{"sample_rate":30,"error_timeout":30,"failure_threshold":70,"success_threshold":5,"#,
            r#""minimum_request_count":10,"observability_window":5,"consecutive_failure_threshold":10},"#,
            r#""standard_webhooks":false,"event_id_header":"X-Dacapo-Event-Id"},"statistics":null,"#,
            r#""retained_events":0,"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","#,
            r#""deleted_at":null}"#,
        );
        assert_eq!(text, expected);
    }
}
