//! Bad input: a clear refusal that names the field and the fix.

use super::{SOON, answering};
use anyhow::{Result, ensure};
use dacapo_testkit::product::Product;
use serde_json::{Value, json};

fn with(field: &str, value: Value) -> Value {
    let mut body = json!({"mode": "failed", "selector": {"from": "-1h"}});
    body[field] = value;
    body
}

#[tokio::test]
async fn every_refusal_names_the_field_and_the_fix() -> Result<()> {
    let product = Product::fresh().await?;
    for (body, status, says) in [
        (json!({}), 400, "selector: it says which events are meant"),
        (json!({"selector": {}}), 400, "selector: it has no start"),
        (json!({"selector": {"to": "now"}}), 400, "\"confirm_unbounded\": true"),
        (json!({"selector": {"from": "2999-01-01T00:00:00Z"}}), 400, "selector.from: "),
        (json!({"selector": {"form": "-1h"}}), 400, "selector.form: "),
        (
            json!({"selector": {"from": "-1h", "endpoint_ids": ["01H0JA5MEES38RRK3HTEJC647K"]}}),
            400,
            "selector.endpoint_ids: ",
        ),
        (
            json!({"selector": {"from": "-1h", "subscription_ids": ["01H0JA5MEES38RRK3HTEJC647K"]}}),
            400,
            "selector.subscription_ids: 01H0JA5MEES38RRK3HTEJC647K is no subscription of this project",
        ),
        (
            json!({"selector": {"from": "-1h", "delivery_status": ["Success"]}, "mode": "failed"}),
            400,
            "selector.delivery_status: ",
        ),
        (with("mode", json!("everything")), 400, "mode: it needs to be failed, missing, all or discarded"),
        (with("dryrun", json!(true)), 400, "dryrun: there is no such field"),
        (with("dry_run", json!("yes")), 400, "dry_run: it needs true or false"),
        (with("expected_count", json!(-1)), 400, "expected_count: it needs a whole number"),
        (with("expected_count", json!(7)), 409, "expected_count: the set holds 0 item(s) now, not 7"),
        (with("name", json!("n".repeat(201))), 400, "name: at most 200 characters"),
        (with("idempotency_key", json!("")), 400, "idempotency_key: 1 to 255 bytes"),
        (with("options", json!({"rate": 0})), 400, "options.rate: it needs a whole number from 1"),
        (with("options", json!({"rate": 1.5})), 400, "options.rate: it needs a whole number from 1"),
        (with("options", json!({"concurrency": 0})), 400, "options.concurrency: it needs a whole number from 1"),
        (with("options", json!({"order": "newest"})), 400, "options.order: it needs to be unordered or per_endpoint"),
        (with("options", json!({"as_of": {"function": "original"}})), 400, "functions are not available yet"),
        (
            with("options", json!({"as_of": {"url": "then"}})),
            400,
            "options.as_of.url: it needs to be original or current",
        ),
        (with("options", json!({"target": {}})), 400, "options.target: say where"),
        (with("options", json!({"target": {"url": "ftp://x"}})), 400, "options.target.url: "),
        (
            with("options", json!({"target": {"url": "http://127.0.0.1:0/"}})),
            400,
            "options.target.url: nobody listens on that port",
        ),
        (with("options", json!({"target": {"url": "http://[::1]:70000/"}})), 400, "options.target.url: nobody"),
        (
            with("options", json!({"target": {"url": "http://user:word@127.0.0.1/"}})),
            400,
            "options.target.url: a user name and a password",
        ),
        (
            with("options", json!({"target": {"endpoint_id": "x"}})),
            400,
            "options.target.endpoint_id: x is no endpoint's id",
        ),
        (
            with("options", json!({"target": {"endpoint_id": "01H0JA5MEES38RRK3HTEJC647K"}})),
            400,
            "options.target.endpoint_id: the project has no endpoint",
        ),
        (
            with("options", json!({"target": {"url": "http://10.0.0.1/"}})),
            400,
            "options.target.url: destination 10.0.0.1 is a private address",
        ),
        (with("options", json!({"speed": 3})), 400, "options.speed: there is no such field"),
    ] {
        let reply = product.post("/replays", &body).await?;
        ensure!(reply.status == status, "{body}: {} {}", reply.status, reply.text);
        ensure!(reply.message().contains(says), "{body}: {}", reply.text);
    }
    for text in ["", "{", "[]", "{\"selector\":{\"from\":\"-1h\"}} x"] {
        let reply = product.post_text("/replays", text).await?;
        ensure!(reply.status == 400, "{text:?}: {} {}", reply.status, reply.text);
    }
    // A plan says the same of what is expected as the start it is for.
    let mut plan = with("expected_count", json!(7));
    plan["dry_run"] = true.into();
    let refused = product.post("/replays", &plan).await?.expect(409)?;
    ensure!(
        refused.message().starts_with("expected_count: the set holds 0 item(s) now, not 7; plan"),
        "{}",
        refused.text
    );
    plan["expected_count"] = json!(0);
    let planned = product.post("/replays", &plan).await?.expect(200)?;
    ensure!(planned.data()["matched"] == 0, "{}", planned.text);
    let none = product.get("/replays").await?.expect(200)?;
    ensure!(none.data()["content"] == json!([]), "a refusal left something behind: {}", none.text);
    Ok(())
}

