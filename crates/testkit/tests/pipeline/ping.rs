//! An https endpoint is tried out before it is saved (contracts/convoy.md §3.2), unless the operator says not to.

use super::answering;
use anyhow::{Result, ensure};
use dacapo_testkit::product::Product;
use serde_json::{Value, json};

fn endpoint(url: &str) -> Value {
    json!({"url": url, "name": "tried out"})
}

#[tokio::test]
async fn who_does_not_speak_tls_is_refused_and_http_is_not_asked() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let plain = sink.url("/hook");
    let secure = plain.replacen("http:", "https:", 1);
    let created = product.post("/endpoints", &endpoint(&plain)).await?.expect(201)?;
    ensure!(sink.record().requests() == 0, "an http address was asked");

    let refused = product.post("/endpoints", &endpoint(&secure)).await?.expect(400)?;
    ensure!(refused.message().starts_with("endpoint validation failed: TLS failed: "), "{}", refused.text);
    let id = created.data()["uid"].as_str().unwrap_or_default();
    let refused = product.put(&format!("/endpoints/{id}"), &endpoint(&secure)).await?.expect(400)?;
    ensure!(refused.message().starts_with("endpoint validation failed: "), "{}", refused.text);
    let shown = product.get(&format!("/endpoints/{id}")).await?.expect(200)?;
    ensure!(shown.data()["url"] == plain, "{}", shown.text);
    let private = product.post("/endpoints", &endpoint("https://10.0.0.1/")).await?.expect(400)?;
    ensure!(private.message().contains("10.0.0.1 is a private address"), "{}", private.text);
    Ok(())
}

#[tokio::test]
async fn the_operator_may_switch_it_off() -> Result<()> {
    let skip = ("DACAPO_SKIP_PING_VALIDATION".to_owned(), "true".to_owned());
    let product = Product::fresh_with(|options| options.env.push(skip)).await?;
    product.post("/endpoints", &endpoint("https://127.0.0.1:1/")).await?.expect(201)?;
    Ok(())
}
