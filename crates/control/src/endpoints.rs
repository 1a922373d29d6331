//! Endpoints: create, replace, delete, pause, activate, roll the secret (contracts/convoy.md §3).
//!
//! An https address is tried out before it is saved ([`crate::pinger`]), unless the operator switched that
//! off. That takes as long as a receiver takes to answer, so it is done before other writers are held off,
//! and what was looked at is looked at again afterwards.

mod checks;
#[cfg(test)]
mod tests;

use crate::endpoint_url::UrlRefusal;
use crate::violation::Violations;
use crate::{Control, NotAvailable, live_project};
use checks::{Checked, advanced_signatures, check_new, updated};
use dacapo_model::catalog::{Change, ProjectView};
use dacapo_model::endpoint::{Endpoint, Secret, Status};
use dacapo_model::key::endpoint_secret;
use dacapo_model::{Id, Timestamp};
use dacapo_store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// What a caller says of a new endpoint. Empty texts stand for fields that were left out.
#[derive(Clone, Default)]
pub struct NewEndpoint {
    pub url: String,
    pub name: String,
    /// Empty: one is generated.
    pub secret: String,
    pub owner_id: String,
    /// Convoy's old grouping; becomes the owner when there is none.
    pub app_id: String,
    pub description: String,
    pub support_email: String,
    pub slack_webhook_url: String,
    pub teams_webhook_url: String,
    pub content_type: String,
    pub advanced_signatures: Option<bool>,
    /// Seconds.
    pub http_timeout: u64,
    /// Zero and less: unlimited.
    pub rate_limit: i64,
    /// Seconds.
    pub rate_limit_duration: u64,
    pub authentication: Option<NewAuthentication>,
    /// A client certificate was given.
    pub mtls: bool,
    pub recover_on_heal: Option<RecoverySetting>,
}

/// Ours: whether what failed is sent again by itself when the endpoint heals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoverySetting {
    /// `None`: on, with a `lookback`.
    pub enabled: Option<bool>,
    /// Seconds before the healing; `None`: a day.
    pub lookback: Option<u64>,
}

/// A change of an endpoint: partly a replacement, partly a patch, field by field as §3.3 has it.
#[derive(Clone, Default)]
pub struct EndpointUpdate {
    pub url: String,
    pub name: String,
    /// Kept when empty.
    pub owner_id: String,
    /// Replaced, also by nothing.
    pub description: String,
    /// `None` keeps; so do the next three.
    pub support_email: Option<String>,
    pub slack_webhook_url: Option<String>,
    pub teams_webhook_url: Option<String>,
    pub content_type: Option<String>,
    pub advanced_signatures: Option<bool>,
    /// Seconds; 0 keeps.
    pub http_timeout: u64,
    /// Replaced unless negative.
    pub rate_limit: i64,
    /// Seconds; replaced.
    pub rate_limit_duration: u64,
    /// Replaced: `None` removes it.
    pub authentication: Option<NewAuthentication>,
    pub mtls: bool,
    /// `None` keeps.
    pub recover_on_heal: Option<RecoverySetting>,
}

/// What reads show instead of a basic-auth password. Who sends it back with an update keeps the
/// password that is there.
pub const REDACTED: &str = "[REDACTED]";

