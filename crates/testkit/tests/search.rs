//! Search, counts and Convoy's batch calls, through the real binary: over HTTP and from the command line.

#[path = "search/batch.rs"]
mod batch;
#[path = "search/command_line.rs"]
mod command_line;
#[path = "search/pages.rs"]
mod pages;

use anyhow::Result;
use dacapo_testkit::product::Product;
use dacapo_testkit::sink::{Answer, Keep, Plan, Sink};
use serde_json::json;
use std::time::Duration;

/// What happens at once happens within this, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(10);

/// A sink that keeps every request of a small test.
async fn answering(status: u16) -> Result<Sink> {
    Sink::start(Plan::always(Answer::status(status)), Keep { markers: 1000, requests: 1000 }).await
}

/// An endpoint that takes everything and one that fails everything, at the first attempt.
struct Pair {
    product: Product,
    sound: String,
    broken: String,
    takes: Sink,
    fails: Sink,
}

impl Pair {
    async fn new() -> Result<Self> {
        let product = Product::fresh().await?;
        product.linear_retries(1, 1).await?;
        let (takes, fails) = (answering(200).await?, answering(503).await?);
        let sound = product.subscribed_endpoint(&takes.url("/"), &json!({"owner_id": "alice"})).await?;
        let broken = product.subscribed_endpoint(&fails.url("/"), &json!({"owner_id": "bob"})).await?;
        Ok(Self { product, sound, broken, takes, fails })
    }

    /// Events to both, by turns, each settled; oldest first.
    async fn events(&self, count: usize) -> Result<Vec<String>> {
        let mut events = Vec::new();
        for n in 0..count {
            let (endpoint, outcome) = if n % 2 == 0 { (&self.sound, "Success") } else { (&self.broken, "Failure") };
            let event = self.product.send_keyed(endpoint, &format!("k{n}"), &json!({"n": n})).await?;
            self.product.delivery_in(&event, outcome, SOON).await?;
            events.push(event);
        }
        Ok(events)
    }
}
