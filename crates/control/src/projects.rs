//! Projects and their settings (contracts/convoy.md §2.1, §7.1).

use crate::endpoint_url::{self, UrlRefusal};
use crate::violation::{TokenFault, Violations, token_fault};
use crate::{Control, live_project};
use dacapo_model::breaker;
use dacapo_model::catalog::{Change, ProjectView};
use dacapo_model::endpoint::{Endpoint, Status};
use dacapo_model::key::endpoint_secret;
use dacapo_model::project::{
    CircuitBreaker, Config, DEFAULT_EVENT_ID_HEADER, DEFAULT_REQUEST_ID_HEADER, Encoding, Hash, Kind, MetaEvent,
    Project, RateLimit, SignatureConfig, SignatureVersion, Ssl,
};
use dacapo_model::retry::{self, Strategy};
use dacapo_model::{Id, Timestamp};
use dacapo_store::StoreError;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub struct ProjectUpdate {
    pub name: String,
    pub logo_url: String,
    pub config: Option<ConfigPatch>,
}

/// What is `None` stays; a part that is there replaces the stored part whole.
#[derive(Clone, Debug, Default)]
pub struct ConfigPatch {
    /// Bytes; 0 keeps.
    pub max_payload_read_size: Option<u64>,
    pub replay_attacks_prevention_enabled: Option<bool>,
    pub add_event_id_trace_headers: Option<bool>,
    pub disable_endpoint: Option<bool>,
    pub multiple_endpoint_subscriptions: Option<bool>,
    pub verify_dynamic_events: Option<bool>,
    pub allow_unmatched_dynamic_urls: Option<bool>,
    pub search_policy: Option<String>,
    pub ssl: Option<Ssl>,
    pub ratelimit: Option<RateLimit>,
    pub strategy: Option<StrategyPatch>,
    pub signature: Option<SignaturePatch>,
    pub request_id_header: Option<String>,
    pub meta_event: Option<MetaEvent>,
    pub circuit_breaker: Option<CircuitBreaker>,
    pub standard_webhooks: Option<bool>,
    pub event_id_header: Option<String>,
    /// The old name of `verify_dynamic_events` was used.
    pub sync_dynamic_event_ack: bool,
}

#[derive(Clone, Debug, Default)]
pub struct StrategyPatch {
    /// Empty: linear.
    pub kind: String,
    /// Seconds.
    pub duration: u64,
    pub retry_count: u64,
}

#[derive(Clone, Debug, Default)]
pub struct SignaturePatch {
    pub header: String,
    pub versions: Vec<SignatureVersionPatch>,
}

