//! Nodes that meet: at an empty database, and over one idempotency key.

use super::{SOON, turn};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::nodes::{NodeLine, Nodes, settled_on};
use dacapo_testkit::product::{self, FirstRun, Product, text, wait_until};
use dacapo_testkit::sink::{Keep, Plan, Sink};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const SHARED_OUT_WITHIN: Duration = Duration::from_secs(30);
/// What a first start writes: an organisation, its admin, a project, its event type, two keys.
const FIRST_ROWS: &str = "6";
/// Calls that race with one key.
const RACERS: usize = 50;

/// Neither knows whether it will be the one that makes them.
fn no_keys() -> FirstRun {
    FirstRun {
        url: String::new(),
        organisation_id: String::new(),
        project_id: String::new(),
        api_key: String::new(),
        connect_key: String::new(),
        admin_email: String::new(),
        admin_password: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_an_empty_database_at_the_same_instant_set_it_up_once() -> Result<()> {
    let _turn = turn().await;
    let nodes = Nodes::none(product::binary()?, &[])?;
    let url = nodes.database_url();
    let start = |number| Product::join(nodes.options(number, &url), no_keys());
    let (first, second) = tokio::join!(start(0), start(1));
    let (first, second) = (first?, second?);

    let files = [&first, &second].map(|node| node.data_dir().join("first-run.json").is_file());
    ensure!(files.iter().filter(|there| **there).count() == 1, "first-run.json of the two: {files:?}");
    settled_on(&first, &[first.url(), second.url()], SHARED_OUT_WITHIN).await?;
    let count = |table: &str| nodes.postgres.ask("postgres", &format!("SELECT count(*) FROM {table}"));
    // A version's row is written in the transaction of its step.
    let versions = nodes.postgres.ask("postgres", "SELECT count(*) = max(version) FROM schema_version")?;
    ensure!(versions == "t", "not each step of the schema once");
    let first_rows = count("catalog")?;
    ensure!(first_rows == FIRST_ROWS, "{first_rows} rows of configuration: both nodes made some");

    // `dacapo nodes` and `GET /nodes` tell the same, once no shard moves between the two looks.
    let told = wait_until(SHARED_OUT_WITHIN, "both tell the same", async || {
        let told = first.nodes().await?;
        let shown = Command::new(product::binary()?).args(["nodes", "--json", "--database-url", &url]).output()?;
        ensure!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        let shown: Vec<NodeLine> = serde_json::from_slice(&shown.stdout)?;
        Ok((shown == told).then_some(told))
    })
    .await?;
    let owned: BTreeSet<u8> = told.iter().flat_map(|line| line.shards.iter().copied()).collect();
    let sum: usize = told.iter().map(|line| line.shards.len()).sum();
    ensure!(owned.len() == 256 && sum == 256, "{sum} shards owned, {} different ones", owned.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_replays_with_one_key_over_three_nodes_are_one_delivery() -> Result<()> {
    let _turn = turn().await;
    let nodes = Arc::new(Nodes::start(3).await?);
    let sink = Sink::start(Plan::default(), Keep { markers: 0, requests: RACERS * 2 }).await?;
    let first = &nodes.each[0];
    let endpoint = first.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = first.send_keyed(&endpoint, "once", &json!({"n": 1})).await?;
    first.delivery_in(&event, "Success", SOON).await?;

    let path = Arc::new(format!("/connect/v1/events/evt_{event}/replay"));
    let mut racers = JoinSet::new();
    for racer in 0..RACERS {
        let (nodes, path) = (Arc::clone(&nodes), Arc::clone(&path));
        racers.spawn(async move {
            let node = &nodes.each[racer % nodes.each.len()];
            node.connect(Method::POST, &path, &[("idempotency-key", "one-key")], None).await
        });
    }
    let mut ids = BTreeSet::new();
    let mut made = 0;
    while let Some(reply) = racers.join_next().await {
        let reply = reply.context("a racer")??;
        ensure!(matches!(reply.status, 200 | 201), "{} {}", reply.status, reply.text);
        made += usize::from(reply.header("idempotent-replayed") != "true");
        ids.insert(text(&reply.body, "id").to_owned());
    }
    ensure!(ids.len() == 1 && made == 1, "{made} were made, deliveries: {ids:?}");
    let delivery = ids.pop_first().context("one")?;
    let path = format!("/connect/v1/webhook-deliveries?event_id=evt_{event}&trigger=replay&limit=200");
    let rows = nodes.each[2].connect(Method::GET, &path, &[], None).await?.expect(200)?;
    let rows = rows.body["data"].as_array().cloned().unwrap_or_default();
    ensure!(rows.len() == 1 && text(&rows[0], "id") == delivery, "{}", Value::Array(rows));
    product::wait_until(SOON, "sent again", async || Ok((sink.record().delivered() >= 2).then_some(()))).await?;
    first.deliveries_in(&event, "Success", 2, SOON).await?;
    ensure!(sink.record().requests() == 2, "{} requests for one event and one replay", sink.record().requests());
    Ok(())
}
