//! What an endpoint's fields must be, and what they become (contracts/convoy.md §3.2-3.4).

use super::{Chat, EndpointError, EndpointUpdate, NewAuthentication, NewEndpoint, REDACTED, RecoverySetting, Result};
use crate::NotAvailable;
use crate::endpoint_url;
use crate::violation::{NON_ZERO, Violations, is_email, token_fault};
use dacapo_model::Timestamp;
use dacapo_model::endpoint::{Authentication, ContentType, Endpoint, RecoverOnHeal};
use dacapo_model::project::{Kind, Project};

/// What the texts of a new endpoint stand for.
pub struct Checked {
    pub url: String,
    pub content_type: ContentType,
    pub authentication: Option<Authentication>,
    pub recover_on_heal: Option<RecoverOnHeal>,
}

pub fn check_new(project: &Project, new: &NewEndpoint, now: Timestamp) -> Result<Checked> {
    check_fields(&new.name, &new.url, &new.support_email, new.authentication.as_ref())?;
    let url = endpoint_url::normalise(&new.url, project.config.ssl.enforce_secure_endpoints)?;
    check_chat(&new.slack_webhook_url, Chat::Slack)?;
    check_chat(&new.teams_webhook_url, Chat::Teams)?;
    let content_type = content_type(&new.content_type)?;
    let authentication = authentication(new.authentication.clone())?;
    refuse_mtls(new.mtls)?;
    let recover_on_heal = recovery(new.recover_on_heal, None, now)?;
    Ok(Checked { url, content_type, authentication, recover_on_heal })
}

/// The endpoint after a change.
pub fn updated(project: &Project, endpoint: &mut Endpoint, update: EndpointUpdate, now: Timestamp) -> Result<()> {
    let support_email = update.support_email.as_deref().unwrap_or_default();
    check_fields(&update.name, &update.url, support_email, update.authentication.as_ref())?;
    endpoint.url = endpoint_url::normalise(&update.url, project.config.ssl.enforce_secure_endpoints)?;
    endpoint.name = update.name;
    endpoint.description = update.description;
    endpoint.rate_limit = u64::try_from(update.rate_limit).unwrap_or(endpoint.rate_limit);
    endpoint.rate_limit_duration = update.rate_limit_duration;
    let before = endpoint.authentication.take();
    endpoint.authentication = authentication(update.authentication)?.map(|given| unredacted(given, before));
    refuse_mtls(update.mtls)?;
    if !update.owner_id.is_empty() {
        endpoint.owner_id = update.owner_id;
    }
    if update.http_timeout != 0 {
        endpoint.http_timeout = update.http_timeout;
    }
    if let Some(text) = update.content_type.filter(|text| !text.is_empty()) {
        endpoint.content_type = content_type(&text)?;
    }
    if let Some(email) = update.support_email {
        endpoint.support_email = email;
    }
    if let Some(url) = update.slack_webhook_url {
        check_chat(&url, Chat::Slack)?;
        endpoint.slack_webhook_url = url;
    }
    if let Some(url) = update.teams_webhook_url {
        check_chat(&url, Chat::Teams)?;
        endpoint.teams_webhook_url = url;
    }
    if update.recover_on_heal.is_some() {
        endpoint.recover_on_heal = recovery(update.recover_on_heal, endpoint.recover_on_heal, now)?;
    }
    endpoint.advanced_signatures =
        advanced_signatures(project, update.advanced_signatures, endpoint.advanced_signatures);
    Ok(())
}

fn check_fields(name: &str, url: &str, email: &str, authentication: Option<&NewAuthentication>) -> Result<()> {
    let mut found = Violations::default();
    found.require("name", name, "please provide your endpointName");
    found.require("url", url, "please provide a url for your endpoint");
    if !email.is_empty() && !is_email(email) {
        found.add("support_email", "please provide a valid email");
    }
    if let Some(given) = authentication {
        check_authentication(given, &mut found);
    }
    Ok(found.into_result()?)
}

fn check_authentication(given: &NewAuthentication, found: &mut Violations) {
    match given.kind.as_str() {
        "" | "oauth2" => {}
        "api_key" => {
            if let Some((name, value)) = &given.api_key {
                found.require("header_name", name, NON_ZERO);
                found.require("header_value", value, NON_ZERO);
                if let Some(fault) = token_fault(name).filter(|_| !name.is_empty()) {
                    found.add("header_name", fault.to_string());
                }
            }
        }
        "basic_auth" => {
            if let Some((user, password)) = &given.basic_auth {
                found.require("username", user, NON_ZERO);
                found.require("password", password, NON_ZERO);
            }
        }
        _ => found.add("type", "unsupported authentication type"),
    }
}

fn authentication(given: Option<NewAuthentication>) -> Result<Option<Authentication>> {
    let Some(given) = given else {
        return Ok(None);
    };
    match given.kind.as_str() {
        "api_key" => {
            let (header_name, header_value) = given.api_key.ok_or(EndpointError::AuthenticationPart("api key"))?;
            Ok(Some(Authentication::ApiKey { header_name, header_value }))
        }
        "basic_auth" => {
            let (username, password) = given.basic_auth.ok_or(EndpointError::AuthenticationPart("basic auth"))?;
            Ok(Some(Authentication::BasicAuth { username, password }))
        }
        "oauth2" => Err(NotAvailable { feature: "OAuth2 tokens", advice: "use api_key or basic_auth" }.into()),
        _ => Ok(None),
    }
}

fn unredacted(given: Authentication, before: Option<Authentication>) -> Authentication {
    match (given, before) {
        (Authentication::BasicAuth { username, password: shown }, Some(Authentication::BasicAuth { password, .. }))
            if shown == REDACTED =>
        {
            Authentication::BasicAuth { username, password }
        }
        (given, _) => given,
    }
}

fn refuse_mtls(given: bool) -> Result<()> {
    if given {
        return Err(NotAvailable { feature: "client certificates", advice: "leave mtls_client_cert out" }.into());
    }
    Ok(())
}

fn check_chat(url: &str, chat: Chat) -> Result<()> {
    if url.is_empty() || endpoint_url::is_public_https(url) {
        return Ok(());
    }
    Err(EndpointError::ChatUrl(chat))
}

fn content_type(text: &str) -> Result<ContentType> {
    if text.is_empty() {
        return Ok(ContentType::default());
    }
    [ContentType::Json, ContentType::Form]
        .into_iter()
        .find(|known| known.as_str() == text)
        .ok_or(EndpointError::ContentType)
}

const LOOKBACK_DEFAULT_S: u64 = 24 * 3_600;
/// A minute to ninety days.
const LOOKBACK_S: std::ops::RangeInclusive<u64> = 60..=90 * 24 * 3_600;

/// On since `before` said so, if it did.
fn recovery(
    given: Option<RecoverySetting>,
    before: Option<RecoverOnHeal>,
    now: Timestamp,
) -> Result<Option<RecoverOnHeal>> {
    let Some(given) = given else { return Ok(None) };
    let enabled = given.enabled.or(given.lookback.map(|_| true)).ok_or(EndpointError::Recovery)?;
    let lookback = given.lookback.unwrap_or(LOOKBACK_DEFAULT_S);
    if !LOOKBACK_S.contains(&lookback) {
        return Err(EndpointError::Lookback);
    }
    let since = before.map_or(now, |before| before.since);
    Ok(enabled.then_some(RecoverOnHeal { lookback, since }))
}

/// Always on in incoming projects.
pub fn advanced_signatures(project: &Project, given: Option<bool>, otherwise: bool) -> bool {
    project.kind == Kind::Incoming || given.unwrap_or(otherwise)
}
