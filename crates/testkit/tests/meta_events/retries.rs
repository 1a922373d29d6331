//! Tried again as the project's retries say, and by hand.

use super::{SOON, all_in, answering, sink, tell, verified};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, text, uid, wait_until};
use dacapo_testkit::sink::{Answer, Plan, Sink};
use serde_json::{Value, json};

/// A product that has told the sink of one thing.
async fn one_told(told: &Sink, attempts: u64, status: &str) -> Result<(Product, Value)> {
    let product = Product::fresh().await?;
    product.linear_retries(1, attempts).await?;
    tell(&product, told, &["endpoint.created"]).await?;
    product.create_endpoint("http://127.0.0.1:9/", &json!({})).await?;
    let mut rows = all_in(&product, status, 1).await?;
    Ok((product, rows.remove(0)))
}

#[tokio::test]
async fn a_receiver_in_trouble_is_asked_again_with_the_same_bytes() -> Result<()> {
    let trouble = vec![Answer::status(500), Answer::status(503).body("later")];
    let told = sink(Plan::in_turn(trouble, Answer::status(200).body("thanks"))).await?;
    let (_product, row) = one_told(&told, 5, "Success").await?;
    ensure!(row["metadata"]["num_trials"] == 3 && row["attempt"]["response_data"] == "thanks", "{row}");
    ensure!(row["metadata"]["strategy"] == "linear" && row["metadata"]["retry_limit"] == 5, "{row}");
    let seen = told.record().seen();
    ensure!(seen.len() == 3 && seen.iter().all(|one| one.body == seen[0].body), "{seen:?}");
    let key = seen[0].header("x-convoy-idempotency-key");
    ensure!(key.len() == 64 && seen.iter().all(|one| one.header("x-convoy-idempotency-key") == key), "{seen:?}");
    seen.iter().try_for_each(|one| verified(one).map(drop))
}

#[tokio::test]
async fn what_was_given_up_and_what_was_delivered_is_sent_again_by_hand() -> Result<()> {
    let told = answering(500).await?;
    let (product, row) = one_told(&told, 2, "Failure").await?;
    ensure!(row["metadata"]["num_trials"] == 2 && told.record().requests() == 2, "{row}");
    let path = format!("/meta-events/{}", uid(&row)?);
    told.set_plan(Plan::always(Answer::status(200)));
    for sent in 3..=4 {
        let resent = product.put(&format!("{path}/resend"), &json!("{}")).await?.expect(200)?;
        ensure!(text(resent.data(), "status") == "Scheduled", "{}", resent.text);
        ensure!(resent.message() == "Meta event processed for retry successfully", "{}", resent.text);
        let shown = wait_until(SOON, "it is delivered", async || {
            let shown = product.get(&path).await?.expect(200)?.data().clone();
            Ok((text(&shown, "status") == "Success" && shown["metadata"]["num_trials"] == sent).then_some(shown))
        })
        .await?;
        ensure!(told.record().requests() == sent && shown["uid"] == row["uid"], "{shown}");
    }
    for unknown in ["01J00000000000000000000000", "nonsense"] {
        for reply in [
            product.get(&format!("/meta-events/{unknown}")).await?,
            product.put(&format!("/meta-events/{unknown}/resend"), &json!({})).await?,
        ] {
            ensure!(reply.status == 404 && reply.message() == "meta event not found", "{}", reply.text);
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_given_up() -> Result<()> {
    let told = answering(500).await?;
    let product = Product::fresh().await?;
    product.linear_retries(1, 50).await?;
    tell(&product, &told, &["endpoint.created"]).await?;
    product.create_endpoint("http://127.0.0.1:9/", &json!({})).await?;
    wait_until(SOON, "it is tried", async || Ok((told.record().requests() > 0).then_some(()))).await?;
    product.set_config(&json!({"meta_event": {"is_enabled": false}})).await?;
    all_in(&product, "Discarded", 1).await.map(drop)
}
