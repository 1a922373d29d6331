//! The JSON shapes of the Convoy surface (contracts/convoy.md App. A, §11.1): exact key sets, `null`
//! where clients bear it, omissions where they do not. Frozen apart from the model.

pub mod attempt;
pub mod call;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod event_type;
pub mod headers;
pub mod meta_bodies;
pub mod meta_event;
pub mod plan;
pub mod project;
pub mod replay;
pub mod subscription;
pub mod zero;

use dacapo_model::Id;
use serde_json::value::RawValue;

/// An id that may be missing is an empty string.
pub fn id_or_empty(id: Option<Id>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// Stored JSON as it stands. `None` for what is no JSON, so that one bad row cannot blank a list.
pub fn raw_json(bytes: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(bytes).ok()
}
