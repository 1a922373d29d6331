//! Nothing leaves toward an address it should not reach.

use super::{SOON, answering, sink};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, text};
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::json;

#[tokio::test]
async fn a_redirect_is_not_followed() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    let inner = answering(200).await?;
    let away = Answer::status(302).header("location", &inner.url("/inner"));
    let outer = sink(Plan::always(away)).await?;
    let endpoint = product.subscribed_endpoint(&outer.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "redirected", &json!({"n": 1})).await?;
    let row = product.delivery_in(&event, "Failure", SOON).await?;
    let attempts = product.attempts(text(&row, "uid")).await?;
    let attempt = attempts.first().context("an attempt")?;
    ensure!(text(attempt, "http_status").starts_with("302"), "{attempt}");
    ensure!(outer.record().requests() == 1 && inner.record().requests() == 0, "the redirect was followed");
    Ok(())
}

#[tokio::test]
async fn without_leave_no_private_address_is_called() -> Result<()> {
    let product = Product::fresh_with(|options| options.allow_networks.clear()).await?;
    let sink = answering(200).await?;
    let port = sink.address().port();
    for (index, (host, named)) in [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("[::1]", "::1"),
        ("2130706433", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let endpoint = product.subscribed_endpoint(&format!("http://{host}:{port}/"), &json!({})).await?;
        let event = product.send_keyed(&endpoint, &format!("refused-{index}"), &json!({"n": 1})).await?;
        // At once: an address that is refused today is refused in a hundred seconds too.
        let row = product.delivery_in(&event, "Failure", SOON).await.with_context(|| host.to_owned())?;
        let attempts = product.attempts(text(&row, "uid")).await?;
        let attempt = attempts.first().with_context(|| format!("{host}: no attempt"))?;
        let error = text(attempt, "error");
        let told = error.contains(named) || (host == "localhost" && error.contains("::1"));
        ensure!(told, "{host}: the attempt does not name {named}: {attempt}");
    }
    ensure!(sink.record().requests() == 0, "a refused address was called");
    Ok(())
}
