//! Start, drain, start again.

use super::{SOON, sink};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{FirstRun, Product, text, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// Events under way when the signal comes.
const EVENTS: u64 = 20;

fn first_run(product: &Product) -> Result<FirstRun> {
    Ok(serde_json::from_slice(&std::fs::read(product.data_dir().join("first-run.json"))?)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_and_a_second_start_reuses_everything() -> Result<()> {
    let mut product = Product::fresh().await?;
    let slow = Answer::status(200).after(Duration::from_millis(300));
    let sink = sink(Plan::always(slow)).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let keys = first_run(&product)?;
    let mode = std::fs::metadata(product.data_dir().join("first-run.json"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "first-run.json is {mode:o}");
    ensure!(keys.admin_email.contains('@') && !keys.admin_password.is_empty(), "no admin");

    for index in 0..EVENTS {
        product.send(&endpoint, "test.event", &json!({"n": index})).await?.expect(201)?;
    }
    product.stop().await?;
    product.restart().await?;
    ensure!(first_run(&product)? == keys, "a second start wrote new keys");
    let again = product.get(&format!("/endpoints/{endpoint}")).await?.expect(200)?;
    ensure!(text(again.data(), "uid") == endpoint, "{}", again.text);
    wait_until(SOON, "everything delivered", async || Ok((sink.record().ledger().distinct() == EVENTS).then_some(())))
        .await?;
    product.stop().await?;
    ensure!(sink.record().ledger().total() == EVENTS, "a drain sent something twice");
    Ok(())
}
