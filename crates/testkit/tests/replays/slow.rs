//! A database that is slow for a while, as when somebody rewrites a table beside it.

use super::{SOON, sink};
use anyhow::{Result, ensure};
use dacapo_testkit::nodes::Nodes;
use dacapo_testkit::product::wait_until;
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::json;

const EVENTS: u64 = 200;
/// Longer than a read of the set may take (5 s), shorter than what the pipeline waits (8 s).
const LOCKED: &str = "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(7); COMMIT";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_cannot_be_read_for_seconds_is_read_on_later() -> Result<()> {
    let nodes = Nodes::start(1).await?;
    let node = &nodes.each[0];
    let sink = sink(Plan::always(Answer::status(200))).await?;
    let endpoint = node.create_endpoint(&sink.url("/"), &json!({})).await?;
    let subscription = node.subscribe(&endpoint, &["something.else"]).await?;
    node.send_numbered(&endpoint, 0..EVENTS).await?;
    let wanted = json!({"filter_config": {"event_types": ["*"]}});
    node.put(&format!("/subscriptions/{subscription}"), &wanted).await?.expect(202)?;
    let body =
        json!({"mode": "missing", "selector": {"from": "-1h"}, "options": {"rate": 40}, "expected_count": EVENTS});
    let id = node.start_replay(&body).await?;
    wait_until(SOON, "it is under way", async || Ok((sink.record().delivered() >= 10).then_some(()))).await?;
    tokio::task::block_in_place(|| nodes.postgres.ask("postgres", LOCKED))?;
    ensure!(sink.record().delivered() < EVENTS, "it was over before: the run shows nothing");
    let done = node.replay_in(&id, "completed", SOON * 3).await?;
    ensure!(done["counts"]["success"] == EVENTS && done["counts"]["items"] == EVENTS, "{done}");
    Ok(())
}
