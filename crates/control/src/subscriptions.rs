//! Subscriptions: which events an endpoint wants (contracts/convoy.md §4.1-4.2).

mod checks;
#[cfg(test)]
mod tests;

use crate::violation::Violations;
use crate::{Control, NotAvailable, live_project};
use checks::{
    check_endpoint_is_free, check_source, delivery_mode, find_endpoint, is_wildcard, merge_alert, merge_rate_limit,
    named_types, needs_catch_all, refuse_unavailable, retry_config,
};
use dacapo_model::catalog::{Change, ProjectView};
use dacapo_model::event_type::{CATCH_ALL, EventType};
use dacapo_model::filter::scopes::{Conditions, ScopeError};
use dacapo_model::project::Kind;
use dacapo_model::subscription::{AlertConfig, RateLimitConfig, Subscription};
use dacapo_model::{Endpoint, Id};
use dacapo_store::StoreError;
use dacapo_store::live::Edit;
use std::sync::Arc;

/// What a caller says of a new subscription. Empty texts stand for fields that were left out.
#[derive(Clone, Debug, Default)]
pub struct NewSubscription {
    pub name: String,
    pub endpoint_id: String,
    pub source_id: String,
    /// Empty: all.
    pub event_types: Vec<String>,
    pub delivery_mode: String,
    pub conditions: Conditions,
    pub function: String,
    pub rate_limit_config: Option<RateLimitConfig>,
    pub alert_config: Option<AlertConfig>,
}

/// A patch: what is empty or `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionUpdate {
    pub name: String,
    pub endpoint_id: String,
    pub source_id: String,
    pub event_types: Vec<String>,
    pub delivery_mode: String,
    /// Replace all four scopes; empty ones remove them.
    pub conditions: Option<Conditions>,
    pub function: String,
    pub retry_config: Option<RetryUpdate>,
    /// Zero leaves a part as it is; so in the next.
    pub rate_limit_config: Option<RateLimitConfig>,
    pub alert_config: Option<AlertConfig>,
}

