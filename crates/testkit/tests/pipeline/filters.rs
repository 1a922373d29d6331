//! Filters of subscriptions, from the call that sets them to the delivery (contracts/convoy.md §4).

use super::{SOON, answering};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, content, text, uid, wait_until};
use dacapo_testkit::sink::Sink;
use serde_json::{Value, json};

/// A subscription to everything that looks like `filter`, on an endpoint of its own.
async fn subscribed(product: &Product, sink: &Sink, path: &str, filter: &Value) -> Result<(String, String)> {
    let endpoint = product.create_endpoint(&sink.url(path), &json!({"owner_id": "shop"})).await?;
    let body = json!({"name": "filtered", "endpoint_id": endpoint, "filter_config": {"filter": filter}});
    let made = product.post("/subscriptions", &body).await?.expect(201)?;
    Ok((endpoint, uid(made.data())?))
}

async fn event_in(product: &Product, key: &str, status: &str) -> Result<Value> {
    wait_until(SOON, &format!("the event {key} in {status}"), async || {
        let list = product.get(&format!("/events?idempotencyKey={key}")).await?.expect(200)?;
        Ok(content(&list).into_iter().find(|row| text(row, "status") == status))
    })
    .await
}

#[tokio::test]
async fn an_event_goes_only_where_the_filter_matches() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let large = json!({"body": {"order.total": {"$gte": 1000}, "items.$.sku": {"$regex": "^AB-"}}});
    let (_, _) = subscribed(&product, &sink, "/large", &large).await?;
    let european = json!({"body": {"order": {"currency": {"$in": ["EUR", "CHF"]}}}, "headers": {"X-Region": "eu"}});
    let (_, _) = subscribed(&product, &sink, "/european", &european).await?;

    // `app_id` addresses all endpoints of an owner.
    let send = async |key: &str, total: u64, region: &str| {
        let data = json!({"order": {"total": total, "currency": "EUR"}, "items": [{"sku": "XY-1"}, {"sku": "AB-2"}]});
        let body = json!({"app_id": "shop", "event_type": "order.paid", "data": data, "idempotency_key": key,
            "custom_headers": {"x-region": region}});
        product.post("/events", &body).await?.expect(201)
    };
    send("both", 1000, "eu").await?;
    send("large-only", 5000, "us").await?;
    send("european-only", 10, "eu").await?;
    send("nobody", 10, "us").await?;

    for (key, expected) in [("both", 2), ("large-only", 1), ("european-only", 1)] {
        let event = uid(&event_in(&product, key, "Success").await?)?;
        let rows = product.deliveries_in(&event, "Success", expected, SOON).await?;
        ensure!(rows.len() == expected, "{key}: {} deliveries", rows.len());
    }
    let unmatched = event_in(&product, "nobody", "Failure").await?;
    ensure!(text(&unmatched, "failure_reason") == "no subscription matched this event", "{unmatched}");
    ensure!(product.deliveries(&uid(&unmatched)?).await?.is_empty(), "delivered all the same");
    let mut paths: Vec<_> = sink.record().seen().iter().map(|seen| seen.path.clone()).collect();
    paths.sort();
    ensure!(paths == ["/european", "/european", "/large", "/large"], "{paths:?}");
    Ok(())
}

#[tokio::test]
async fn an_edited_filter_counts_at_once_and_for_replays() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let (endpoint, subscription) = subscribed(&product, &sink, "/", &json!({"body": {"n": {"$gt": 10}}})).await?;
    let path = format!("/subscriptions/{subscription}");
    let shown = |reply: &Value| reply["filter_config"]["filter"].clone();
    let expected = json!({"is_flattened": true, "headers": {}, "body": {"n": {"$gt": 10}}, "query": {}, "path": {}});
    ensure!(shown(product.get(&path).await?.expect(200)?.data()) == expected, "not as written");
    product.send_keyed(&endpoint, "small", &json!({"n": 1})).await?;
    let event = uid(&event_in(&product, "small", "Failure").await?)?;

    let renamed = product.put(&path, &json!({"name": "other"})).await?.expect(202)?;
    ensure!(shown(renamed.data()) == expected, "a name took the filter along: {}", renamed.text);
    // As in Convoy: a filter_config is the whole of it (contracts/convoy.md §4.2).
    let types_only = json!({"filter_config": {"event_types": ["test.event"]}});
    let reply = product.put(&path, &types_only).await?.expect(202)?;
    ensure!(shown(reply.data())["body"] == json!({}), "a filter_config without conditions kept them: {}", reply.text);
    let lower = json!({"filter_config": {"filter": {"body": {"n": {"$gt": 0}}}}});
    product.put(&path, &lower).await?.expect(202)?;
    product.put(&format!("/events/{event}/replay"), &json!({})).await?.expect(200)?;
    product.deliveries_in(&event, "Success", 1, SOON).await?;

    let bad = json!({"filter_config": {"filter": {"headers": {"X": {"$like": "a"}}}}});
    let refused = product.put(&path, &bad).await?.expect(400)?;
    let says = "filter_config.filter.headers: X: $like starts with a $ and is not a valid operator";
    ensure!(refused.message().starts_with(says), "{}", refused.text);
    let none = product.put(&path, &json!({"filter_config": {"filter": {}}})).await?.expect(202)?;
    ensure!(shown(none.data())["body"] == json!({}), "{}", none.text);
    let event = product.send_keyed(&endpoint, "any", &json!({"m": "x"})).await?;
    product.deliveries_in(&event, "Success", 1, SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_filter_survives_a_restart() -> Result<()> {
    let mut product = Product::fresh().await?;
    let sink = answering(200).await?;
    let (endpoint, _) = subscribed(&product, &sink, "/", &json!({"body": {"n": 1}})).await?;
    product.kill9()?;
    product.restart().await?;
    product.send_keyed(&endpoint, "other", &json!({"n": 2})).await?;
    event_in(&product, "other", "Failure").await?;
    let event = product.send_keyed(&endpoint, "same", &json!({"n": 1})).await?;
    product.deliveries_in(&event, "Success", 1, SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_filter_can_be_tried_without_a_subscription() -> Result<()> {
    let product = Product::fresh().await?;
    let test = async |request: Value, schema: Value| {
        product.post("/subscriptions/test_filter", &json!({"request": request, "schema": schema})).await
    };
    for (request, schema, expected) in [
        (json!({"body": {"a": {"b": 5}}}), json!({"body": {"a.b": {"$gte": 5}}}), true),
        (json!({"body": {"a": 1}}), json!({"body": {"a": 2}}), false),
        (json!({"header": {"x-kind": "a"}}), json!({"header": {"X-Kind": "a"}}), true),
        (json!({"query": {"n": ["1", "2"]}, "path": {"path": "/x"}}), json!({"query": {"n": "2"}}), true),
        (json!({"path": {"path": "/x"}}), json!({"path": {"path": "/y"}}), false),
        (json!({"body": [{"a": 1}]}), json!({"body": {"$.a": 1}, "header": null}), true),
        (json!({"body": {"a": 1}}), json!({}), true),
        (json!({}), json!({"body": {"a": 1}}), false),
    ] {
        let reply = test(request, schema).await?.expect(200)?;
        ensure!(reply.message() == "Filter validated successfully" && *reply.data() == expected, "{}", reply.text);
    }
    for schema in [json!({"body": {"a": {"$like": 1}}}), json!({"body": {"a": {"$regex": "x"}}})] {
        let reply = test(json!({"body": {"a": 1}}), schema).await?.expect(400)?;
        ensure!(reply.message() == "failed to validate subscription filter", "{}", reply.text);
    }
    Ok(())
}
