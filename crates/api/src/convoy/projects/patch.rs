//! The body of a project update: which settings it names, and what it says of them.

use dacapo_control::projects::{ConfigPatch, ProjectUpdate, SignaturePatch, SignatureVersionPatch, StrategyPatch};
use dacapo_model::json::decode::{BodyError, Object};
use dacapo_model::project::{CircuitBreaker, MetaEvent, RateLimit, Ssl};
use serde_json::value::RawValue;

pub fn decode(body: &[u8]) -> Result<ProjectUpdate, BodyError> {
    let body = Object::read(body)?;
    let config = body.object("config")?.as_ref().map(config).transpose()?;
    Ok(ProjectUpdate { name: text(&body, "name")?, logo_url: text(&body, "logo_url")?, config })
}

fn text(body: &Object<'_>, name: &str) -> Result<String, BodyError> {
    Ok(body.string(name)?.map(Into::into).unwrap_or_default())
}

fn number(body: &Object<'_>, name: &str) -> Result<u64, BodyError> {
    Ok(body.u64(name)?.unwrap_or_default())
}

fn config(given: &Object<'_>) -> Result<ConfigPatch, BodyError> {
    Ok(ConfigPatch {
        max_payload_read_size: given.u64("max_payload_read_size")?,
        replay_attacks_prevention_enabled: given.bool("replay_attacks_prevention_enabled")?,
        add_event_id_trace_headers: given.bool("add_event_id_trace_headers")?,
        disable_endpoint: given.bool("disable_endpoint")?,
        multiple_endpoint_subscriptions: given.bool("multiple_endpoint_subscriptions")?,
        verify_dynamic_events: given.bool("verify_dynamic_events")?,
        allow_unmatched_dynamic_urls: given.bool("allow_unmatched_dynamic_urls")?,
        search_policy: given.string("search_policy")?.map(Into::into),
        ssl: given.object("ssl")?.as_ref().map(ssl).transpose()?,
        ratelimit: given.object("ratelimit")?.as_ref().map(ratelimit).transpose()?,
        strategy: given.object("strategy")?.as_ref().map(strategy).transpose()?,
        signature: given.object("signature")?.as_ref().map(signature).transpose()?,
        request_id_header: given.string("request_id_header")?.map(Into::into),
        meta_event: given.object("meta_event")?.as_ref().map(meta_event).transpose()?,
        circuit_breaker: given.object("circuit_breaker")?.as_ref().map(circuit_breaker).transpose()?,
        standard_webhooks: given.bool("standard_webhooks")?,
        event_id_header: given.string("event_id_header")?.map(Into::into),
        sync_dynamic_event_ack: given.has("sync_dynamic_event_ack"),
    })
}

fn ssl(given: &Object<'_>) -> Result<Ssl, BodyError> {
    Ok(Ssl { enforce_secure_endpoints: given.bool("enforce_secure_endpoints")?.unwrap_or_default() })
}

fn ratelimit(given: &Object<'_>) -> Result<RateLimit, BodyError> {
    Ok(RateLimit { count: number(given, "count")?, duration: number(given, "duration")? })
}

fn strategy(given: &Object<'_>) -> Result<StrategyPatch, BodyError> {
    Ok(StrategyPatch {
        kind: text(given, "type")?,
        duration: number(given, "duration")?,
        retry_count: number(given, "retry_count")?,
    })
}

fn signature(given: &Object<'_>) -> Result<SignaturePatch, BodyError> {
    let wrong = || BodyError::WrongField { field: "versions".to_owned() };
    let raw: Vec<&RawValue> = match given.raw("versions") {
        Some(list) => serde_json::from_str(list.get()).map_err(|_| wrong())?,
        None => Vec::new(),
    };
    let mut versions = Vec::with_capacity(raw.len());
    for version in raw {
        let version = Object::read(version.get().as_bytes()).map_err(|_| wrong())?;
        versions.push(SignatureVersionPatch {
            uid: version.string("uid")?.and_then(|uid| uid.parse().ok()),
            hash: text(&version, "hash")?,
            encoding: text(&version, "encoding")?,
            created_at: version
                .string("created_at")?
                .filter(|at| !at.starts_with("0001-"))
                .and_then(|at| at.parse().ok()),
        });
    }
    Ok(SignaturePatch { header: text(given, "header")?, versions })
}

fn meta_event(given: &Object<'_>) -> Result<MetaEvent, BodyError> {
    Ok(MetaEvent {
        is_enabled: given.bool("is_enabled")?.unwrap_or_default(),
        kind: text(given, "type")?,
        event_type: given.string_list("event_type")?.unwrap_or_default(),
        url: text(given, "url")?,
        secret: text(given, "secret")?,
    })
}

fn circuit_breaker(given: &Object<'_>) -> Result<CircuitBreaker, BodyError> {
    Ok(CircuitBreaker {
        sample_rate: number(given, "sample_rate")?,
        error_timeout: number(given, "error_timeout")?,
        failure_threshold: number(given, "failure_threshold")?,
        success_threshold: number(given, "success_threshold")?,
        minimum_request_count: number(given, "minimum_request_count")?,
        observability_window: number(given, "observability_window")?,
        consecutive_failure_threshold: number(given, "consecutive_failure_threshold")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_null_are_not_named() {
        let update =
            decode(br#"{"name":"n","config":{"disable_endpoint":null,"SSL":{"enforce_secure_endpoints":true}}}"#)
                .expect("read");
        let config = update.config.expect("named");
        assert_eq!(config.disable_endpoint, None);
        assert!(config.ssl.expect("named").enforce_secure_endpoints);
        assert!(config.strategy.is_none() && config.signature.is_none());
    }

    #[test]
    fn what_was_read_can_be_sent_back() {
        let body = br#"{"name":"n","config":{"signature":{"header":"X","versions":[
            {"uid":"01H0JA5MEES38RRK3HTEJC647K","hash":"SHA256","encoding":"hex","created_at":"2026-01-01T00:00:00Z"},
            {"uid":"","hash":"SHA512","encoding":"base64","created_at":"0001-01-01T00:00:00Z"}]}}}"#;
        let signature = decode(body).expect("read").config.expect("named").signature.expect("named");
        assert!(signature.versions[0].uid.is_some() && signature.versions[0].created_at.is_some());
        assert!(signature.versions[1].uid.is_none() && signature.versions[1].created_at.is_none());
        assert!(decode(br#"{"config":{"signature":{"versions":[1]}}}"#).is_err());
    }
}
