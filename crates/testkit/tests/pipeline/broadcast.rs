//! A fan-out larger than one transaction takes: acknowledged at once, finished whatever is killed.

use super::{SOON, answering};
use anyhow::{Result, ensure};
use dacapo_testkit::broadcast::{self, Listeners};
use dacapo_testkit::product::Product;

/// Together they get 2,700 deliveries of one event.
const ENDPOINTS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_survives_a_kill_right_behind_its_acknowledgement() -> Result<()> {
    let mut product = Product::fresh().await?;
    let sink = answering(200).await?;
    let listeners = Listeners::subscribe(&product, &sink.url("/"), ENDPOINTS).await?;
    let event = broadcast::send(&product).await?;
    product.kill9()?;
    let before = sink.record().delivered();
    ensure!(before < listeners.count(), "all {before} were delivered before the kill: the run shows nothing");
    product.restart().await?;
    listeners.all_have_it(&product, &event, SOON * 3).await?;
    let twice = sink.record().delivered() - listeners.count();
    println!("{before} of {} were delivered before the kill, {twice} of them again after it", listeners.count());
    ensure!(twice <= before, "{twice} came twice, {before} had been sent before the kill");
    product.stop().await
}