/// Authentication as it was sent, before it is known to make sense.
#[derive(Clone, Default)]
pub struct NewAuthentication {
    pub kind: String,
    /// Header name and value.
    pub api_key: Option<(String, String)>,
    /// User name and password.
    pub basic_auth: Option<(String, String)>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("unknown project")]
    UnknownProject,
    #[error("unknown endpoint")]
    Unknown,
    #[error(transparent)]
    Invalid(#[from] Violations),
    #[error(transparent)]
    Url(#[from] UrlRefusal),
    /// Nobody who says yes is there; the text says what came instead.
    #[error("endpoint validation failed: {0}")]
    Ping(String),
    #[error("invalid {0} webhook url")]
    ChatUrl(Chat),
    #[error("unsupported content type")]
    ContentType,
    /// The type was named, its part is missing.
    #[error("{0} field is required")]
    AuthenticationPart(&'static str),
    #[error(transparent)]
    NotAvailable(#[from] NotAvailable),
    /// It is neither active nor paused.
    #[error("current endpoint status - {}, does not support pausing or unpausing", .0.as_str())]
    CannotPause(Status),
    #[error("current endpoint status - {}, does not support activation", .0.as_str())]
    CannotActivate(Status),
    #[error("no active secret found")]
    NoActiveSecret,
    #[error("recover_on_heal.enabled must be true or false; beside it there is only lookback")]
    Recovery,
    #[error("recover_on_heal.lookback must be a duration between 1m and 2160h, such as \"24h\"")]
    Lookback,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chat {
    Slack,
    Teams,
}

impl std::fmt::Display for Chat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Slack => "slack",
            Self::Teams => "teams",
        })
    }
}

type Result<T> = std::result::Result<T, EndpointError>;

impl Control {
    pub async fn create_endpoint(&self, project: Id, new: NewEndpoint) -> Result<Arc<Endpoint>> {
        if let Some(view) = self.snapshot().project(project).filter(|view| view.project.deleted_at.is_none()) {
            self.try_out(&check_new(&view.project, &new, self.clock.now())?.url).await?;
        }
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(EndpointError::UnknownProject)?;
        let (id, now) = self.mint();
        let Checked { url, content_type, authentication, recover_on_heal } = check_new(&view.project, &new, now)?;

        let secret = if new.secret.is_empty() { endpoint_secret(&*self.entropy) } else { new.secret };
        let endpoint = Arc::new(Endpoint {
            id,
            project_id: project,
            owner_id: if new.owner_id.is_empty() { new.app_id } else { new.owner_id },
            url,
            name: new.name,
            secrets: vec![self.new_secret(secret, now)],
            advanced_signatures: advanced_signatures(&view.project, new.advanced_signatures, true),
            description: new.description,
            slack_webhook_url: new.slack_webhook_url,
            teams_webhook_url: new.teams_webhook_url,
            support_email: new.support_email,
            status: Status::Active,
            http_timeout: new.http_timeout,
            rate_limit: u64::try_from(new.rate_limit).unwrap_or(0),
            rate_limit_duration: new.rate_limit_duration,
            content_type,
            authentication,
            activation: 0,
            activated_at: None,
            recover_on_heal,
            version: 1,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        });
        edit.write(vec![Change::Endpoint(endpoint.clone())]).await?;
        Ok(endpoint)
    }

    pub async fn update_endpoint(&self, project: Id, id: Id, update: EndpointUpdate) -> Result<Arc<Endpoint>> {
        let now = self.clock.now();
        // On another node it may just have been made.
        self.catalog.catch_up().await;
        let snapshot = self.snapshot();
        if let Some(view) = snapshot.project(project)
            && let Some(before) = view.live_endpoint(id)
        {
            let mut after = Endpoint::clone(before);
            updated(&view.project, &mut after, update.clone(), now)?;
            self.try_out(&after.url).await?;
        }
        self.change_endpoint(project, id, |view, endpoint| updated(&view.project, endpoint, update, now)).await
    }

    async fn try_out(&self, url: &str) -> Result<()> {
        if !url.starts_with("https:") {
            return Ok(());
        }
        self.pinger.ping(url).await.map_err(EndpointError::Ping)
    }

    /// Its subscriptions go with it.
    pub async fn delete_endpoint(&self, project: Id, id: Id) -> Result<()> {
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(EndpointError::UnknownProject)?;
        let endpoint = view.live_endpoint(id).ok_or(EndpointError::Unknown)?;
        let now = self.clock.now();
        let subscriptions = view.subscriptions_of(id).iter().map(|subscription| {
            let mut deleted = (**subscription).clone();
            deleted.deleted_at = Some(now);
            Change::Subscription(Arc::new(deleted))
        });
        let mut changes: Vec<Change> = subscriptions.collect();
        let mut deleted = Endpoint::clone(endpoint);
        deleted.deleted_at = Some(now);
        deleted.version += 1;
        changes.push(Change::Endpoint(Arc::new(deleted)));
        edit.write(changes).await?;
        Ok(())
    }

