//! The selector's fields as flags (docs/replay.md, "The selector").

use super::words;
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use dacapo_model::Selector;
use serde_json::{Map, Value};

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Which events and deliveries")]
pub struct SelectorOptions {
    /// failed (recover), missing (backfill), all (replay) or discarded
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Accepted at this time or later: RFC 3339, or a span back from now such as -2h or -1d12h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Accepted at this time or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Of this type; a * at the end stands for any rest (repeatable, as all lists are)
    #[arg(long, value_name = "TYPE", alias = "event-types")]
    pub event_type: Vec<String>,
    /// To this endpoint
    #[arg(long, value_name = "ID", alias = "endpoint-ids")]
    pub endpoint_id: Vec<String>,
    /// To an endpoint of this owner
    #[arg(long, value_name = "OWNER", alias = "owner-ids")]
    pub owner_id: Vec<String>,
    /// From this source
    #[arg(long, value_name = "ID", alias = "source-ids")]
    pub source_id: Vec<String>,
    /// This event
    #[arg(long, value_name = "ID", alias = "event-ids")]
    pub event_id: Vec<String>,
    /// With this idempotency key
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Success, Failure (nobody matched) or Processing (a duplicate)
    #[arg(long, value_name = "STATUS")]
    pub event_status: Vec<String>,
    /// With a delivery that is Scheduled, Processing, Retry, Success, Failure or Discarded
    #[arg(long, value_name = "STATUS")]
    pub delivery_status: Vec<String>,
    /// Last answered with this: a code such as 404, a class such as 5xx, or none
    #[arg(long, value_name = "STATUS")]
    pub http_status: Vec<String>,
    /// With at least so many attempts
    #[arg(long, value_name = "N")]
    pub attempts_min: Option<u32>,
    /// With a delivery that this replay made
    #[arg(long, value_name = "ID")]
    pub replay_id: Option<String>,
    /// With a delivery for this subscription
    #[arg(long, value_name = "ID", alias = "subscription-ids")]
    pub subscription_id: Vec<String>,
    /// What the payload looks like, in the filter language
    #[arg(long, value_name = "JSON")]
    pub body: Option<String>,
    /// What the headers look like, in the filter language
    #[arg(long, value_name = "JSON")]
    pub headers: Option<String>,
    /// A whole selector as JSON, or @FILE; the flags above are added to it
    #[arg(long, value_name = "JSON|@FILE")]
    pub selector: Option<String>,
}

impl SelectorOptions {
    /// What is sent. Checked here too, so that a slip is found without asking the gateway.
    pub fn to_json(&self) -> Result<Value> {
        let mut fields = self.given()?;
        for (name, value) in [
            ("mode", &self.mode),
            ("from", &self.from),
            ("to", &self.to),
            ("idempotency_key", &self.idempotency_key),
            ("replay_id", &self.replay_id),
        ] {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value.as_str().into());
            }
        }
        for (name, values) in [
            ("event_types", &self.event_type),
            ("endpoint_ids", &self.endpoint_id),
            ("owner_ids", &self.owner_id),
            ("source_ids", &self.source_id),
            ("event_ids", &self.event_id),
            ("event_status", &self.event_status),
            ("delivery_status", &self.delivery_status),
            ("http_status", &self.http_status),
            ("subscription_ids", &self.subscription_id),
        ] {
            if !values.is_empty() {
                fields.insert(name.to_owned(), values.clone().into());
            }
        }
        if let Some(attempts) = self.attempts_min {
            fields.insert("attempts_min".to_owned(), attempts.into());
        }
        for (scope, text) in [("body", &self.body), ("headers", &self.headers)] {
            let Some(text) = text else { continue };
            let written: Value = serde_json::from_str(text).with_context(|| format!("--{scope} is not JSON"))?;
            let filter = fields.entry("filter").or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(filter) = filter else { bail!("filter: needs a JSON object") };
            filter.insert(scope.to_owned(), written);
        }
        Selector::parse_object(&fields).map_err(|error| anyhow!(words::of_selector(&error.to_string())))?;
        Ok(Value::Object(fields))
    }

    fn given(&self) -> Result<Map<String, Value>> {
        let Some(given) = &self.selector else { return Ok(Map::new()) };
        let text = match given.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?,
            None => given.clone(),
        };
        match serde_json::from_str(&text).context("--selector is not JSON")? {
            Value::Object(fields) => Ok(fields),
            _ => bail!("--selector needs a JSON object"),
        }
    }
}