#[derive(Clone, Debug, Default)]
pub struct RetryUpdate {
    /// `linear` or `exponential`.
    pub kind: String,
    /// Seconds.
    pub duration: Option<u64>,
    pub retry_count: Option<u64>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum SubscriptionError {
    #[error("unknown project")]
    UnknownProject,
    #[error("failed to find subscription")]
    Unknown,
    #[error(transparent)]
    Invalid(#[from] Violations),
    #[error("failed to find endpoint by id")]
    UnknownEndpoint,
    #[error("source_id is required for incoming projects")]
    SourceRequired,
    /// The project says in which words (§4.2).
    #[error("unknown source")]
    UnknownSource(Kind),
    #[error("a subscription for this endpoint already exists")]
    EndpointTaken,
    #[error("invalid delivery mode value, must be either 'at_least_once' or 'at_most_once'")]
    DeliveryMode,
    #[error("filter_config.filter.{0}")]
    Filter(#[from] ScopeError),
    #[error(transparent)]
    NotAvailable(#[from] NotAvailable),
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Result<T> = std::result::Result<T, SubscriptionError>;

impl Control {
    pub async fn create_subscription(&self, project: Id, new: NewSubscription) -> Result<Arc<Subscription>> {
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(SubscriptionError::UnknownProject)?;
        let mut found = Violations::default();
        found.require("name", &new.name, "please provide a valid subscription name");
        found.require("endpoint_id", &new.endpoint_id, "please provide a valid endpoint id");
        found.into_result()?;
        let delivery_mode = delivery_mode(&new.delivery_mode)?.unwrap_or_default();
        refuse_unavailable(&new.function)?;
        new.conditions.compile()?;
        let endpoint = find_endpoint(view, &new.endpoint_id)?;
        check_source(view, &new.source_id)?;
        check_endpoint_is_free(view, endpoint.id, None)?;

        let (id, now) = self.mint();
        let subscription = Arc::new(Subscription {
            id,
            project_id: project,
            name: new.name,
            endpoint_id: endpoint.id,
            source_id: None,
            event_types: named_types(new.event_types).unwrap_or_else(|| vec![CATCH_ALL.to_owned()]),
            conditions: new.conditions,
            delivery_mode,
            retry_config: None,
            rate_limit_config: new.rate_limit_config,
            alert_config: new.alert_config,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        });
        self.write_subscription(edit, subscription.clone()).await?;
        Ok(subscription)
    }

    pub async fn update_subscription(
        &self,
        project: Id,
        id: Id,
        update: SubscriptionUpdate,
    ) -> Result<Arc<Subscription>> {
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(SubscriptionError::UnknownProject)?;
        let mut subscription = Subscription::clone(view.live_subscription(id).ok_or(SubscriptionError::Unknown)?);
        refuse_unavailable(&update.function)?;
        if let Some(mode) = delivery_mode(&update.delivery_mode)? {
            subscription.delivery_mode = mode;
        }
        if !update.name.is_empty() {
            subscription.name = update.name;
        }
        if !update.endpoint_id.is_empty() {
            let endpoint = find_endpoint(view, &update.endpoint_id)?;
            check_source(view, &update.source_id)?;
            check_endpoint_is_free(view, endpoint.id, Some(id))?;
            subscription.endpoint_id = endpoint.id;
        }
        if let Some(event_types) = named_types(update.event_types) {
            subscription.event_types = event_types;
        }
        if let Some(conditions) = update.conditions {
            conditions.compile()?;
            subscription.conditions = conditions;
        }
        if let Some(retry) = update.retry_config {
            subscription.retry_config = Some(retry_config(view, subscription.retry_config.as_ref(), &retry)?);
        }
        if let Some(given) = update.rate_limit_config {
            merge_rate_limit(&mut subscription.rate_limit_config, &given);
        }
        if let Some(given) = update.alert_config {
            merge_alert(&mut subscription.alert_config, given);
        }
        subscription.updated_at = self.clock.now();
        let subscription = Arc::new(subscription);
        self.write_subscription(edit, subscription.clone()).await?;
        Ok(subscription)
    }

    pub async fn delete_subscription(&self, project: Id, id: Id) -> Result<()> {
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(SubscriptionError::UnknownProject)?;
        let mut deleted = Subscription::clone(view.live_subscription(id).ok_or(SubscriptionError::Unknown)?);
        deleted.deleted_at = Some(self.clock.now());
        edit.write(vec![Change::Subscription(Arc::new(deleted))]).await?;
        Ok(())
    }

    /// An outgoing project's endpoint that has no subscription gets one for all events, named after
    /// it (§2.3.3). On the way of every event: costs nothing when there is one already, and racing
    /// callers make one between them.
    pub async fn ensure_catch_all(&self, view: &ProjectView, endpoint: &Endpoint) -> Result<()> {
        if !needs_catch_all(view, endpoint.id) {
            return Ok(());
        }
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, endpoint.project_id).ok_or(SubscriptionError::UnknownProject)?;
        if !needs_catch_all(view, endpoint.id) {
            return Ok(());
        }
        let (id, now) = self.mint();
        let subscription = Subscription {
            name: format!("{}-subscription", endpoint.name),
            ..Subscription::catch_all(id, endpoint.project_id, endpoint.id, now)
        };
        self.write_subscription(edit, Arc::new(subscription)).await
    }

    /// Together with the event types it names that the project does not know yet.
    async fn write_subscription(&self, edit: Edit, subscription: Arc<Subscription>) -> Result<()> {
        let mut changes = Vec::new();
        if let Some(view) = edit.snapshot().project(subscription.project_id) {
            let unknown =
                subscription.event_types.iter().filter(|name| !is_wildcard(name) && view.event_type(name).is_none());
            changes.extend(unknown.map(|name| {
                let event_type: EventType = self.new_event_type(subscription.project_id, name);
                Change::EventType(Arc::new(event_type))
            }));
        }
        changes.push(Change::Subscription(subscription));
        edit.write(changes).await?;
        Ok(())
    }
}

/// Which subscriptions a list shows.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionQuery {
    /// Any of these endpoints; empty for all.
    pub endpoints: Vec<Id>,
    /// Part of the name, in any letter case; empty for all.
    pub name_part: String,
}

/// Live subscriptions, newest first.
pub fn matching<'a>(
    view: &'a ProjectView,
    query: &'a SubscriptionQuery,
) -> impl Iterator<Item = &'a Arc<Subscription>> {
    let name_part = query.name_part.to_lowercase();
    view.subscriptions.values().rev().filter(move |subscription| {
        subscription.deleted_at.is_none()
            && (query.endpoints.is_empty() || query.endpoints.contains(&subscription.endpoint_id))
            && (name_part.is_empty() || subscription.name.to_lowercase().contains(&name_part))
    })
}
