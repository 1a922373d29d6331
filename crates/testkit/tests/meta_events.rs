//! Webhooks about the product itself, through the real binary, one file per promise.

#[path = "meta_events/crash.rs"]
mod crash;
#[path = "meta_events/nodes.rs"]
mod nodes;
#[path = "meta_events/retries.rs"]
mod retries;
#[path = "meta_events/told.rs"]
mod told;

use anyhow::{Result, ensure};
use aws_lc_rs::{digest, hmac};
use dacapo_testkit::product::{Product, content, text, wait_until};
use dacapo_testkit::sink::{Answer, Keep, Plan, Seen, Sink};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// What happens at once happens within this, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "tell me";

async fn sink(plan: Plan) -> Result<Sink> {
    Sink::start(plan, Keep { markers: 0, requests: 1_000 }).await
}

async fn answering(status: u16) -> Result<Sink> {
    sink(Plan::always(Answer::status(status))).await
}

/// One whose answers are not waited for.
fn hanging() -> Plan {
    Plan::always(Answer::status(200).after(Duration::from_secs(600)))
}

/// From now on the product tells the sink of these.
async fn tell(product: &Product, sink: &Sink, names: &[&str]) -> Result<()> {
    let meta_event = json!({"is_enabled": true, "type": "http", "event_type": names, "url": sink.url("/told"),
        "secret": SECRET});
    product.set_config(&json!({"meta_event": meta_event})).await
}

/// All there are, newest first.
async fn listed(product: &Product) -> Result<Vec<Value>> {
    Ok(content(&product.get("/meta-events?perPage=1000&sort=ASC").await?.expect(200)?))
}

/// Waits until there are so many, all in this status.
async fn all_in(product: &Product, status: &str, count: usize) -> Result<Vec<Value>> {
    let mut last = Vec::new();
    let found = wait_until(SOON, &format!("{count} meta events {status}"), async || {
        last = listed(product).await?;
        let is_so = last.len() == count && last.iter().all(|told| text(told, "status") == status);
        Ok(is_so.then(|| last.clone()))
    })
    .await;
    found.map_err(|cause| cause.context(format!("last seen: {}", Value::Array(last))))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As a receiver does it, over the bytes that came.
fn verified(seen: &Seen) -> Result<Value> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signed = hex(hmac::sign(&key, &seen.body).as_ref());
    ensure!(seen.header("x-convoy-signature") == signed, "{seen:?}");
    ensure!(seen.header("content-type") == "application/json", "{seen:?}");
    ensure!(seen.header("user-agent").starts_with("Dacapo/") && seen.path == "/told", "{seen:?}");
    Ok(serde_json::from_slice(&seen.body)?)
}

/// What came is what is listed, each once: told apart by the key that follows from its id.
fn each_once(sink: &Sink, listed: &[Value]) -> Result<()> {
    let seen = sink.record().seen();
    let came: BTreeSet<String> = seen.iter().map(|seen| seen.header("x-convoy-idempotency-key").to_owned()).collect();
    ensure!(came.len() == seen.len() && seen.len() == listed.len(), "{} of {} came", seen.len(), listed.len());
    for told in listed {
        let uid = text(told, "uid");
        let key = hex(digest::digest(&digest::SHA256, uid.as_bytes()).as_ref());
        ensure!(came.contains(&key), "{uid} did not come");
        let body = seen.iter().find(|seen| seen.header("x-convoy-idempotency-key") == key).map(|seen| &seen.body);
        ensure!(body.is_some_and(|body| *body == text(&told["metadata"], "raw").as_bytes()), "another body: {told}");
    }
    Ok(())
}
