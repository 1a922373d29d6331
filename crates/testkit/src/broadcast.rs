//! An event for thousands: who listens to it, and whether each of them got it.

use crate::product::{Product, content, text, wait_until};
use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Each has as many subscriptions as a page of deliveries holds, less a few.
const SUBSCRIPTIONS_EACH: usize = 90;

/// Endpoints that are each subscribed many times, so that few make a large fan-out.
#[derive(Debug)]
pub struct Listeners {
    pub endpoints: Vec<String>,
}

impl Listeners {
    pub async fn subscribe(product: &Product, url: &str, endpoints: usize) -> Result<Self> {
        let mut ids = Vec::with_capacity(endpoints);
        for _ in 0..endpoints {
            let endpoint = product.create_endpoint(url, &json!({})).await?;
            for _ in 0..SUBSCRIPTIONS_EACH {
                product.subscribe(&endpoint, &["*"]).await?;
            }
            ids.push(endpoint);
        }
        Ok(Self { endpoints: ids })
    }

    /// Deliveries of one event.
    pub fn count(&self) -> u64 {
        (self.endpoints.len() * SUBSCRIPTIONS_EACH) as u64
    }

    /// Waits until every delivery of the event is there and has succeeded.
    pub async fn all_have_it(&self, product: &Product, event: &str, within: Duration) -> Result<()> {
        for endpoint in &self.endpoints {
            let mut last = String::new();
            let all = wait_until(within, "every delivery has succeeded", async || {
                let path = format!("/eventdeliveries?eventId={event}&endpointId={endpoint}&perPage=100");
                let rows = content(&product.get(&path).await?.expect(200)?);
                let succeeded = rows.iter().filter(|row| text(row, "status") == "Success").count();
                last = format!("{succeeded} of {} at {endpoint}, {SUBSCRIPTIONS_EACH} wanted", rows.len());
                ensure!(rows.len() <= SUBSCRIPTIONS_EACH, "more deliveries than subscriptions: {last}");
                Ok((succeeded == SUBSCRIPTIONS_EACH).then_some(()))
            });
            all.await.with_context(|| last)?;
        }
        Ok(())
    }
}

/// Sends an event to whoever subscribes; its id as Convoy's surface has it.
pub async fn send(product: &Product) -> Result<String> {
    let body: Value = json!({"type": "broadcast", "data": {"n": 1}});
    let reply = product.connect(Method::POST, "/connect/v1/events", &[], Some(&body)).await?;
    ensure!(matches!(reply.status, 200..=202), "{} {}", reply.status, reply.text);
    let id = reply.body["id"].as_str().context("an id")?;
    Ok(id.trim_start_matches("evt_").to_owned())
}