    /// Active becomes paused and paused becomes active.
    pub async fn toggle_pause(&self, project: Id, id: Id) -> Result<Arc<Endpoint>> {
        let now = self.clock.now();
        self.change_endpoint(project, id, |_, endpoint| {
            match endpoint.status {
                Status::Active => endpoint.status = Status::Paused,
                Status::Paused => endpoint.activate(now),
                Status::Inactive => return Err(EndpointError::CannotPause(endpoint.status)),
            }
            Ok(())
        })
        .await
    }

    /// Clears its breaker too.
    pub async fn activate_endpoint(&self, project: Id, id: Id) -> Result<Arc<Endpoint>> {
        let now = self.clock.now();
        self.change_endpoint(project, id, |_, endpoint| {
            if endpoint.status == Status::Active {
                return Err(EndpointError::CannotActivate(endpoint.status));
            }
            endpoint.activate(now);
            Ok(())
        })
        .await
    }

    /// The current secret goes on signing for `after_hours`, beside a new one.
    pub async fn expire_secret(&self, project: Id, id: Id, secret: String, after_hours: u64) -> Result<Arc<Endpoint>> {
        let value = if secret.is_empty() { endpoint_secret(&*self.entropy) } else { secret };
        let now = self.clock.now();
        let fresh = self.new_secret(value, now);
        self.change_endpoint(project, id, |_, endpoint| {
            let open = |secret: &&mut Secret| secret.expires_at.is_none() && secret.deleted_at.is_none();
            let old = endpoint.secrets.iter_mut().find(open).ok_or(EndpointError::NoActiveSecret)?;
            old.expires_at = Some(now.plus(Duration::from_secs(after_hours.min(EXPIRY_HOURS_MAX) * SECONDS_PER_HOUR)));
            old.updated_at = now;
            endpoint.secrets.push(fresh);
            Ok(())
        })
        .await
    }

    /// One change of one live endpoint: read, changed and written as one step.
    async fn change_endpoint(
        &self,
        project: Id,
        id: Id,
        change: impl FnOnce(&ProjectView, &mut Endpoint) -> Result<()>,
    ) -> Result<Arc<Endpoint>> {
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(EndpointError::UnknownProject)?;
        let mut endpoint = Endpoint::clone(view.live_endpoint(id).ok_or(EndpointError::Unknown)?);
        change(view, &mut endpoint)?;
        endpoint.version += 1;
        endpoint.updated_at = self.clock.now();
        let endpoint = Arc::new(endpoint);
        edit.write(vec![Change::Endpoint(endpoint.clone())]).await?;
        Ok(endpoint)
    }

    fn new_secret(&self, value: String, now: Timestamp) -> Secret {
        Secret { id: self.mint().0, value, expires_at: None, created_at: now, updated_at: now, deleted_at: None }
    }
}

const SECONDS_PER_HOUR: u64 = 3_600;
/// Ten years: a longer expiry is cut to this, so that it stays a date clients can read.
const EXPIRY_HOURS_MAX: u64 = 10 * 365 * 24;

/// Which endpoints a list shows.
#[derive(Clone, Debug, Default)]
pub struct EndpointQuery {
    /// Part of the name, in any letter case; empty for all.
    pub name_part: String,
    /// Exact; empty for all.
    pub owner_id: String,
}

/// Live endpoints, newest first.
pub fn matching<'a>(view: &'a ProjectView, query: &EndpointQuery) -> impl Iterator<Item = &'a Arc<Endpoint>> {
    let name_part = query.name_part.to_lowercase();
    let owner_id = query.owner_id.clone();
    view.endpoints.values().rev().filter(move |endpoint| {
        endpoint.is_live()
            && (owner_id.is_empty() || endpoint.owner_id == owner_id)
            && (name_part.is_empty() || endpoint.name.to_lowercase().contains(&name_part))
    })
}
