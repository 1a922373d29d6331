//! The part of a request that is the same for every delivery to an endpoint, made once for as long as
//! nothing of its project's configuration changes.

use super::request::{self, Unsendable};
use crate::settings::Settings;
use base64::Engine as _;
use dacapo_model::catalog::ProjectView;
use dacapo_model::endpoint::{Authentication, Secret};
use dacapo_model::id::IdMap;
use dacapo_model::{Endpoint, Timestamp, signature};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use std::sync::{Arc, PoisonError, RwLock};

/// Headers of ours at most, event headers aside: sizes the map once.
const OWN_HEADERS: usize = 14;
/// Endpoints whose templates are kept; with more, all are made again now and then.
const TEMPLATES_MAX: usize = 8_192;

pub struct Template {
    pub view: Arc<ProjectView>,
    pub endpoint: Arc<Endpoint>,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// Unless the event brings its own.
    pub user_agent: HeaderValue,
    /// Names that projects choose.
    pub signature: HeaderName,
    pub request_id: HeaderName,
    pub event_id: HeaderName,
    /// Of the endpoint's secrets, in their order.
    keys: Vec<signature::Key>,
}

impl Template {
    pub(super) fn new(
        view: &Arc<ProjectView>,
        endpoint: &Arc<Endpoint>,
        settings: &Settings,
    ) -> Result<Self, Unsendable> {
        let config = &view.project.config;
        let mut headers = HeaderMap::with_capacity(OWN_HEADERS);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(endpoint.content_type.as_str()));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some((name, secret)) = endpoint.authentication.as_ref().map(authentication).transpose()? {
            headers.insert(name, secret);
        }
        Ok(Self {
            view: view.clone(),
            endpoint: endpoint.clone(),
            uri: endpoint.url.parse().map_err(Unsendable::Url)?,
            headers,
            user_agent: request::value("User-Agent", &settings.user_agent)?,
            signature: request::name(&config.signature.header)?,
            request_id: request::name(&config.request_id_header)?,
            event_id: request::name(&config.event_id_header)?,
            keys: endpoint.secrets.iter().map(|secret| signature::Key::new(&secret.value)).collect(),
        })
    }
}

impl Template {
    /// Of the secrets that sign now, oldest first.
    pub fn signing_keys(&self, now: Timestamp) -> Vec<&signature::Key> {
        let signs = |(secret, key)| Secret::signs_at(secret, now).then_some(key);
        self.endpoint.secrets.iter().zip(&self.keys).filter_map(signs).collect()
    }
}

fn authentication(given: &Authentication) -> Result<(HeaderName, HeaderValue), Unsendable> {
    let (name, mut secret) = match given {
        Authentication::ApiKey { header_name, header_value } => {
            (request::name(header_name)?, request::value(header_name, header_value)?)
        }
        Authentication::BasicAuth { username, password } => {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
            (AUTHORIZATION, request::value("Authorization", &format!("Basic {pair}"))?)
        }
    };
    secret.set_sensitive(true);
    Ok((name, secret))
}

#[derive(Default)]
pub struct Templates(RwLock<IdMap<Arc<Template>>>);

impl Templates {
    /// For an endpoint as `view` has it: every change makes a new view, so an old template is known
    /// by its view.
    pub fn of(
        &self,
        view: &Arc<ProjectView>,
        endpoint: &Arc<Endpoint>,
        settings: &Settings,
    ) -> Result<Arc<Template>, Unsendable> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&endpoint.id).cloned();
        if let Some(template) = kept.filter(|template| Arc::ptr_eq(&template.view, view)) {
            return Ok(template);
        }
        let template = Arc::new(Template::new(view, endpoint, settings)?);
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= TEMPLATES_MAX {
            all.clear();
        }
        all.insert(endpoint.id, template.clone());
        Ok(template)
    }
}
