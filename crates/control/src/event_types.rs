//! The event types a project knows by name (contracts/convoy.md §2.2).

use crate::violation::Violations;
use crate::{Control, live_project};
use dacapo_model::Id;
use dacapo_model::catalog::{Change, ProjectView};
use dacapo_model::event_type::{CATCH_ALL, EventType};
use dacapo_store::StoreError;
use jsonschema::{draft4, meta};
use serde_json::Value;
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
    Schema(String),
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

/// A schema is checked against the meta-schema of the draft it names; payloads are not checked against
/// it (contracts/convoy.md §2.2).
fn check_schema(text: &str) -> Result<(), EventTypeError> {
    if text.is_empty() {
        return Ok(());
    }
    let refused = |why: String| Err(EventTypeError::Schema(why));
    let schema = match serde_json::from_str::<Value>(text) {
        Ok(schema @ (Value::Object(_) | Value::Bool(_))) => schema,
        Ok(_) => return refused("must be an object or a boolean".to_owned()),
        Err(_) => return refused("not JSON".to_owned()),
    };
    let Err(error) = meta::validate(&schema) else { return Ok(()) };
    // Who names no draft may have written for an old one, whose `exclusiveMinimum` is a boolean.
    if schema.get("$schema").is_none() && draft4::meta::validate(&schema).is_ok() {
        return Ok(());
    }
    match error.instance_path().as_str() {
        "" => refused(error.masked().to_string()),
        place => refused(format!("{place}: {}", error.masked())),
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

    fn with_schema(name: &str, schema: &str) -> NewEventType {
        NewEventType { name: name.to_owned(), json_schema: schema.to_owned(), ..NewEventType::default() }
    }

    #[tokio::test]
    async fn bad_ones_are_refused() {
        let fixture = Fixture::new().await;
        let project = fixture.first_run().await.project_id;
        let deep = format!(r#"{}{}"#, r#"{"not":"#.repeat(10_000), "}".repeat(10_000));
        for (name, schema, text) in [
            ("", "", "name:please provide a name for this event type"),
            ("*", "", "an event type with this name already exists"),
            ("x", "[1]", "invalid JSON schema: must be an object or a boolean"),
            ("x", &deep, "invalid JSON schema: not JSON"),
            ("x", r#"{"type":"text"}"#, "invalid JSON schema: /type: "),
            ("x", r#"{"properties":{"a":{"minLength":-1}}}"#, "invalid JSON schema: /properties/a/minLength: "),
            ("x", r#"{"required":"a"}"#, "invalid JSON schema: /required: "),
            (
                "x",
                r#"{"$schema":"http://json-schema.org/draft-07/schema#","exclusiveMinimum":true}"#,
                "invalid JSON schema: /exclusiveMinimum: ",
            ),
            ("x", r#"{"$schema":"https://schemas.example/mine"}"#, "invalid JSON schema: "),
        ] {
            let refused = fixture.control.create_event_type(project, with_schema(name, schema)).await;
            let refused = refused.expect_err(text).to_string();
            assert!(refused.starts_with(text) && refused.len() < 300, "{schema:.99}: {refused}");
        }
    }

    #[tokio::test]
    async fn what_is_a_schema_in_some_draft_is_taken() {
        let fixture = Fixture::new().await;
        let project = fixture.first_run().await.project_id;
        for (number, schema) in [
            "",
            "{}",
            "true",
            r#"{"type":"object","properties":{"amount":{"type":"number"}},"required":["amount"]}"#,
            // Nobody looks there: a name is all it is.
            r#"{"$ref":"https://schemas.example/invoice.json"}"#,
            r#"{"minimum":0,"exclusiveMinimum":true}"#,
            r#"{"$schema":"http://json-schema.org/draft-07/schema#","if":{},"then":{}}"#,
            r#"{"words of others":1}"#,
        ]
        .into_iter()
        .enumerate()
        {
            let new = with_schema(&format!("type.{number}"), schema);
            let created = fixture.control.create_event_type(project, new).await.expect(schema);
            assert_eq!(created.json_schema, schema);
        }
    }
}
