//! More exchanges at once than one delivery thread carries.

use super::{SOON, sink};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::json;
use std::time::Duration;

const ENDPOINTS: usize = 10;
const EVENTS_EACH: u64 = 12;
/// More than the first thread's couriers, all of which hang.
const AT_ONCE: u64 = 100;
/// Nothing is answered while the test looks.
const HANG: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_thread_cannot_carry_goes_to_further_ones() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = sink(Plan::always(Answer::status(200).after(HANG))).await?;
    for _ in 0..ENDPOINTS {
        let patient = json!({"http_timeout": 120});
        let endpoint = product.subscribed_endpoint(&sink.url("/"), &patient).await?;
        product.send_numbered(&endpoint, 0..EVENTS_EACH).await?;
    }
    wait_until(SOON * 3, "they are all in exchange", async || Ok((sink.record().requests() >= AT_ONCE).then_some(())))
        .await?;
    ensure!(sink.record().delivered() == 0, "some were answered: the run shows nothing");
    Ok(())
}
