//! Webhooks of an OpenAPI document: `webhooks`, else `x-webhooks`, else paths that are called so.

use super::{EventTypeError, check_schema};
use crate::yaml;
use serde_json::{Map, Value};

/// Bytes of a document. One that is larger describes more than webhooks.
const SPEC_BYTES_MAX: usize = 4 * 1024 * 1024;
const WEBHOOKS_MAX: usize = 1_000;
/// Bytes of a schema, with what it refers to put in.
const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// References within references; what goes on after that stays a reference.
const REFERENCES_DEEP_MAX: usize = 16;
const METHODS: [&str; 4] = ["post", "put", "patch", "get"];

/// What a document has, checked.
#[derive(Debug)]
pub struct Spec {
    pub(super) webhooks: Vec<Webhook>,
}

impl Spec {
    /// YAML or JSON. Takes a while for a large one.
    pub fn read(text: &str) -> Result<Self, EventTypeError> {
        Ok(Self { webhooks: webhooks(text)? })
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Webhook {
    pub name: String,
    pub description: String,
    /// JSON text of the request's schema; empty when none is given.
    pub json_schema: String,
}

fn webhooks(spec: &str) -> Result<Vec<Webhook>, EventTypeError> {
    let unusable = |why: &str| EventTypeError::Spec(why.to_owned());
    if spec.len() > SPEC_BYTES_MAX {
        return Err(EventTypeError::Spec(format!("it is larger than {SPEC_BYTES_MAX} bytes")));
    }
    let document = yaml::read(spec).map_err(EventTypeError::Spec)?;
    let version = match document.get("openapi") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(unusable("it has no \"openapi\" version")),
    };
    if !version.starts_with("3.") {
        return Err(EventTypeError::Spec(format!("version {version} is not 3.x")));
    }
    let found = named(&document);
    if found.is_empty() {
        return Err(EventTypeError::NoWebhooks);
    }
    if found.len() > WEBHOOKS_MAX {
        return Err(EventTypeError::Spec(format!("it has more than {WEBHOOKS_MAX} webhooks")));
    }
    found.into_iter().map(|(name, item)| webhook(&document, name, item)).collect()
}

fn named(document: &Value) -> Vec<(&String, &Value)> {
    let all = |field: &str| document.get(field).and_then(Value::as_object).into_iter().flatten();
    for field in ["webhooks", "x-webhooks"] {
        let found: Vec<_> = all(field).collect();
        if !found.is_empty() {
            return found;
        }
    }
    all("paths").filter(|(path, _)| path.to_ascii_lowercase().contains("webhook")).collect()
}

fn webhook(document: &Value, name: &str, item: &Value) -> Result<Webhook, EventTypeError> {
    let item = target(document, item);
    let operation = METHODS.iter().find_map(|method| item.get(method)).map_or(item, |found| target(document, found));
    let text = |of: &Value, field: &str| of.get(field).and_then(Value::as_str).map(str::to_owned);
    let description = text(operation, "description").or_else(|| text(operation, "summary"));
    let description = description.or_else(|| text(item, "description")).or_else(|| text(item, "summary"));
    let json_schema = schema_of(document, operation).unwrap_or_default();
    let refused = |fault| EventTypeError::Imported { name: name.to_owned(), fault: Box::new(fault) };
    if json_schema.len() > SCHEMA_BYTES_MAX {
        return Err(refused(EventTypeError::Schema(format!("it is larger than {SCHEMA_BYTES_MAX} bytes"))));
    }
    check_schema(&json_schema).map_err(refused)?;
    Ok(Webhook { name: name.to_owned(), description: description.unwrap_or_default(), json_schema })
}

/// Of the request's JSON, or of its first kind of body.
fn schema_of(document: &Value, operation: &Value) -> Option<String> {
    let content = target(document, operation.get("requestBody")?).get("content")?.as_object()?;
    let media = content.get("application/json").or_else(|| content.values().next())?;
    let mut room = SCHEMA_BYTES_MAX;
    Some(whole(document, media.get("schema")?, 0, &mut room).to_string())
}

/// What a reference within the document leads to, or the value itself.
fn target<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let mut value = value;
    for _ in 0..REFERENCES_DEEP_MAX {
        match local(document, value) {
            Some(found) => value = found,
            None => return value,
        }
    }
    value
}

fn local<'d>(document: &'d Value, value: &Value) -> Option<&'d Value> {
    document.pointer(value.get("$ref")?.as_str()?.strip_prefix('#')?)
}

