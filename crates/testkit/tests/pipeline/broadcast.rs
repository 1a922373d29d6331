//! A fan-out larger than one transaction takes: acknowledged at once, finished whatever is killed.

use super::SOON;
use anyhow::{Context, Result, ensure};
use dacapo_testkit::broadcast::{self, Listeners};
use dacapo_testkit::product::{Product, content, text};
use serde_json::Value;

/// The first of them are served in the event's transaction, the others in parts of half as many.
const LISTENERS: usize = 300;
const AT_ONCE: &str = "20";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_survives_a_kill_right_behind_its_acknowledgement() -> Result<()> {
    let at_once = ["--fan-out-at-once-max", AT_ONCE].map(str::to_owned);
    let mut product = Product::fresh_with(|options| options.args.extend(at_once)).await?;
    let listeners = Listeners::subscribe(&product, LISTENERS).await?;
    broadcast::send(&product, 1).await?;
    product.kill9()?;
    let (before, _) = listeners.have(1);
    ensure!(before < LISTENERS, "all were served before the kill: the run shows nothing");
    product.restart().await?;
    let came = listeners.all_have(1, SOON * 3).await?;
    let list = product.get("/events").await?.expect(200)?;
    let event = content(&list).into_iter().next().context("an event")?;
    let named = |event: &Value| event["endpoints"].as_array().map_or(0, Vec::len);
    ensure!(named(&event).to_string() == AT_ONCE, "a list shows the first of them: {}", named(&event));
    let whole = product.get(&format!("/events/{}", text(&event, "uid"))).await?.expect(200)?;
    ensure!(named(whole.data()) == LISTENERS, "{} of {LISTENERS} endpoints are shown", named(whole.data()));
    println!("{before} of {LISTENERS} were served before the kill, {} of them again", came - LISTENERS);
    // What was under way in the moment of the kill is counted a little later than the look.
    ensure!(came < 2 * LISTENERS, "{came} requests for {LISTENERS}");
    product.stop().await
}
