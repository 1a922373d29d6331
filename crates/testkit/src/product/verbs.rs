//! What tests say to the product: Convoy's operations under the first run's project key, Connect's under its key.

use super::{Product, Reply, wait_until};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The rows of a list answer.
pub fn content(reply: &Reply) -> Vec<Value> {
    reply.data()["content"].as_array().cloned().unwrap_or_default()
}

pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("")
}

pub fn uid(value: &Value) -> Result<String> {
    Ok(value["uid"].as_str().with_context(|| format!("no uid in {value}"))?.to_owned())
}

impl Product {
    /// `/api/v1/projects/{project}{rest}`
    pub fn path(&self, rest: &str) -> String {
        format!("/api/v1/projects/{}{rest}", self.keys().project_id)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.keys().api_key)
    }

    pub async fn get(&self, rest: &str) -> Result<Reply> {
        self.client().get(&self.path(rest), Some(&self.bearer())).await
    }

    pub async fn post(&self, rest: &str, body: &Value) -> Result<Reply> {
        self.post_text(rest, body.to_string()).await
    }

    /// The body exactly as written.
    pub async fn post_text(&self, rest: &str, body: impl Into<Bytes>) -> Result<Reply> {
        self.client().call(Method::POST, &self.path(rest), Some(&self.bearer()), &[], Some(body.into())).await
    }

    pub async fn put(&self, rest: &str, body: &Value) -> Result<Reply> {
        let body = Bytes::from(body.to_string());
        self.client().call(Method::PUT, &self.path(rest), Some(&self.bearer()), &[], Some(body)).await
    }

    pub async fn delete(&self, rest: &str) -> Result<Reply> {
        self.client().call(Method::DELETE, &self.path(rest), Some(&self.bearer()), &[], None).await
    }

    /// A Connect call; `path` is whole, e.g. `/connect/v1/events`.
    pub async fn connect(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        self.client().call(method, path, Some(&self.keys().connect_key), headers, body).await
    }

    /// `extra` is merged over the url and a name.
    pub async fn create_endpoint(&self, url: &str, extra: &Value) -> Result<String> {
        let mut body = json!({"url": url, "name": "test endpoint"});
        for (key, value) in extra.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        uid(self.post("/endpoints", &body).await?.expect(201)?.data())
    }

    pub async fn subscribe(&self, endpoint: &str, types: &[&str]) -> Result<String> {
        let body = json!({"name": "test subscription", "endpoint_id": endpoint,
            "filter_config": {"event_types": types}});
        uid(self.post("/subscriptions", &body).await?.expect(201)?.data())
    }

    /// An endpoint that gets everything.
    pub async fn subscribed_endpoint(&self, url: &str, extra: &Value) -> Result<String> {
        let endpoint = self.create_endpoint(url, extra).await?;
        self.subscribe(&endpoint, &["*"]).await?;
        Ok(endpoint)
    }

    pub async fn send(&self, endpoint: &str, event_type: &str, data: &Value) -> Result<Reply> {
        self.post("/events", &json!({"endpoint_id": endpoint, "event_type": event_type, "data": data})).await
    }

    /// Sends under an idempotency key of the caller's and returns the event's id, looked up by that key.
    pub async fn send_keyed(&self, endpoint: &str, key: &str, data: &Value) -> Result<String> {
        let body = json!({"endpoint_id": endpoint, "event_type": "test.event", "data": data, "idempotency_key": key});
        self.post("/events", &body).await?.expect(201)?;
        let list = self.get(&format!("/events?idempotencyKey={key}")).await?.expect(200)?;
        // Newest first: of several with one key the one that was just sent.
        uid(content(&list).first().with_context(|| format!("no event with the key {key}"))?)
    }

    /// Changes only the keys given (contracts/convoy.md §2.1).
    pub async fn set_config(&self, config: &Value) -> Result<()> {
        let project = self.get("").await?.expect(200)?;
        let name = text(project.data(), "name").to_owned();
        self.put("", &json!({"name": name, "config": config})).await?.expect(202)?;
        Ok(())
    }

    pub async fn linear_retries(&self, seconds: u64, attempts: u64) -> Result<()> {
        let strategy = json!({"type": "linear", "duration": seconds, "retry_count": attempts});
        self.set_config(&json!({"strategy": strategy})).await
    }

    /// Circuit breakers that stay closed, for tests in which an endpoint is to fail often and at once.
    pub async fn never_trips(&self) -> Result<()> {
        let breaker = json!({"sample_rate": 30, "error_timeout": 30, "failure_threshold": 100, "success_threshold": 5,
            "minimum_request_count": 1_000_000, "observability_window": 5, "consecutive_failure_threshold": 10});
        self.set_config(&json!({"circuit_breaker": breaker})).await
    }

    /// Of one event, newest first.
    pub async fn deliveries(&self, event: &str) -> Result<Vec<Value>> {
        let list = self.get(&format!("/eventdeliveries?eventId={event}&perPage=100")).await?.expect(200)?;
        Ok(content(&list))
    }

    pub async fn delivery(&self, delivery: &str) -> Result<Value> {
        Ok(self.get(&format!("/eventdeliveries/{delivery}")).await?.expect(200)?.data().clone())
    }

    /// Oldest first.
    pub async fn attempts(&self, delivery: &str) -> Result<Vec<Value>> {
        let list = self.get(&format!("/eventdeliveries/{delivery}/deliveryattempts")).await?.expect(200)?;
        Ok(list.data().as_array().cloned().unwrap_or_default())
    }

    /// Waits until every delivery of the event has this status and there are at least `count` of them.
    pub async fn deliveries_in(&self, event: &str, status: &str, count: usize, within: Duration) -> Result<Vec<Value>> {
        let what = format!("{count} deliveries {status} of {event}");
        let mut last = Vec::new();
        let found = wait_until(within, &what, async || {
            last = self.deliveries(event).await?;
            let settled = last.len() >= count && last.iter().all(|row| text(row, "status") == status);
            Ok(settled.then(|| last.clone()))
        })
        .await;
        found.with_context(|| format!("last seen: {}", Value::Array(last)))
    }

    /// The one delivery of an event, once it has this status.
    pub async fn delivery_in(&self, event: &str, status: &str, within: Duration) -> Result<Value> {
        let mut rows = self.deliveries_in(event, status, 1, within).await?;
        ensure!(rows.len() == 1, "one delivery of {event}, not {}", rows.len());
        rows.pop().context("one delivery")
    }
}
