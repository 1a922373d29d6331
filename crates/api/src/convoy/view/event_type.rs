//! An event type (contracts/convoy.md §2.2, App. A).

use super::raw_json;
use super::zero::Empty;
use dacapo_model::event_type::EventType;
use dacapo_model::{Id, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub struct EventTypeView<'a> {
    uid: Id,
    name: &'a str,
    category: &'a str,
    json_schema: Schema<'a>,
    description: &'a str,
    deprecated_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Schema<'a> {
    Given(&'a RawValue),
    None(Option<Empty>),
}

impl<'a> EventTypeView<'a> {
    /// In the answer to a create no schema is `null`.
    pub fn written(event_type: &'a EventType) -> Self {
        Self::new(event_type, None)
    }

    /// On reads no schema is `{}`.
    pub fn read(event_type: &'a EventType) -> Self {
        Self::new(event_type, Some(Empty {}))
    }

    fn new(event_type: &'a EventType, none: Option<Empty>) -> Self {
        Self {
            uid: event_type.id,
            name: &event_type.name,
            category: &event_type.category,
            json_schema: raw_json(event_type.json_schema.as_bytes()).map_or(Schema::None(none), Schema::Given),
            description: &event_type.description,
            deprecated_at: event_type.deprecated_at,
        }
    }
}
