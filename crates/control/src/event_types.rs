//! The event types a project knows by name (contracts/convoy.md §2.2).

use crate::violation::Violations;
use crate::{Control, live_project};
use dacapo_model::Id;
use dacapo_model::catalog::{Change, ProjectView};
use dacapo_model::event_type::{CATCH_ALL, EventType};
use dacapo_store::StoreError;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub struct NewEventType {
    pub name: String,
    pub category: String,
    pub description: String,
    /// JSON text; empty when none.
    pub json_schema: String,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum EventTypeError {
    #[error("unknown project")]
    UnknownProject,
    #[error(transparent)]
    Invalid(#[from] Violations),
    #[error("an event type with this name already exists")]
    NameTaken,
    #[error("invalid JSON schema: {0}")]
    Schema(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Control {
    pub async fn create_event_type(&self, project: Id, new: NewEventType) -> Result<Arc<EventType>, EventTypeError> {
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(EventTypeError::UnknownProject)?;
        let mut found = Violations::default();
        found.require("name", &new.name, "please provide a name for this event type");
        found.into_result()?;
        check_schema(&new.json_schema)?;
        if view.event_type(&new.name).is_some() {
            return Err(EventTypeError::NameTaken);
        }
        let event_type = Arc::new(EventType {
            category: new.category,
            description: new.description,
            json_schema: new.json_schema,
            ..self.new_event_type(project, &new.name)
        });
        edit.write(vec![Change::EventType(event_type.clone())]).await?;
        Ok(event_type)
    }
}

/// Newest first, the catch-all last.
pub fn listed(view: &ProjectView) -> impl Iterator<Item = &Arc<EventType>> {
    let named = view.event_types.values().rev().filter(|event_type| event_type.name != CATCH_ALL);
    named.chain(view.event_type(CATCH_ALL))
}

/// A schema is an object or a boolean; what it says is checked where schemas are used.
fn check_schema(text: &str) -> Result<(), EventTypeError> {
    if text.is_empty() {
        return Ok(());
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Bool(_)) => Ok(()),
        Ok(_) => Err(EventTypeError::Schema("must be an object or a boolean")),
        Err(_) => Err(EventTypeError::Schema("not JSON")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Fixture;

    #[tokio::test]
    async fn newest_first_and_the_catch_all_last() {
        let fixture = Fixture::new().await;
        let project = fixture.first_run().await.project_id;
        for name in ["a", "b"] {
            let new = NewEventType { name: name.to_owned(), ..NewEventType::default() };
            fixture.control.create_event_type(project, new).await.expect("created");
        }
        let view = fixture.view(project);
        let names: Vec<_> = listed(&view).map(|held| held.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "*"]);
    }

    #[tokio::test]
    async fn bad_ones_are_refused() {
        let fixture = Fixture::new().await;
        let project = fixture.first_run().await.project_id;
        for (name, schema, text) in [
            ("", "", "name:please provide a name for this event type"),
            ("*", "", "an event type with this name already exists"),
            ("x", "[1]", "invalid JSON schema: must be an object or a boolean"),
        ] {
            let new = NewEventType { name: name.to_owned(), json_schema: schema.to_owned(), ..NewEventType::default() };
            assert_eq!(fixture.control.create_event_type(project, new).await.expect_err(text).to_string(), text);
        }
    }
}
