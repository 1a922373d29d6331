//! An event for thousands: who listens to it, and whether each of them got it.

use crate::product::{Product, wait_until};
use crate::sink::{Keep, Plan, Sink};
use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

/// Requests that are looked at: as many broadcasts, and what may come twice.
const BROADCASTS_MAX: usize = 4;

/// Endpoints that all lead to one sink, each by a path of its own, each subscribed to everything.
#[derive(Debug)]
pub struct Listeners {
    count: usize,
    sink: Sink,
}

impl Listeners {
    pub async fn subscribe(product: &Product, count: usize) -> Result<Self> {
        let sink = Sink::start(Plan::default(), Keep { markers: 0, requests: count * BROADCASTS_MAX }).await?;
        for number in 0..count {
            product.subscribed_endpoint(&sink.url(&format!("/{number}")), &json!({})).await?;
        }
        Ok(Self { count, sink })
    }

    /// How many of them have this event, and how often it came to them in all.
    pub fn have(&self, number: u64) -> (usize, usize) {
        let mark = format!("\"n\":{number}");
        let seen = self.sink.record().seen();
        let of_event = || seen.iter().filter(|one| String::from_utf8_lossy(&one.body).contains(&mark));
        (of_event().map(|one| one.path.as_str()).collect::<HashSet<_>>().len(), of_event().count())
    }

    /// Waits until all have it. How often it came to them in all.
    pub async fn all_have(&self, number: u64, within: Duration) -> Result<usize> {
        let all =
            wait_until(within, "everybody has it", async || Ok((self.have(number).0 == self.count).then_some(())));
        all.await.with_context(|| format!("{} of {}", self.have(number).0, self.count))?;
        Ok(self.have(number).1)
    }
}

/// Sends an event to whoever subscribes.
pub async fn send(product: &Product, number: u64) -> Result<()> {
    let body: Value = json!({"type": "broadcast", "data": {"n": number}});
    let reply = product.connect(Method::POST, "/connect/v1/events", &[], Some(&body)).await?;
    ensure!(matches!(reply.status, 200..=202), "{} {}", reply.status, reply.text);
    Ok(())
}
