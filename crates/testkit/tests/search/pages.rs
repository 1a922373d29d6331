//! What a selector means, page after page.

use super::Pair;
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, Reply, content, text};
use http::Method;
use serde_json::{Value, json};

fn uids(reply: &Reply) -> Vec<String> {
    content(reply).iter().map(|event| text(event, "uid").to_owned()).collect()
}

fn cursor(reply: &Reply) -> String {
    text(&reply.data()["pagination"], "next_page_cursor").to_owned()
}

/// All pages of two.
async fn walk(product: &Product, selector: &Value, query: &str) -> Result<Vec<String>> {
    let (mut found, mut at) = (Vec::new(), String::new());
    loop {
        let path = format!("/events/search?perPage=2&cursor={at}{query}");
        let page = product.post(&path, selector).await?.expect(200)?;
        found.extend(uids(&page));
        at = cursor(&page);
        if at.is_empty() {
            ensure!(page.data()["looked"]["until"].is_null(), "{}", page.text);
            return Ok(found);
        }
        ensure!(page.data()["looked"]["until"].is_string(), "{}", page.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_what_its_selector_means() -> Result<()> {
    let pair = Pair::new().await?;
    let events = pair.events(6).await?;
    let odd: Vec<&String> = events.iter().skip(1).step_by(2).collect();
    for selector in [
        json!({"mode": "failed"}),
        json!({"mode": "failed", "from": "-1h", "endpoint_ids": [pair.broken], "http_status": ["5xx"]}),
        json!({"delivery_status": ["Failure"], "event_types": ["test.*"]}),
        json!({"owner_ids": ["bob"], "filter": {"body": {"n": {"$gte": 1}}}}),
        json!({"event_ids": odd}),
    ] {
        let found = walk(&pair.product, &selector, "&sort=ASC").await?;
        ensure!(found.iter().eq(odd.iter().copied()), "{selector}: {found:?}");
        let mut newest_first = walk(&pair.product, &selector, "").await?;
        newest_first.reverse();
        ensure!(newest_first == found, "{selector}: {newest_first:?}");
    }
    let page = pair.product.post("/events/search", &json!({"mode": "failed"})).await?.expect(200)?;
    let newest = &content(&page)[0];
    let meant = &newest["meant_for"][0];
    ensure!(text(meant, "endpoint_id") == pair.broken && meant["already_succeeded"] == false, "{newest}");
    let delivery = &newest["deliveries"][0];
    ensure!(text(delivery, "status") == "Failure" && delivery["http_status"] == 503, "{newest}");
    ensure!(text(delivery, "uid") == text(meant, "delivery_id") && newest["data"]["n"] == 5, "{newest}");

    let by_query = pair.product.get("/events/search?mode=failed&event_types=test.*&http_status=503&sort=ASC").await?;
    ensure!(uids(&by_query.expect(200)?).iter().eq(odd.iter().copied()), "a GET finds what a POST finds");
    // What an endpoint lacks: nobody else was addressed, so nothing.
    let missing = json!({"mode": "missing", "endpoint_ids": [pair.broken]});
    ensure!(walk(&pair.product, &missing, "").await?.is_empty(), "an addressed event is not missing elsewhere");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_pages_are_of_the_same_set() -> Result<()> {
    let pair = Pair::new().await?;
    let events = pair.events(4).await?;
    let first = pair.product.post("/events/search?perPage=3&sort=ASC", &json!({"from": "-1h"})).await?.expect(200)?;
    ensure!(uids(&first) == events[..3], "{}", first.text);
    let newer = pair.product.send_keyed(&pair.sound, "newer", &json!({})).await?;
    let path = format!("/events/search?sort=ASC&cursor={}", cursor(&first));
    let rest = pair.product.post(&path, &json!({"from": "-1h"})).await?.expect(200)?;
    ensure!(uids(&rest) == events[3..], "{}", rest.text);
    let anew = pair.product.post("/events/search", &json!({"from": "-1h"})).await?.expect(200)?;
    ensure!(uids(&anew)[0] == newer, "{}", anew.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_says_how_many_and_whether_that_is_all() -> Result<()> {
    let pair = Pair::new().await?;
    pair.events(5).await?;
    for (selector, events, succeeded) in [
        (json!({}), 5, 3),
        (json!({"mode": "failed"}), 2, 0),
        (json!({"delivery_status": ["Success", "Failure"]}), 5, 3),
        (json!({"event_types": ["other"]}), 0, 0),
    ] {
        let count = pair.product.post("/events/search/count", &selector).await?.expect(200)?;
        let data = count.data();
        ensure!(data["events"] == events && data["deliveries"] == events, "{selector}: {}", count.text);
        ensure!(data["already_succeeded"] == succeeded && data["exact"] == true, "{selector}: {}", count.text);
    }
    let by_query = pair.product.get("/events/search/count?mode=failed").await?.expect(200)?;
    ensure!(by_query.data()["events"] == 2, "{}", by_query.text);
    Ok(())
}

#[tokio::test]
async fn bad_input_names_the_field_and_the_fix() -> Result<()> {
    let product = Product::fresh().await?;
    let unknown = "01H0JA5MEES38RRK3HTEJC647K";
    for (selector, says) in [
        (json!({"since": "-1h"}), "since: is no field of a selector: use mode, from, to"),
        (json!({"from": "soon"}), "from: \"soon\" is no time: write RFC 3339"),
        (json!({"from": "2100-01-01T00:00:00Z"}), "from: lies in the future"),
        (json!({"from": "-1h", "to": "-2h"}), "from: is later than `to`"),
        (json!({"endpoint_ids": []}), "endpoint_ids: is empty"),
        (json!({"endpoint_ids": [unknown]}), &format!("endpoint_ids: {unknown} is no endpoint of this project")),
        (json!({"owner_ids": ["nobody"]}), "owner_ids: no endpoint of this project has the owner \"nobody\""),
        (json!({"replay_id": unknown}), &format!("replay_id: {unknown} is no replay of this project")),
        (json!({"event_ids": [unknown]}), &format!("event_ids: {unknown} is no event of this project")),
        (json!({"mode": "missing", "attempts_min": 2}), "attempts_min: cannot go with mode missing"),
        (json!({"filter": {"body": {"a": {"$gt": "x"}}}}), "filter: body: a: $gt needs a number"),
        (json!([]), "body contains incorrect JSON type"),
    ] {
        for path in ["/events/search", "/events/search/count"] {
            let reply = product.post(path, &selector).await?;
            ensure!(reply.status == 400 && reply.message().starts_with(says), "{selector}: {}", reply.text);
            ensure!(reply.body.get("data").is_none(), "{}", reply.text);
        }
    }
    for (query, says) in [
        ("perPage=0", "perPage: \"0\" is no page size"),
        ("perPage=201", "perPage: \"201\" is no page size: use 1 to 200"),
        ("sort=up", "sort: use ASC"),
        ("cursor=x", "cursor: is not of this search"),
        ("event_type=a", "event_type: is no field"),
        ("filter={", "filter: is not JSON"),
    ] {
        let reply = product.get(&format!("/events/search?{query}")).await?;
        ensure!(reply.status == 400 && reply.message().starts_with(says), "{query}: {}", reply.text);
    }
    // A key that is nobody's learns nothing.
    let path = product.path("/events/search");
    ensure!(product.client().get(&path, Some("Bearer CO.x.y")).await?.status == 401, "searched without a key");
    Ok(())
}

/// A replay of many events has a row, one of a single event has deliveries only: both are known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_named_is_looked_for_before_it_is_searched() -> Result<()> {
    let pair = Pair::new().await?;
    let product = &pair.product;
    let events = pair.events(2).await?;
    product.put(&format!("/events/{}/replay", events[0]), &json!({})).await?.expect(200)?;
    let list = product.connect(Method::GET, "/connect/v1/webhook-deliveries?trigger=replay", &[], None).await?;
    let single = text(&list.expect(200)?.body["data"][0], "replay_id").to_owned();
    let none = product.start_replay(&json!({"mode": "discarded", "selector": {"from": "-1h"}})).await?;
    let unknown = "01H0JA5MEES38RRK3HTEJC647K";
    for (selector, found) in [
        (json!({"replay_id": single}), Some(vec![&events[0]])),
        (json!({"replay_id": none}), Some(vec![])),
        (json!({"event_ids": events}), Some(events.iter().collect())),
        (json!({"event_ids": [events[1], unknown]}), None),
        (json!({"event_ids": events, "replay_id": unknown}), None),
    ] {
        let reply = product.post("/events/search?sort=ASC", &selector).await?;
        let Some(found) = found else {
            ensure!(reply.status == 400 && reply.message().contains(unknown), "{selector}: {}", reply.text);
            let body = json!({"selector": selector, "confirm_unbounded": true});
            let refused = product.post("/replays", &body).await?;
            ensure!(refused.status == 400 && refused.message().starts_with("selector."), "{body}: {}", refused.text);
            continue;
        };
        let reply = reply.expect(200)?;
        ensure!(uids(&reply).iter().eq(found), "{selector}: {}", reply.text);
    }
    Ok(())
}