/// The schema with the document's own parts in place of references to them: it is kept without the document.
/// `room`: bytes that may still be put in; about, so that references to references end.
fn whole(document: &Value, schema: &Value, references: usize, room: &mut usize) -> Value {
    *room = room.saturating_sub(8);
    match schema {
        Value::Object(_) if references < REFERENCES_DEEP_MAX && *room > 0 && local(document, schema).is_some() => {
            whole(document, local(document, schema).unwrap_or(schema), references + 1, room)
        }
        Value::Object(fields) => {
            let inner = |(name, value): (&String, &Value)| {
                *room = room.saturating_sub(name.len());
                (name.clone(), whole(document, value, references, room))
            };
            Value::Object(fields.iter().map(inner).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(|item| whole(document, item, references, room)).collect(),
        Value::String(text) => {
            *room = room.saturating_sub(text.len());
            schema.clone()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => schema.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(spec: &str) -> Vec<String> {
        webhooks(spec).expect(spec).into_iter().map(|webhook| webhook.name).collect()
    }

    #[test]
    fn each_webhook_with_its_description_and_the_whole_schema_of_its_request() {
        let spec = r##"
openapi: 3.1.0
info: {title: Orders, version: "1"}
webhooks:
  order.paid:
    post:
      summary: An order was paid
      requestBody: {$ref: "#/components/requestBodies/Order"}
  order.lost: {$ref: "#/components/pathItems/Lost"}
components:
  pathItems:
    Lost: {summary: Nobody knows where it is, put: {}}
  requestBodies:
    Order: {content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
  schemas:
    Order: {type: object, properties: {amount: {$ref: "#/components/schemas/Amount"}}}
    Amount: {type: number, exclusiveMinimum: true, minimum: 0}
"##;
        let schema = json!({"type": "object", "properties": {"amount": {"type": "number", "exclusiveMinimum": true, "minimum": 0}}});
        let found = webhooks(spec).expect("webhooks");
        let one = |name: &str, description: &str, json_schema: String| Webhook {
            name: name.to_owned(),
            description: description.to_owned(),
            json_schema,
        };
        let lost = one("order.lost", "Nobody knows where it is", String::new());
        let paid = one("order.paid", "An order was paid", schema.to_string());
        assert!(found.contains(&lost) && found.contains(&paid) && found.len() == 2, "{found:?}");
    }

    #[test]
    fn x_webhooks_stand_in_and_paths_that_are_called_so() {
        assert_eq!(names(r#"{"openapi":"3.0.3","x-webhooks":{"a":{}},"paths":{"/webhooks/b":{}}}"#), ["a"]);
        assert_eq!(names(r#"{"openapi":"3.0.3","paths":{"/WebHooks/b":{"post":{}},"/users":{}}}"#), ["/WebHooks/b"]);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let many: Map<String, Value> = (0..=WEBHOOKS_MAX).map(|n| (n.to_string(), json!({}))).collect();
        let many = json!({"openapi": "3.1.0", "webhooks": many}).to_string();
        for (spec, says) in [
            ("", "error loading OpenAPI spec: it is empty"),
            ("{", "error loading OpenAPI spec: "),
            ("just a text", "error loading OpenAPI spec: it has no \"openapi\" version"),
            ("swagger: '2.0'", "error loading OpenAPI spec: it has no \"openapi\" version"),
            ("openapi: 2.0.0", "error loading OpenAPI spec: version 2.0.0 is not 3.x"),
            ("openapi: 3.1.0\npaths: {/users: {}}", "no webhooks found in OpenAPI spec"),
            (&many, "error loading OpenAPI spec: it has more than 1000 webhooks"),
            (
                r#"{"openapi":"3.1.0","webhooks":{"a":{"post":{"requestBody":{"content":{"x":{"schema":{"type":"text"}}}}}}}}"#,
                "a: invalid JSON schema: /type: ",
            ),
        ] {
            let refused = webhooks(spec).expect_err(says).to_string();
            assert!(refused.starts_with(says), "{spec:.80}: {refused}");
        }
    }

    #[test]
    fn references_that_go_round_end() {
        let schemas = r##"{"A":{"anyOf":[{"$ref":"#/components/schemas/A"},{"$ref":"#/components/schemas/A"}]}}"##;
        let spec = format!(
            r##"{{"openapi":"3.1.0","webhooks":{{"a":{{"post":{{"requestBody":{{"content":{{"application/json":
            {{"schema":{{"$ref":"#/components/schemas/A"}}}}}}}}}}}}}},"components":{{"schemas":{schemas}}}}}"##
        );
        match webhooks(&spec) {
            Ok(found) => assert!(found[0].json_schema.len() <= SCHEMA_BYTES_MAX),
            Err(refused) => assert!(refused.to_string().contains("larger than"), "{refused}"),
        }
    }
}
