//! Event types: change, deprecate, import (contracts/convoy.md §2.2).

use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, text, uid};
use serde_json::{Value, json};

#[tokio::test]
async fn they_are_changed_deprecated_and_imported_with_convoys_answers() -> Result<()> {
    let product = Product::fresh().await?;
    let created = product.post("/event-types", &json!({"name": "paid", "category": "money"})).await?.expect(201)?;
    ensure!(created.data()["json_schema"].is_null(), "{}", created.text);
    let path = format!("/event-types/{}", uid(created.data())?);

    let body = json!({"name": "another", "description": "it was paid", "json_schema": {"type": "object"}});
    let changed = product.put(&path, &body).await?.expect(201)?;
    ensure!(changed.message() == "Event type created successfully", "{}", changed.text);
    let data = changed.data();
    ensure!(data["name"] == "paid" && data["category"] == "money" && data["description"] == "it was paid", "{data}");
    ensure!(data["json_schema"] == json!({"type": "object"}), "{data}");

    let deprecated = product.post(&format!("{path}/deprecate"), &Value::Null).await?.expect(201)?;
    ensure!(deprecated.message() == "Event type deprecated successfully", "{}", deprecated.text);
    let since = deprecated.data()["deprecated_at"].clone();
    let again = product.post(&format!("{path}/deprecate"), &Value::Null).await?.expect(201)?;
    ensure!(since.is_string() && again.data()["deprecated_at"] == since, "{}", again.text);
    for unknown in ["01H0JA5MEES38RRK3HTEJC647K", "nonsense"] {
        let refused = product.put(&format!("/event-types/{unknown}"), &json!({})).await?.expect(400)?;
        ensure!(refused.message() == "event type not found", "{}", refused.text);
        let refused = product.post(&format!("/event-types/{unknown}/deprecate"), &json!({})).await?.expect(400)?;
        ensure!(refused.message() == "event type not found", "{}", refused.text);
    }

    let spec = "openapi: 3.1.0\nwebhooks:\n  paid: {post: {description: theirs}}\n  sent:\n    post:\n      summary: It left\n";
    let imported = product.post("/event-types/import", &json!({"spec": spec})).await?.expect(200)?;
    ensure!(imported.message() == "Event types imported successfully", "{}", imported.text);
    let rows = imported.data().as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = rows.iter().map(|row| text(row, "name")).collect();
    ensure!(names == ["paid", "sent"] && text(&rows[0], "description") == "it was paid", "{}", imported.text);
    let listed = product.get("/event-types").await?.expect(200)?;
    let listed: Vec<&str> =
        listed.data().as_array().into_iter().flatten().map(|row| row["name"].as_str().unwrap_or_default()).collect();
    ensure!(listed == ["sent", "paid", "*"], "{listed:?}");
    for (spec, says) in [
        ("openapi: 3.0.0", "no webhooks found in OpenAPI spec"),
        ("openapi: [", "error loading OpenAPI spec: "),
        ("", "error loading OpenAPI spec: it is empty"),
    ] {
        let refused = product.post("/event-types/import", &json!({"spec": spec})).await?.expect(400)?;
        ensure!(refused.message().starts_with(says), "{}", refused.text);
    }
    Ok(())
}
