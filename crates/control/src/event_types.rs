//! The event types a project knows by name (contracts/convoy.md §2.2).

mod import;

pub use import::Spec;

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

/// A change; `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct EventTypeUpdate {
    pub category: Option<String>,
    pub description: Option<String>,
    /// JSON text.
    pub json_schema: Option<String>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum EventTypeError {
    #[error("unknown project")]
    UnknownProject,
    #[error("event type not found")]
    Unknown,
    /// A document to import cannot be read.
    #[error("error loading OpenAPI spec: {0}")]
    Spec(String),
    #[error("no webhooks found in OpenAPI spec")]
    NoWebhooks,
    #[error("{name}: {fault}")]
    Imported { name: String, fault: Box<EventTypeError> },
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

    /// Its name stays.
    pub async fn update_event_type(
        &self,
        project: Id,
        id: Id,
        update: EventTypeUpdate,
    ) -> Result<Arc<EventType>, EventTypeError> {
        check_schema(update.json_schema.as_deref().unwrap_or_default())?;
        self.change_event_type(project, id, |event_type| {
            if let Some(category) = update.category {
                event_type.category = category;
            }
            if let Some(description) = update.description {
                event_type.description = description;
            }
            if let Some(json_schema) = update.json_schema {
                event_type.json_schema = json_schema;
            }
        })
        .await
    }

    /// Events of it are taken as before. Once deprecated, it stays so since then.
    pub async fn deprecate_event_type(&self, project: Id, id: Id) -> Result<Arc<EventType>, EventTypeError> {
        let now = self.clock.now();
        self.change_event_type(project, id, |event_type| {
            event_type.deprecated_at.get_or_insert(now);
        })
        .await
    }

    async fn change_event_type(
        &self,
        project: Id,
        id: Id,
        change: impl FnOnce(&mut EventType),
    ) -> Result<Arc<EventType>, EventTypeError> {
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(EventTypeError::UnknownProject)?;
        let mut event_type = EventType::clone(view.event_types.get(&id).ok_or(EventTypeError::Unknown)?);
        change(&mut event_type);
        let event_type = Arc::new(event_type);
        edit.write(vec![Change::EventType(event_type.clone())]).await?;
        Ok(event_type)
    }

    /// An event type for each webhook of an OpenAPI document (YAML or JSON) that has none of its name; gives
    /// all that the document names.
    pub async fn import_event_types(&self, project: Id, spec: Spec) -> Result<Vec<Arc<EventType>>, EventTypeError> {
        let found = spec.webhooks;
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(EventTypeError::UnknownProject)?;
        let (mut all, mut new) = (Vec::with_capacity(found.len()), Vec::new());
        for webhook in found {
            if let Some(known) = view.event_type(&webhook.name) {
                all.push(Arc::clone(known));
                continue;
            }
            let event_type = Arc::new(EventType {
                description: webhook.description,
                json_schema: webhook.json_schema,
                ..self.new_event_type(project, &webhook.name)
            });
            new.push(Change::EventType(event_type.clone()));
            all.push(event_type);
        }
        if !new.is_empty() {
            edit.write(new).await?;
        }
        Ok(all)
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

    #[tokio::test]
    async fn a_change_keeps_the_name_and_what_is_not_said() {
        let fixture = Fixture::new().await;
        let control = &fixture.control;
        let project = fixture.first_run().await.project_id;
        let new = NewEventType { category: "money".to_owned(), ..with_schema("paid", r#"{"type":"object"}"#) };
        let before = control.create_event_type(project, new).await.expect("created");
        let said = EventTypeUpdate { description: Some("it was paid".to_owned()), ..EventTypeUpdate::default() };
        let after = control.update_event_type(project, before.id, said).await.expect("changed");
        assert_eq!(*after, EventType { description: "it was paid".to_owned(), ..EventType::clone(&before) });
        assert_eq!(fixture.view(project).event_type("paid"), Some(&after));
        let bad = EventTypeUpdate { json_schema: Some(r#"{"type":"text"}"#.to_owned()), ..EventTypeUpdate::default() };
        let refused = control.update_event_type(project, before.id, bad).await.expect_err("no schema");
        assert!(refused.to_string().starts_with("invalid JSON schema: /type: "), "{refused}");
        let unknown = control.update_event_type(project, Id::MIN, EventTypeUpdate::default()).await;
        assert_eq!(unknown.expect_err("unknown").to_string(), "event type not found");
    }

    #[tokio::test]
    async fn what_is_deprecated_stays_so_since_then() {
        let fixture = Fixture::new().await;
        let control = &fixture.control;
        let project = fixture.first_run().await.project_id;
        let id = control.create_event_type(project, with_schema("old", "")).await.expect("created").id;
        let first = control.deprecate_event_type(project, id).await.expect("deprecated");
        assert!(first.deprecated_at.is_some());
        fixture.clock.advance(std::time::Duration::from_secs(5));
        assert_eq!(control.deprecate_event_type(project, id).await.expect("again"), first);
        let unknown = control.deprecate_event_type(project, Id::MIN).await.expect_err("unknown");
        assert!(matches!(unknown, EventTypeError::Unknown));
    }

    #[tokio::test]
    async fn an_import_leaves_what_is_there_and_gives_all_it_named() {
        let fixture = Fixture::new().await;
        let control = &fixture.control;
        let project = fixture.first_run().await.project_id;
        let known = NewEventType { description: "mine".to_owned(), ..with_schema("order.paid", "") };
        let known = control.create_event_type(project, known).await.expect("created");
        let spec = "openapi: 3.1.0\nwebhooks:\n  order.away: {post: {summary: It left}}\n  order.paid: {post: {}}\n";
        let import = async || control.import_event_types(project, Spec::read(spec).expect("a document")).await;
        let all = import().await.expect("imported");
        assert_eq!((all[0].name.as_str(), all[0].description.as_str()), ("order.away", "It left"));
        assert_eq!(all[1..], [known], "left as it was");
        assert_eq!(import().await.expect("again"), all, "nothing twice");
        assert_eq!(fixture.view(project).event_types.len(), 3, "with the catch-all");
    }
}
