//! A fan-out larger than one transaction takes: acknowledged at once, finished whatever is killed.

use super::SOON;
use anyhow::{Result, ensure};
use dacapo_testkit::broadcast::{self, Listeners};
use dacapo_testkit::product::Product;

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
    println!("{before} of {LISTENERS} were served before the kill, {} of them again", came - LISTENERS);
    // What was under way in the moment of the kill is counted a little later than the look.
    ensure!(came < 2 * LISTENERS, "{came} requests for {LISTENERS}");
    product.stop().await
}
