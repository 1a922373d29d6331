use super::*;
use crate::memory::Fixture;

fn patch(config: ConfigPatch) -> ProjectUpdate {
    ProjectUpdate { name: "default".to_owned(), logo_url: String::new(), config: Some(config) }
}

fn versions(hash: &str) -> Vec<SignatureVersionPatch> {
    vec![SignatureVersionPatch { hash: hash.to_owned(), encoding: "base64".to_owned(), ..Default::default() }]
}

#[tokio::test]
async fn only_what_is_named_changes() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let before = fixture.view(project).project.config.clone();
    let config = ConfigPatch {
        strategy: Some(StrategyPatch { kind: "exponential".to_owned(), ..Default::default() }),
        max_payload_read_size: Some(0),
        ..ConfigPatch::default()
    };
    let after = fixture.control.update_project(project, patch(config)).await.expect("updated").config.clone();
    assert_eq!(after.strategy, Strategy { kind: retry::Kind::Exponential, duration: 0, retry_count: 0 });
    assert_eq!(Config { strategy: before.strategy, ..after }, before);
}

#[tokio::test]
async fn bad_settings_are_refused_and_nothing_changes() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let before = fixture.view(project).project.clone();
    let signature =
        |header: &str, hash: &str| Some(SignaturePatch { header: header.to_owned(), versions: versions(hash) });
    for (config, text) in [
        (
            ConfigPatch { signature: signature("X-Sig", "ZZ"), ..Default::default() },
            "hash:ZZ does not validate as supported_hash",
        ),
        (
            ConfigPatch { signature: signature("", "SHA256"), ..Default::default() },
            "header:please provide a valid signature header",
        ),
        (
            ConfigPatch { request_id_header: Some("X-A b".to_owned()), ..Default::default() },
            "request_id_header must be a valid HTTP header token: invalid character at position 3",
        ),
        (
            ConfigPatch {
                circuit_breaker: Some(CircuitBreaker { success_threshold: 0, ..Default::default() }),
                ..Default::default()
            },
            "circuit_breaker.success_threshold must be between 1 and 100 percent",
        ),
        (
            ConfigPatch { sync_dynamic_event_ack: true, ..Default::default() },
            "sync_dynamic_event_ack has been renamed to verify_dynamic_events",
        ),
    ] {
        assert_eq!(fixture.control.update_project(project, patch(config)).await.expect_err(text).to_string(), text);
    }
    let unnamed = fixture.control.update_project(project, ProjectUpdate::default()).await;
    assert!(matches!(unnamed, Err(ProjectError::Invalid(_))));
    assert_eq!(fixture.view(project).project, before);
}

#[tokio::test]
async fn signature_versions_get_ids() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let signature = Some(SignaturePatch { header: "X-Sig".to_owned(), versions: versions("SHA512") });
    let config = ConfigPatch { signature, ..ConfigPatch::default() };
    let after = fixture.control.update_project(project, patch(config)).await.expect("updated").config.clone();
    assert!(after.signature.versions[0].uid.is_some());
    assert_eq!(after.signature.versions[0].created_at, None);
}

#[tokio::test]
async fn switching_endpoint_disabling_off_brings_inactive_endpoints_back() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let new = crate::endpoints::NewEndpoint { url: "https://r.example".into(), name: "n".into(), ..Default::default() };
    let endpoint = fixture.control.create_endpoint(project, new).await.expect("created");
    let mut inactive = Endpoint::clone(&endpoint);
    inactive.status = Status::Inactive;
    let edit = fixture.control.catalog.edit().await.expect("may edit");
    edit.write(vec![Change::Endpoint(Arc::new(inactive))]).await.expect("written");
    let config = ConfigPatch { disable_endpoint: Some(false), ..ConfigPatch::default() };
    fixture.control.update_project(project, patch(config)).await.expect("updated");
    assert_eq!(fixture.view(project).endpoints[&endpoint.id].status, Status::Active);
}

fn telling(url: &str) -> MetaEvent {
    MetaEvent {
        is_enabled: true,
        event_type: vec!["endpoint.created".to_owned()],
        url: url.to_owned(),
        ..MetaEvent::default()
    }
}

#[tokio::test]
async fn meta_events_go_to_public_addresses_signed_with_a_secret() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let set = async |meta_event: MetaEvent, secure: bool| {
        let ssl = Some(Ssl { enforce_secure_endpoints: secure });
        let config = ConfigPatch { meta_event: Some(meta_event), ssl, ..ConfigPatch::default() };
        let set = fixture.control.update_project(project, patch(config)).await;
        set.map(|project| project.config.meta_event.clone()).map_err(|refused| refused.to_string())
    };
    let first = set(telling("HTTPS://r.example/hook"), true).await.expect("is set");
    assert_eq!((first.url.as_str(), first.kind.as_str(), first.secret.len()), ("https://r.example/hook", "http", 25));
    let own =
        set(MetaEvent { secret: "mine".to_owned(), ..telling("http://r.example/") }, false).await.expect("is set");
    assert_eq!(own.secret, "mine");
    let kept = fixture.view(project).project.config.meta_event.clone();
    for (given, secure, text) in [
        (telling("http://127.0.0.1/"), false, "endpoint url must not point to localhost or loopback addresses"),
        (telling("http://localhost:9/"), false, "endpoint url must not point to localhost or loopback addresses"),
        (telling("https://10.0.0.7/"), false, "endpoint url must not point to localhost or loopback addresses"),
        (telling("http://r.example/"), true, "meta_event.url: only https endpoints allowed"),
        (telling(""), false, "meta_event.url: endpoint url must include a valid host"),
        (telling("ftp://r.example/"), false, "meta_event.url: invalid endpoint scheme"),
        (
            MetaEvent { kind: "pub_sub".to_owned(), ..telling("https://r.example/") },
            false,
            "meta_event.type must be \"http\", not \"pub_sub\": meta events are sent to a URL",
        ),
    ] {
        assert_eq!(set(given, secure).await.expect_err(text), text);
    }
    assert_eq!(fixture.view(project).project.config.meta_event, kept);
    let off = set(MetaEvent::default(), false).await.expect("is switched off");
    assert_eq!(off, MetaEvent::default());
}