#[tokio::test]
async fn what_is_unknown_or_over_is_told() -> Result<()> {
    let product = Product::fresh().await?;
    let unknown = "01H0JA5MEES38RRK3HTEJC647K";
    for id in [unknown, "x"] {
        for reply in [
            product.get(&format!("/replays/{id}")).await?,
            product.get(&format!("/replays/{id}/items")).await?,
            product.get(&format!("/replays/{id}/report")).await?,
            product.steer_replay(id, "cancel").await?,
            product.change_replay(id, &json!({"rate": 5})).await?,
        ] {
            ensure!(reply.status == 404 && reply.message() == "replay not found", "{} {}", reply.status, reply.text);
        }
    }
    let id = product.start_replay(&with("name", json!("empty"))).await?;
    let done = product.replay_in(&id, "completed", SOON).await?;
    ensure!(done["counts"]["matched"] == 0 && done["progress"] == 1.0, "{done}");
    for verb in ["pause", "resume", "cancel"] {
        let reply = product.steer_replay(&id, verb).await?.expect(409)?;
        ensure!(reply.message().starts_with("the replay is completed: "), "{}", reply.text);
    }
    for body in [json!({}), json!({"rate": 0}), json!({"concurrency": null}), json!({"pace": 3})] {
        let reply = product.change_replay(&id, &body).await?;
        ensure!(reply.status == 400, "{body}: {} {}", reply.status, reply.text);
    }
    Ok(())
}

#[tokio::test]
async fn a_key_starts_one_and_so_many_may_be_open() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send_numbered(&endpoint, 0..2).await?;
    let mut body = json!({"mode": "all", "selector": {"from": "-1h"}, "options": {"include_succeeded": true}});
    (body["idempotency_key"], body["expected_count"]) = (json!("once"), json!(2));
    let first = product.start_replay(&body).await?;
    product.send_numbered(&endpoint, 2..3).await?;
    let again = product.post("/replays", &body).await?.expect(200)?;
    ensure!(again.data()["uid"] == first, "{}", again.text);
    // In another order it says the same.
    let text = format!(
        r#"{{"idempotency_key": "once", "options": {}, "selector": {}, "mode": "all", "expected_count": 2}}"#,
        body["options"], body["selector"]
    );
    let reordered = product.post_text("/replays", text).await?.expect(200)?;
    ensure!(reordered.data()["uid"] == first, "{}", reordered.text);
    let mut other = body.clone();
    other["name"] = json!("another");
    product.post("/replays", &other).await?.expect(409)?;

    let slow = json!({"mode": "all", "selector": {"from": "-1h"}, "options": {"include_succeeded": true, "rate": 1}});
    product.replay_in(&first, "completed", SOON).await?;
    let mut open = Vec::new();
    for _ in 0..8 {
        let id = product.start_replay(&slow).await?;
        product.steer_replay(&id, "pause").await?;
        open.push(id);
    }
    let reply = product.post("/replays", &slow).await?.expect(409)?;
    ensure!(reply.message().contains("8 replays of this project are open"), "{}", reply.text);
    product.steer_replay(&open[0], "cancel").await?.expect(200)?;
    dacapo_testkit::product::wait_until(SOON, "there is room for one more", async || {
        Ok((product.post("/replays", &slow).await?.status == 201).then_some(()))
    })
    .await
}
