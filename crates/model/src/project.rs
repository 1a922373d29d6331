//! Projects and their settings (contracts/convoy.md §7.1).

use crate::clock::Timestamp;
use crate::id::Id;
use crate::retry::Strategy;
use serde::{Deserialize, Serialize};

/// Events, endpoints and keys belong to exactly one project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    pub id: Id,
    pub organisation_id: Id,
    pub name: String,
    pub logo_url: String,
    pub kind: Kind,
    pub config: Config,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

impl Project {
    /// An outgoing one without a name, with the settings a new one has.
    pub fn plain(id: Id, organisation_id: Id, now: Timestamp) -> Self {
        Self {
            id,
            organisation_id,
            name: String::new(),
            logo_url: String::new(),
            kind: Kind::Outgoing,
            config: Config::default(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }
}

/// Which way a project's events go; fixed at creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Providers send to us; subscriptions match by source.
    Incoming,
    /// We send for a producer; subscriptions match by endpoint.
    Outgoing,
}

/// Key names are Convoy's; what is ours says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub max_payload_read_size: u64,
    pub replay_attacks_prevention_enabled: bool,
    pub add_event_id_trace_headers: bool,
    pub disable_endpoint: bool,
    pub multiple_endpoint_subscriptions: bool,
    pub verify_dynamic_events: bool,
    pub allow_unmatched_dynamic_urls: bool,
    pub search_policy: String,
    pub ssl: Ssl,
    pub ratelimit: RateLimit,
    pub strategy: Strategy,
    pub signature: SignatureConfig,
    pub request_id_header: String,
    pub meta_event: MetaEvent,
    pub circuit_breaker: CircuitBreaker,
    /// Ours: send Standard Webhooks headers beside Convoy's.
    pub standard_webhooks: bool,
    /// Ours: the header that carries `evt_…` (contracts/connect.md, Delivery headers).
    pub event_id_header: String,
}

pub const DEFAULT_REQUEST_ID_HEADER: &str = "X-Convoy-Idempotency-Key";
pub const DEFAULT_SIGNATURE_HEADER: &str = "X-Convoy-Signature";
pub const DEFAULT_EVENT_ID_HEADER: &str = "X-Dacapo-Event-Id";

impl Config {
    /// Whether events must bring their idempotency key: a header of the project's own is never made up for
    /// (contracts/convoy.md §2.3.3).
    pub fn wants_keys(&self) -> bool {
        self.request_id_header != DEFAULT_REQUEST_ID_HEADER
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_payload_read_size: 51_200,
            replay_attacks_prevention_enabled: false,
            add_event_id_trace_headers: false,
            disable_endpoint: false,
            multiple_endpoint_subscriptions: false,
            verify_dynamic_events: false,
            allow_unmatched_dynamic_urls: false,
            search_policy: String::new(),
            ssl: Ssl::default(),
            ratelimit: RateLimit::default(),
            strategy: Strategy::default(),
            signature: SignatureConfig::default(),
            request_id_header: DEFAULT_REQUEST_ID_HEADER.to_owned(),
            meta_event: MetaEvent::default(),
            circuit_breaker: CircuitBreaker::default(),
            standard_webhooks: false,
            event_id_header: DEFAULT_EVENT_ID_HEADER.to_owned(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ssl {
    pub enforce_secure_endpoints: bool,
}

/// Stored and shown, not used: the endpoint's own limit counts (contracts/convoy.md §6.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimit {
    pub count: u64,
    pub duration: u64,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { count: 1000, duration: 60 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignatureConfig {
    pub header: String,
    /// Oldest first; simple signatures use the last (contracts/convoy.md §6.2).
    pub versions: Vec<SignatureVersion>,
}

impl Default for SignatureConfig {
    fn default() -> Self {
        Self { header: DEFAULT_SIGNATURE_HEADER.to_owned(), versions: vec![SignatureVersion::default()] }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureVersion {
    pub uid: Option<Id>,
    pub hash: Hash,
    pub encoding: Encoding,
    pub created_at: Option<Timestamp>,
}

impl Default for SignatureVersion {
    fn default() -> Self {
        Self { uid: None, hash: Hash::Sha256, encoding: Encoding::Hex, created_at: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hash {
    #[serde(rename = "SHA256")]
    Sha256,
    #[serde(rename = "SHA512")]
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    Hex,
    Base64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetaEvent {
    pub is_enabled: bool,
    #[serde(rename = "type")]
    pub kind: String,
    pub event_type: Vec<String>,
    pub url: String,
    pub secret: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CircuitBreaker {
    pub sample_rate: u64,
    pub error_timeout: u64,
    pub failure_threshold: u64,
    pub success_threshold: u64,
    pub minimum_request_count: u64,
    pub observability_window: u64,
    pub consecutive_failure_threshold: u64,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            sample_rate: 30,
            error_timeout: 30,
            failure_threshold: 70,
            success_threshold: 5,
            minimum_request_count: 10,
            observability_window: 5,
            consecutive_failure_threshold: 10,
        }
    }
}
