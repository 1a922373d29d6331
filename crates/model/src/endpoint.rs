//! Where deliveries go (contracts/convoy.md §3).

use crate::clock::Timestamp;
use crate::id::Id;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: Id,
    pub project_id: Id,
    /// Groups endpoints for fan-out; empty when none.
    pub owner_id: String,
    pub url: String,
    pub name: String,
    /// Oldest first; deleted ones stay listed but sign nothing.
    pub secrets: Vec<Secret>,
    pub advanced_signatures: bool,
    pub description: String,
    pub slack_webhook_url: String,
    pub teams_webhook_url: String,
    pub support_email: String,
    pub status: Status,
    /// Seconds for the whole exchange; 0 means [`DEFAULT_HTTP_TIMEOUT`].
    pub http_timeout: u64,
    /// Deliveries per `rate_limit_duration`; 0 means unlimited.
    pub rate_limit: u64,
    /// Seconds.
    pub rate_limit_duration: u64,
    pub content_type: ContentType,
    pub authentication: Option<Authentication>,
    /// How often it came back to active; what was learnt of it before means nothing then.
    #[serde(default)]
    pub activation: u64,
    /// When it last did.
    #[serde(default)]
    pub activated_at: Option<Timestamp>,
    /// Ours: sends again by itself what failed, when it heals. `None`: off.
    #[serde(default)]
    pub recover_on_heal: Option<RecoverOnHeal>,
    /// Rises with every change, so that history can say what was used.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

pub const DEFAULT_HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer settings are cut to this: a receiver must not hold a connection for ever.
pub const HTTP_TIMEOUT_MAX: Duration = Duration::from_secs(120);

impl Endpoint {
    /// One that is active and has nothing but an address: no secret, no limit, no owner.
    pub fn plain(id: Id, project_id: Id, url: &str, now: Timestamp) -> Self {
        Self {
            id,
            project_id,
            owner_id: String::new(),
            url: url.to_owned(),
            name: String::new(),
            secrets: Vec::new(),
            advanced_signatures: false,
            description: String::new(),
            slack_webhook_url: String::new(),
            teams_webhook_url: String::new(),
            support_email: String::new(),
            status: Status::Active,
            http_timeout: 0,
            rate_limit: 0,
            rate_limit_duration: 0,
            content_type: ContentType::Json,
            authentication: None,
            activation: 0,
            activated_at: None,
            recover_on_heal: None,
            version: 1,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }

    pub fn timeout(&self) -> Duration {
        match self.http_timeout {
            0 => DEFAULT_HTTP_TIMEOUT,
            seconds => Duration::from_secs(seconds).min(HTTP_TIMEOUT_MAX),
        }
    }

    /// Secrets that sign today, oldest first: neither deleted nor past their expiry.
    pub fn signing_secrets(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = &Secret> {
        self.secrets.iter().filter(move |secret| secret.signs_at(now))
    }

    pub fn is_live(&self) -> bool {
        self.deleted_at.is_none()
    }

    /// Active from now on. Its breaker starts anew, and what failed before may be sent again.
    pub fn activate(&mut self, now: Timestamp) {
        self.status = Status::Active;
        self.activation += 1;
        self.activated_at = Some(now);
    }
}

/// What is sent again when an endpoint heals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverOnHeal {
    /// Seconds: how far before its healing deliveries may have been made.
    pub lookback: u64,
    /// Since when it is on: what healed before is past.
    pub since: Timestamp,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("id", &self.id).field("status", &self.status).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub id: Id,
    pub value: String,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

impl Secret {
    pub fn signs_at(&self, now: Timestamp) -> bool {
        self.deleted_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Convoy knows no `pending` (contracts/convoy.md §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Active,
    Inactive,
    Paused,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Paused => "paused",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentType {
    #[default]
    #[serde(rename = "application/json")]
    Json,
    #[serde(rename = "application/x-www-form-urlencoded")]
    Form,
}

impl ContentType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

/// How we prove ourselves to the receiver (contracts/convoy.md §3.4).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Authentication {
    ApiKey { header_name: String, header_value: String },
    BasicAuth { username: String, password: String },
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ApiKey { .. } => "ApiKey(…)",
            Self::BasicAuth { .. } => "BasicAuth(…)",
        })
    }
}
