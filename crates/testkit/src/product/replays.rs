//! What tests say about replays.

use super::{Product, Reply, text, uid, wait_until};
use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

impl Product {
    /// Starts one and gives its id.
    pub async fn start_replay(&self, body: &Value) -> Result<String> {
        uid(self.post("/replays", body).await?.expect(201)?.data())
    }

    pub async fn plan_replay(&self, body: &Value) -> Result<Value> {
        let mut body = body.clone();
        body["dry_run"] = json!(true);
        Ok(self.post("/replays", &body).await?.expect(200)?.data().clone())
    }

    pub async fn replay(&self, id: &str) -> Result<Value> {
        Ok(self.get(&format!("/replays/{id}")).await?.expect(200)?.data().clone())
    }

    /// `pause`, `resume` or `cancel`.
    pub async fn steer_replay(&self, id: &str, verb: &str) -> Result<Reply> {
        self.post(&format!("/replays/{id}/{verb}"), &json!({})).await
    }

    pub async fn change_replay(&self, id: &str, body: &Value) -> Result<Reply> {
        let path = self.path(&format!("/replays/{id}"));
        let key = format!("Bearer {}", self.keys().api_key);
        self.client().call(Method::PATCH, &path, Some(&key), &[], Some(Bytes::from(body.to_string()))).await
    }

    /// Waits until it has this status.
    pub async fn replay_in(&self, id: &str, status: &str, within: Duration) -> Result<Value> {
        let mut last = Value::Null;
        let found = wait_until(within, &format!("replay {status}"), async || {
            last = self.replay(id).await?;
            Ok((text(&last, "status") == status).then(|| last.clone()))
        })
        .await;
        found.with_context(|| format!("last seen: {last}"))
    }

    /// Every item, oldest first, as its report tells it.
    pub async fn report(&self, id: &str) -> Result<Vec<Value>> {
        let reply = self.get(&format!("/replays/{id}/report")).await?.expect(200)?;
        reply.text.lines().map(|line| serde_json::from_str(line).context("a line of JSON")).collect()
    }

    /// Stores this many events `{"n": from}` and up for an endpoint, each acknowledged.
    pub async fn send_numbered(&self, endpoint: &str, numbers: std::ops::Range<u64>) -> Result<()> {
        for n in numbers {
            self.send(endpoint, "test.event", &json!({"n": n})).await?.expect(201)?;
        }
        Ok(())
    }
}