#[derive(Clone, Debug, Default)]
pub struct SignatureVersionPatch {
    /// Filled in when it is missing.
    pub uid: Option<Id>,
    pub hash: String,
    pub encoding: String,
    pub created_at: Option<Timestamp>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("project not found")]
    Unknown,
    #[error(transparent)]
    Invalid(#[from] Violations),
    #[error("a project with this name already exists")]
    NameTaken,
    #[error("sync_dynamic_event_ack has been renamed to verify_dynamic_events")]
    RenamedKey,
    #[error("request_id_header can only be customized on outgoing projects")]
    RequestIdHeaderIncoming,
    #[error("{header} {fault}")]
    HeaderName { header: &'static str, fault: TokenFault },
    #[error(transparent)]
    CircuitBreaker(#[from] breaker::Invalid),
    #[error("meta_event.type must be \"http\", not {0:?}: meta events are sent to a URL")]
    MetaEventKind(String),
    #[error("meta_event.url: {0}")]
    MetaEventUrl(UrlRefusal),
    /// Contracts/convoy.md §7.3 has the words.
    #[error("endpoint url must not point to localhost or loopback addresses")]
    MetaEventInside,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The one way they are sent.
const META_EVENT_KIND: &str = "http";

type Result<T> = std::result::Result<T, ProjectError>;

impl Control {
    pub async fn update_project(&self, project: Id, update: ProjectUpdate) -> Result<Arc<Project>> {
        let edit = self.catalog.edit().await?;
        let view = live_project(&edit, project).ok_or(ProjectError::Unknown)?;
        let mut found = Violations::default();
        found.require("name", &update.name, "please provide a valid name");
        found.into_result()?;
        let taken = edit.snapshot().projects().map(|other| &other.project).any(|other| {
            other.id != project
                && other.deleted_at.is_none()
                && other.organisation_id == view.project.organisation_id
                && other.name == update.name
        });
        if taken {
            return Err(ProjectError::NameTaken);
        }

        let now = self.clock.now();
        let mut next = Project::clone(&view.project);
        next.name = update.name;
        next.logo_url = update.logo_url;
        next.updated_at = now;
        let mut changes = Vec::new();
        if let Some(patch) = update.config {
            if patch.disable_endpoint == Some(false) {
                changes.extend(reactivated(view, now).map(Change::Endpoint));
            }
            self.patch_config(&mut next.config, next.kind, patch)?;
        }
        let next = Arc::new(next);
        changes.push(Change::Project(next.clone()));
        edit.write(changes).await?;
        Ok(next)
    }

    fn patch_config(&self, config: &mut Config, kind: Kind, patch: ConfigPatch) -> Result<()> {
        if patch.sync_dynamic_event_ack {
            return Err(ProjectError::RenamedKey);
        }
        if let Some(bytes) = patch.max_payload_read_size.filter(|bytes| *bytes > 0) {
            config.max_payload_read_size = bytes;
        }
        replace(&mut config.replay_attacks_prevention_enabled, patch.replay_attacks_prevention_enabled);
        replace(&mut config.add_event_id_trace_headers, patch.add_event_id_trace_headers);
        replace(&mut config.disable_endpoint, patch.disable_endpoint);
        replace(&mut config.multiple_endpoint_subscriptions, patch.multiple_endpoint_subscriptions);
        replace(&mut config.verify_dynamic_events, patch.verify_dynamic_events);
        replace(&mut config.allow_unmatched_dynamic_urls, patch.allow_unmatched_dynamic_urls);
        replace(&mut config.search_policy, patch.search_policy);
        replace(&mut config.ssl, patch.ssl);
        replace(&mut config.ratelimit, patch.ratelimit);
        if let Some(breaker) = patch.circuit_breaker {
            breaker.validate()?;
            config.circuit_breaker = breaker;
        }
        replace(&mut config.standard_webhooks, patch.standard_webhooks);
        if let Some(meta_event) = patch.meta_event {
            config.meta_event = self.new_meta_event(meta_event, &config.ssl)?;
        }
        if let Some(strategy) = patch.strategy {
            config.strategy = new_strategy(&strategy)?;
        }
        if let Some(signature) = patch.signature {
            config.signature = self.new_signature(signature)?;
        }
        if let Some(name) = patch.request_id_header {
            config.request_id_header = request_id_header(name, kind)?;
        }
        if let Some(name) = patch.event_id_header {
            config.event_id_header = header_name("event_id_header", name, DEFAULT_EVENT_ID_HEADER)?;
        }
        Ok(())
    }

    /// What is switched off may say what it likes.
    fn new_meta_event(&self, mut given: MetaEvent, ssl: &Ssl) -> Result<MetaEvent> {
        if !given.is_enabled {
            return Ok(given);
        }
        if given.kind.is_empty() {
            given.kind = META_EVENT_KIND.to_owned();
        }
        if given.kind != META_EVENT_KIND {
            return Err(ProjectError::MetaEventKind(given.kind));
        }
        given.url =
            endpoint_url::normalise(&given.url, ssl.enforce_secure_endpoints).map_err(ProjectError::MetaEventUrl)?;
        if !endpoint_url::is_allowed(&given.url, &self.guard) {
            return Err(ProjectError::MetaEventInside);
        }
        if given.secret.is_empty() {
            given.secret = endpoint_secret(&*self.entropy);
        }
        Ok(given)
    }

    fn new_signature(&self, patch: SignaturePatch) -> Result<SignatureConfig> {
        let mut found = Violations::default();
        match token_fault(&patch.header) {
            Some(TokenFault::Empty) => found.add("header", "please provide a valid signature header"),
            Some(fault) => found.add("header", fault.to_string()),
            None => {}
        }
        if patch.versions.is_empty() {
            found.add("versions", "please provide at least one signature version");
        }
        let mut versions = Vec::with_capacity(patch.versions.len());
        for version in patch.versions {
            let hash = [("SHA256", Hash::Sha256), ("SHA512", Hash::Sha512)]
                .into_iter()
                .find(|(name, _)| *name == version.hash);
            let encoding = [("hex", Encoding::Hex), ("base64", Encoding::Base64)]
                .into_iter()
                .find(|(name, _)| *name == version.encoding);
            if hash.is_none() {
                found.add("hash", format!("{} does not validate as supported_hash", version.hash));
            }
            if encoding.is_none() {
                found.add("encoding", format!("{} does not validate as supported_encoding", version.encoding));
            }
            if let (Some((_, hash)), Some((_, encoding))) = (hash, encoding) {
                let uid = version.uid.unwrap_or_else(|| self.mint().0);
                versions.push(SignatureVersion { uid: Some(uid), hash, encoding, created_at: version.created_at });
            }
        }
        found.into_result()?;
        Ok(SignatureConfig { header: patch.header, versions })
    }
}

fn replace<T>(held: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *held = given;
    }
}

/// Endpoints that were switched off, switched on again: nothing switches them off from now on.
fn reactivated(view: &ProjectView, now: Timestamp) -> impl Iterator<Item = Arc<Endpoint>> {
    let inactive = view.endpoints.values().filter(|endpoint| endpoint.is_live() && endpoint.status == Status::Inactive);
    inactive.map(move |endpoint| {
        let mut active = Endpoint::clone(endpoint);
        active.activate(now);
        active.version += 1;
        active.updated_at = now;
        Arc::new(active)
    })
}

fn new_strategy(patch: &StrategyPatch) -> Result<Strategy> {
    let kind = match patch.kind.as_str() {
        "" | "linear" => retry::Kind::Linear,
        "exponential" => retry::Kind::Exponential,
        other => {
            let mut found = Violations::default();
            found.add("type", format!("{other} does not validate as supported_retry_strategy"));
            return Err(found.into());
        }
    };
    Ok(Strategy { kind, duration: patch.duration, retry_count: patch.retry_count })
}

fn request_id_header(name: String, kind: Kind) -> Result<String> {
    let name = header_name("request_id_header", name, DEFAULT_REQUEST_ID_HEADER)?;
    if kind == Kind::Incoming && name != DEFAULT_REQUEST_ID_HEADER {
        return Err(ProjectError::RequestIdHeaderIncoming);
    }
    Ok(name)
}

/// Empty stands for the default.
fn header_name(header: &'static str, name: String, default: &str) -> Result<String> {
    match token_fault(&name) {
        None => Ok(name),
        Some(TokenFault::Empty) => Ok(default.to_owned()),
        Some(fault) => Err(ProjectError::HeaderName { header, fault }),
    }
}

#[cfg(test)]
mod tests;
