//! Which events an endpoint wants (contracts/convoy.md §4).

use crate::clock::Timestamp;
use crate::delivery::Mode;
use crate::filter::scopes::Conditions;
use crate::id::Id;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    pub id: Id,
    pub project_id: Id,
    pub name: String,
    pub endpoint_id: Id,
    pub source_id: Option<Id>,
    /// Never empty; `*` stands for all, a trailing `.*` for everything under a prefix.
    pub event_types: Vec<String>,
    /// What an event of such a type must look like besides; they compile (§4.4).
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    pub delivery_mode: Mode,
    pub retry_config: Option<RetryConfig>,
    pub rate_limit_config: Option<RateLimitConfig>,
    pub alert_config: Option<AlertConfig>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

impl Subscription {
    /// One that takes every event, at least once, and says nothing else.
    pub fn catch_all(id: Id, project_id: Id, endpoint_id: Id, now: Timestamp) -> Self {
        Self {
            id,
            project_id,
            name: String::new(),
            endpoint_id,
            source_id: None,
            event_types: vec![crate::event_type::CATCH_ALL.to_owned()],
            conditions: Conditions::default(),
            delivery_mode: Mode::AtLeastOnce,
            retry_config: None,
            rate_limit_config: None,
            alert_config: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }

    pub fn wants(&self, event_type: &str) -> bool {
        self.event_types.iter().any(|pattern| pattern_matches(pattern, event_type))
    }
}

/// `*` matches all; `invoice.*` matches `invoice.paid` and `invoice.paid.late`, not `invoice`;
/// anything else matches itself. A `*` elsewhere is an ordinary character.
pub fn pattern_matches(pattern: &str, event_type: &str) -> bool {
    if pattern == event_type || pattern == crate::event_type::CATCH_ALL {
        return true;
    }
    let Some(prefix) = pattern.strip_suffix('*') else {
        return false;
    };
    prefix.ends_with('.') && event_type.len() > prefix.len() && event_type.starts_with(prefix)
}

/// Used instead of the project's strategy when it was set by PUT (contracts/convoy.md §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryConfig {
    /// `linear` or `exponential`.
    #[serde(rename = "type")]
    pub kind: crate::retry::Kind,
    /// Seconds.
    pub duration: u64,
    pub retry_count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimitConfig {
    pub count: u64,
    pub duration: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertConfig {
    pub count: u64,
    pub threshold: String,
}

#[cfg(test)]
mod tests {
    use super::pattern_matches;

    #[test]
    fn wildcards_trail_after_a_dot_only() {
        assert!(pattern_matches("*", "anything"));
        assert!(pattern_matches("invoice.paid", "invoice.paid"));
        assert!(pattern_matches("invoice.*", "invoice.paid"));
        assert!(pattern_matches("invoice.*", "invoice.paid.late"));
        assert!(!pattern_matches("invoice.*", "invoice"));
        assert!(!pattern_matches("invoice.*", "invoice."));
        assert!(!pattern_matches("invoice.*", "invoices.paid"));
        assert!(!pattern_matches("inv*", "invoice"));
        assert!(!pattern_matches("*.paid", "invoice.paid"));
    }
}
