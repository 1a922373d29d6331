//! The request an item of a replay would be sent as, to be looked at.

use super::item::{as_of, endpoint_for, nobodys};
use super::request::{self, Prepared};
use super::template::Template;
use crate::dispatch::Work;
use crate::settings::Settings;
use dacapo_model::catalog::ProjectView;
use dacapo_model::event::Target;
use dacapo_model::replay::{Definition, Elsewhere};
use dacapo_model::{Clock, Event, Id, Trigger};
use dacapo_store::StoreError;
use dacapo_store::roles::Replays;
use std::sync::Arc;

/// Bytes of a payload that are shown.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Instead of credentials.
const HIDDEN: &str = "[REDACTED]";

/// A request as it would go out, without what is secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub event_id: Id,
    pub endpoint_id: Id,
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// At most [`BODY_BYTES_MAX`] of it; what is no UTF-8 is replaced.
    pub body: String,
    /// Why there is none, when the request could not be built.
    pub fault: Option<String>,
}

pub struct Sampler {
    pub replays: Arc<dyn Replays>,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
}

impl Sampler {
    /// `None` when the endpoint is gone. A time for which there was none yet asks for what it is now, as
    /// sending does.
    pub async fn render(
        &self,
        view: &Arc<ProjectView>,
        replay: Id,
        definition: &Definition,
        event: &Arc<Event>,
        target: &Target,
    ) -> Result<Option<Rendered>, StoreError> {
        let (now, options) = (self.clock.now(), &definition.options);
        let endpoint = match &options.target {
            Some(Elsewhere::Url { url, secret }) => Arc::new(nobodys(replay, event.project_id, url, secret, now)),
            Some(Elsewhere::Endpoint(_)) | None => {
                let Some(endpoint) = endpoint_for(view, target.endpoint_id) else { return Ok(None) };
                as_of(&*self.replays, endpoint, event, options.as_of).await?
            }
        };
        let delivery = target.delivery(event, replay, Trigger::Replay, Some(replay), now);
        let work = Work { delivery, event: Arc::clone(event) };
        let mut rendered = Rendered {
            event_id: event.id,
            endpoint_id: target.endpoint_id,
            method: "POST",
            url: endpoint.url.clone(),
            headers: Vec::new(),
            body: String::new(),
            fault: None,
        };
        let prepared = Template::new(view, &endpoint, &self.settings)
            .and_then(|template| request::prepare(&template, &work, now, &self.settings));
        match prepared {
            Ok(Prepared { outgoing, .. }) => {
                let shown = outgoing.body.slice(..outgoing.body.len().min(BODY_BYTES_MAX));
                rendered.body = String::from_utf8_lossy(&shown).into_owned();
                rendered.headers = outgoing
                    .headers
                    .iter()
                    .map(|(name, value)| {
                        let text = match value.is_sensitive() {
                            true => HIDDEN.to_owned(),
                            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
                        };
                        (name.as_str().to_owned(), text)
                    })
                    .collect();
            }
            Err(fault) => rendered.fault = Some(fault.to_string()),
        }
        Ok(Some(rendered))
    }
}
