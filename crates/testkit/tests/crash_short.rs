//! Promises 1 and 2, in short: killed under load, nothing acknowledged is lost, and what comes twice was in flight.
//! The long run is `crash --kills 20`.

use anyhow::Result;
use dacapo_testkit::crash::{self, Options};
use dacapo_testkit::product;
use std::time::Duration;

fn options() -> Result<Options> {
    Ok(Options {
        kills: 3,
        between: (Duration::from_millis(300), Duration::from_millis(1200)),
        connections: 16,
        rate: 400,
        ..Options::new(product::binary()?)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_kills_lose_nothing() -> Result<()> {
    let count = crash::run(&Options { seed: 11, ..options()? }).await?;
    println!("{count}");
    count.verdict()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_kills_lose_nothing_while_a_third_fails() -> Result<()> {
    let count = crash::run(&Options { seed: 12, fail_third: true, ..options()? }).await?;
    println!("{count}");
    assert!(count.failed_attempts > 0, "the sink refused nothing: the run shows nothing");
    count.verdict()
}
