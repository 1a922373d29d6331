//! A fan-out larger than one transaction takes, with several nodes: whoever owns it goes on with it, and when that
//! one is killed, another.

use super::{SOON, turn};
use anyhow::{Result, ensure};
use dacapo_testkit::broadcast::{self, Listeners};
use dacapo_testkit::nodes::Nodes;
use dacapo_testkit::nodes::kills::TAKEN_OVER_WITHIN;
use dacapo_testkit::product;

/// The first of them are served in the event's transaction, the others in parts of half as many.
const LISTENERS: usize = 300;
const AT_ONCE: &str = "20";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_goes_on_with_whoever_is_left() -> Result<()> {
    let _turn = turn().await;
    let mut nodes = Nodes::start_with(product::binary()?, 2, &["--fan-out-at-once-max", AT_ONCE]).await?;
    let listeners = Listeners::subscribe(&nodes.each[0], LISTENERS).await?;

    // Nobody is killed: each once, wherever the event and the endpoints belong.
    broadcast::send(&nodes.each[1], 1).await?;
    let came = listeners.all_have(1, SOON * 3).await?;
    ensure!(came == LISTENERS, "{came} requests for {LISTENERS}");

    broadcast::send(&nodes.each[0], 2).await?;
    nodes.each[0].kill9()?;
    let (before, _) = listeners.have(2);
    ensure!(before < LISTENERS, "all were served before the kill: the run shows nothing");
    let came = listeners.all_have(2, TAKEN_OVER_WITHIN + SOON * 2).await?;
    println!("{before} of {LISTENERS} were served before the kill, {} came twice", came - LISTENERS);
    // What was answered in the moment of the kill is counted a little later than the look.
    ensure!(came < 2 * LISTENERS, "{came} requests for {LISTENERS}");
    Ok(())
}
