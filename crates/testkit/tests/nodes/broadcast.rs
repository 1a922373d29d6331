//! A fan-out larger than one transaction takes, with several nodes: whoever owns it goes on with it, and when that
//! one is killed, another.

use super::{SOON, turn};
use anyhow::{Result, ensure};
use dacapo_testkit::broadcast::{self, Listeners};
use dacapo_testkit::nodes::Nodes;
use dacapo_testkit::nodes::kills::TAKEN_OVER_WITHIN;
use dacapo_testkit::sink::{Keep, Plan, Sink};

/// Together they get 2,700 deliveries of one event.
const ENDPOINTS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_goes_on_with_whoever_is_left() -> Result<()> {
    let _turn = turn().await;
    let mut nodes = Nodes::start(2).await?;
    let sink = Sink::start(Plan::default(), Keep::default()).await?;
    let listeners = Listeners::subscribe(&nodes.each[0], &sink.url("/"), ENDPOINTS).await?;

    // Nobody is killed: each delivery once, wherever the event and the endpoints belong.
    let event = broadcast::send(&nodes.each[1]).await?;
    listeners.all_have_it(&nodes.each[0], &event, SOON * 3).await?;
    ensure!(sink.record().delivered() == listeners.count(), "{} delivered", sink.record().delivered());

    let event = broadcast::send(&nodes.each[0]).await?;
    nodes.each[0].kill9()?;
    let before = sink.record().delivered() - listeners.count();
    ensure!(before < listeners.count(), "all {before} were delivered before the kill: the run shows nothing");
    listeners.all_have_it(&nodes.each[1], &event, TAKEN_OVER_WITHIN + SOON * 2).await?;
    let twice = sink.record().delivered() - 2 * listeners.count();
    println!("{before} of {} were delivered before the kill, {twice} came twice", listeners.count());
    ensure!(twice <= before, "{twice} came twice, {before} had been sent before the kill");
    Ok(())
}
