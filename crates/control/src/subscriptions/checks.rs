//! What a subscription's fields must be, and what they become (contracts/convoy.md §4.2).

use super::{Result, RetryUpdate, SubscriptionError};
use crate::NotAvailable;
use crate::violation::{Violation, Violations};
use dacapo_model::catalog::ProjectView;
use dacapo_model::delivery::Mode;
use dacapo_model::event_type::CATCH_ALL;
use dacapo_model::project::Kind;
use dacapo_model::retry;
use dacapo_model::subscription::{AlertConfig, RateLimitConfig, RetryConfig};
use dacapo_model::{Endpoint, Id};
use std::sync::Arc;

pub fn needs_catch_all(view: &ProjectView, endpoint: Id) -> bool {
    view.project.kind == Kind::Outgoing
        && view.live_endpoint(endpoint).is_some()
        && view.subscriptions_of(endpoint).is_empty()
}

pub fn is_wildcard(event_type: &str) -> bool {
    event_type == CATCH_ALL || event_type.ends_with(".*")
}

/// Each name once, in the order given; `None` when none is left.
pub fn named_types(given: Vec<String>) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(given.len());
    for name in given {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names).filter(|names| !names.is_empty())
}

pub fn delivery_mode(text: &str) -> Result<Option<Mode>> {
    if text.is_empty() {
        return Ok(None);
    }
    Mode::parse(text).map(Some).ok_or(SubscriptionError::DeliveryMode)
}

pub fn refuse_unavailable(function: &str) -> Result<()> {
    if !function.is_empty() {
        return Err(NotAvailable { feature: "functions", advice: "leave function out" }.into());
    }
    Ok(())
}

pub fn find_endpoint<'a>(view: &'a ProjectView, text: &str) -> Result<&'a Arc<Endpoint>> {
    let id = text.parse::<Id>().map_err(|_| SubscriptionError::UnknownEndpoint)?;
    view.live_endpoint(id).ok_or(SubscriptionError::UnknownEndpoint)
}

/// There are no sources yet, so none is known.
pub fn check_source(view: &ProjectView, source: &str) -> Result<()> {
    match (view.project.kind, source) {
        (Kind::Outgoing, "") => Ok(()),
        (Kind::Incoming, "") => Err(SubscriptionError::SourceRequired),
        (kind, _) => Err(SubscriptionError::UnknownSource(kind)),
    }
}

/// One subscription an endpoint, unless the project allows more; `own` does not count.
pub fn check_endpoint_is_free(view: &ProjectView, endpoint: Id, own: Option<Id>) -> Result<()> {
    if view.project.kind == Kind::Incoming || view.project.config.multiple_endpoint_subscriptions {
        return Ok(());
    }
    if view.subscriptions_of(endpoint).iter().any(|held| Some(held.id) != own) {
        return Err(SubscriptionError::EndpointTaken);
    }
    Ok(())
}

/// What was set before, else the project's strategy, with the given parts replaced.
pub fn retry_config(view: &ProjectView, before: Option<&RetryConfig>, given: &RetryUpdate) -> Result<RetryConfig> {
    let strategy = &view.project.config.strategy;
    let mut config = before.cloned().unwrap_or(RetryConfig {
        kind: strategy.kind,
        duration: strategy.duration,
        retry_count: strategy.retry_count,
    });
    config.kind = match given.kind.as_str() {
        "" => config.kind,
        "linear" => retry::Kind::Linear,
        "exponential" => retry::Kind::Exponential,
        other => {
            let text = format!("{other} does not validate as supported_retry_strategy");
            return Err(Violations::from(Violation { field: "type", text }).into());
        }
    };
    config.duration = given.duration.filter(|seconds| *seconds > 0).unwrap_or(config.duration);
    config.retry_count = given.retry_count.filter(|count| *count > 0).unwrap_or(config.retry_count);
    Ok(config)
}

pub fn merge_rate_limit(held: &mut Option<RateLimitConfig>, given: &RateLimitConfig) {
    let before = held.take().unwrap_or(RateLimitConfig { count: 0, duration: 0 });
    *held = Some(RateLimitConfig {
        count: if given.count > 0 { given.count } else { before.count },
        duration: if given.duration > 0 { given.duration } else { before.duration },
    });
}

pub fn merge_alert(held: &mut Option<AlertConfig>, given: AlertConfig) {
    let before = held.take().unwrap_or(AlertConfig { count: 0, threshold: String::new() });
    *held = Some(AlertConfig {
        count: if given.count > 0 { given.count } else { before.count },
        threshold: if given.threshold.is_empty() { before.threshold } else { given.threshold },
    });
}
