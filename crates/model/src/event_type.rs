//! The event types a project knows by name (contracts/convoy.md §2.2).

use crate::clock::Timestamp;
use crate::id::Id;
use serde::{Deserialize, Serialize};

/// Publishing an unregistered type is allowed; this list documents, it does not gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventType {
    pub id: Id,
    pub project_id: Id,
    pub name: String,
    pub category: String,
    pub description: String,
    /// A JSON Schema as text, or empty.
    pub json_schema: String,
    pub deprecated_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// The type every project has: it stands for all types in a subscription.
pub const CATCH_ALL: &str = "*";
