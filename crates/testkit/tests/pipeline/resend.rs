//! Resend and force resend: what each state allows (contracts/convoy.md §2.4.4).

use super::{SOON, answering, sink};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, Reply, text, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::json;

async fn resend(product: &Product, delivery: &str) -> Result<Reply> {
    product.put(&format!("/eventdeliveries/{delivery}/resend"), &json!("{}")).await
}

async fn force(product: &Product, delivery: &str) -> Result<Reply> {
    product.post("/eventdeliveries/forceresend", &json!({"ids": [delivery]})).await
}

fn refused(reply: &Reply, message: &str) -> Result<()> {
    ensure!(reply.status == 400 && reply.message() == message, "{} {}", reply.status, reply.text);
    Ok(())
}

#[tokio::test]
async fn success_may_only_be_forced() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "sent", &json!({"n": 1})).await?;
    let row = product.delivery_in(&event, "Success", SOON).await?;
    let id = text(&row, "uid");
    refused(&resend(&product, id).await?, "event already sent")?;

    let forced = force(&product, id).await?.expect(200)?;
    ensure!(forced.message() == "1 successful, 0 failed", "{}", forced.text);
    wait_until(SOON, "sent again", async || Ok((sink.record().delivered() == 2).then_some(()))).await?;
    let again = product.delivery_in(&event, "Success", SOON).await?;
    ensure!(text(&again, "uid") == id, "force resend made a new row: {again}");
    wait_until(SOON, "both attempts on record", async || Ok((product.attempts(id).await?.len() == 2).then_some(())))
        .await
}

#[tokio::test]
async fn failure_may_be_resent_and_gets_one_attempt() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    let sink = sink(Plan::in_turn(vec![Answer::status(500), Answer::status(500)], Answer::status(200))).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "failed", &json!({"n": 1})).await?;
    let row = product.delivery_in(&event, "Failure", SOON).await?;
    let id = text(&row, "uid");
    refused(&force(&product, id).await?, "only successful events can be force resent")?;

    let first = resend(&product, id).await?.expect(200)?;
    ensure!(first.message() == "App event processed for retry successfully", "{}", first.text);
    wait_until(SOON, "failed again, after one more attempt", async || {
        let row = product.delivery(id).await?;
        Ok((text(&row, "status") == "Failure" && row["metadata"]["num_trials"] == 2).then_some(()))
    })
    .await?;
    resend(&product, id).await?.expect(200)?;
    product.delivery_in(&event, "Success", SOON).await?;
    ensure!(sink.record().requests() == 3, "{} requests", sink.record().requests());
    Ok(())
}

#[tokio::test]
async fn what_waits_for_a_retry_may_not_be_resent() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(60, 5).await?;
    let sink = answering(500).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "waiting", &json!({"n": 1})).await?;
    let row = product.delivery_in(&event, "Retry", SOON).await?;
    refused(&resend(&product, text(&row, "uid")).await?, "cannot resend event that did not fail previously")?;
    refused(&force(&product, text(&row, "uid")).await?, "only successful events can be force resent")
}

#[tokio::test]
async fn discarded_may_be_resent_once_the_endpoint_is_active() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.put(&format!("/endpoints/{endpoint}/pause"), &json!({})).await?.expect(202)?;
    let event = product.send_keyed(&endpoint, "discarded", &json!({"n": 1})).await?;
    let row = product.delivery_in(&event, "Discarded", SOON).await?;
    refused(&resend(&product, text(&row, "uid")).await?, "the endpoint is currently paused")?;
    product.post(&format!("/endpoints/{endpoint}/activate"), &json!({})).await?.expect(202)?;
    resend(&product, text(&row, "uid")).await?.expect(200)?;
    product.delivery_in(&event, "Success", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn unknown_ids_are_told_or_skipped() -> Result<()> {
    let product = Product::fresh().await?;
    let unknown = "01H0JA5MEES38RRK3HTEJC647K";
    refused(&resend(&product, unknown).await?, "event delivery not found")?;
    let skipped = force(&product, unknown).await?.expect(200)?;
    ensure!(skipped.message() == "0 successful, 0 failed", "{}", skipped.text);
    refused(&product.post_text("/eventdeliveries/forceresend", "{").await?, "Request is invalid")?;
    let missing = product.get(&format!("/eventdeliveries/{unknown}")).await?;
    ensure!(missing.status == 404 && missing.message() == "event delivery not found", "{}", missing.text);
    Ok(())
}
