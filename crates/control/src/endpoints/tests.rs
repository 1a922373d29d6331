use super::*;
use crate::memory::Fixture;
use crate::pinger::Pinger;
use crate::subscriptions::NewSubscription;
use async_trait::async_trait;
use dacapo_model::endpoint::{ContentType, RecoverOnHeal};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Barrier;

fn acme() -> NewEndpoint {
    NewEndpoint { url: "https://r.example/hook".to_owned(), name: "Acme".to_owned(), ..NewEndpoint::default() }
}

fn update_of(endpoint: &Endpoint) -> EndpointUpdate {
    EndpointUpdate { url: endpoint.url.clone(), name: endpoint.name.clone(), ..EndpointUpdate::default() }
}

#[tokio::test]
async fn defaults_are_convoys() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let endpoint = fixture.control.create_endpoint(project, acme()).await.expect("created");
    assert!(endpoint.advanced_signatures);
    assert_eq!(endpoint.status, Status::Active);
    assert_eq!(endpoint.content_type, ContentType::Json);
    assert_eq!((endpoint.http_timeout, endpoint.rate_limit, endpoint.rate_limit_duration), (0, 0, 0));
    assert_eq!(endpoint.secrets.len(), 1);
    assert_eq!(endpoint.secrets[0].value.len(), 25);
    assert!(fixture.view(project).live_endpoint(endpoint.id).is_some());
}

#[tokio::test]
async fn every_broken_field_is_named() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let bad = NewEndpoint {
        support_email: "nobody".to_owned(),
        authentication: Some(NewAuthentication { kind: "magic".to_owned(), ..NewAuthentication::default() }),
        ..NewEndpoint::default()
    };
    let fault = fixture.control.create_endpoint(project, bad).await.expect_err("refused");
    assert_eq!(
        fault.to_string(),
        "name:please provide your endpointName, url:please provide a url for your endpoint, \
         support_email:please provide a valid email, type:unsupported authentication type"
    );
    let without_name = NewAuthentication {
        kind: "api_key".to_owned(),
        api_key: Some((String::new(), "v".to_owned())),
        ..NewAuthentication::default()
    };
    let fault = fixture.control.create_endpoint(project, NewEndpoint { authentication: Some(without_name), ..acme() });
    assert_eq!(fault.await.expect_err("refused").to_string(), "header_name:non zero value required");
    let without_part = NewAuthentication { kind: "api_key".to_owned(), ..NewAuthentication::default() };
    let fault = fixture.control.create_endpoint(project, NewEndpoint { authentication: Some(without_part), ..acme() });
    assert_eq!(fault.await.expect_err("refused").to_string(), "api key field is required");
    assert!(fixture.view(project).endpoints.is_empty());
}

#[tokio::test]
async fn an_update_replaces_what_the_contract_says_and_keeps_the_rest() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let new = NewEndpoint {
        description: "before".to_owned(),
        owner_id: "acct_7".to_owned(),
        http_timeout: 30,
        rate_limit: 5,
        rate_limit_duration: 60,
        support_email: "a@b.cd".to_owned(),
        authentication: Some(NewAuthentication {
            kind: "basic_auth".to_owned(),
            basic_auth: Some(("u".to_owned(), "p".to_owned())),
            ..NewAuthentication::default()
        }),
        ..acme()
    };
    let before = fixture.control.create_endpoint(project, new).await.expect("created");
    let after = fixture.control.update_endpoint(project, before.id, update_of(&before)).await.expect("updated");
    assert_eq!((after.description.as_str(), after.rate_limit, after.rate_limit_duration), ("", 0, 0));
    assert_eq!(after.authentication, None);
    assert_eq!((after.owner_id.as_str(), after.http_timeout), ("acct_7", 30));
    assert_eq!(after.support_email, "a@b.cd");
    assert_eq!(after.secrets, before.secrets);
    assert_eq!(after.version, before.version + 1);
    let negative = EndpointUpdate { rate_limit: -1, ..update_of(&before) };
    assert_eq!(fixture.control.update_endpoint(project, before.id, negative).await.expect("updated").rate_limit, 0);
}

#[tokio::test]
async fn pausing_toggles_and_activation_activates() {
    let fixture = Fixture::new().await;
    let control = &fixture.control;
    let project = fixture.first_run().await.project_id;
    let id = control.create_endpoint(project, acme()).await.expect("created").id;
    let fault = control.activate_endpoint(project, id).await.expect_err("active already");
    assert_eq!(fault.to_string(), "current endpoint status - active, does not support activation");
    assert_eq!(control.toggle_pause(project, id).await.expect("paused").status, Status::Paused);
    assert_eq!(control.toggle_pause(project, id).await.expect("unpaused").status, Status::Active);
    assert_eq!(control.toggle_pause(project, id).await.expect("paused").status, Status::Paused);
    assert_eq!(control.activate_endpoint(project, id).await.expect("activated").status, Status::Active);
    let unknown = control.toggle_pause(project, Id::MAX).await;
    assert!(matches!(unknown, Err(EndpointError::Unknown)));
}

#[tokio::test]
async fn both_secrets_sign_until_the_old_one_expires() {
    let fixture = Fixture::new().await;
    let control = &fixture.control;
    let project = fixture.first_run().await.project_id;
    let id = control.create_endpoint(project, acme()).await.expect("created").id;
    let rolled = control.expire_secret(project, id, "fresh".to_owned(), 2).await.expect("rolled");
    let now = fixture.control.clock.now();
    assert_eq!(rolled.signing_secrets(now).count(), 2);
    assert_eq!(rolled.secrets[1].value, "fresh");
    let later = now.plus(Duration::from_secs(2 * 3_600));
    let last: Vec<_> = rolled.signing_secrets(later).map(|secret| secret.value.as_str()).collect();
    assert_eq!(last, ["fresh"]);
    let at_once = control.expire_secret(project, id, String::new(), 0).await.expect("rolled");
    assert_eq!(at_once.signing_secrets(now).count(), 2, "the newest, and the one with two hours left");
}

#[tokio::test]
async fn deleting_takes_the_subscriptions_along() {
    let fixture = Fixture::new().await;
    let control = &fixture.control;
    let project = fixture.first_run().await.project_id;
    let id = control.create_endpoint(project, acme()).await.expect("created").id;
    let new = NewSubscription { name: "all".to_owned(), endpoint_id: id.to_string(), ..NewSubscription::default() };
    let subscription = control.create_subscription(project, new).await.expect("created").id;
    control.delete_endpoint(project, id).await.expect("deleted");
    let view = fixture.view(project);
    assert!(view.live_endpoint(id).is_none() && view.live_subscription(subscription).is_none());
    assert!(view.endpoints.contains_key(&id), "history still shows it");
    assert!(matches!(control.delete_endpoint(project, id).await, Err(EndpointError::Unknown)));
}

#[tokio::test]
async fn what_cannot_be_written_is_not_there() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    fixture.store.full.store(true, Ordering::SeqCst);
    let fault = fixture.control.create_endpoint(project, acme()).await.expect_err("disk full");
    assert!(matches!(fault, EndpointError::Store(StoreError::Unavailable(_))));
    assert!(fixture.view(project).endpoints.is_empty());
}

#[tokio::test]
async fn lists_are_newest_first_and_filtered() {
    let fixture = Fixture::new().await;
    let control = &fixture.control;
    let project = fixture.first_run().await.project_id;
    for (name, owner) in [("Alpha", "o1"), ("beta", "o2"), ("ALPHABET", "o2")] {
        let new = NewEndpoint { name: name.to_owned(), owner_id: owner.to_owned(), ..acme() };
        control.create_endpoint(project, new).await.expect("created");
    }
    let view = fixture.view(project);
    let names = |query: EndpointQuery| matching(&view, &query).map(|found| found.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(EndpointQuery::default()), ["ALPHABET", "beta", "Alpha"]);
    assert_eq!(
        names(EndpointQuery { name_part: "alpha".to_owned(), ..EndpointQuery::default() }),
        ["ALPHABET", "Alpha"]
    );
    assert_eq!(names(EndpointQuery { owner_id: "o2".to_owned(), ..EndpointQuery::default() }), ["ALPHABET", "beta"]);
}

#[tokio::test]
async fn a_password_that_was_read_back_redacted_is_kept() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let with_password = |password: &str| {
        Some(NewAuthentication {
            kind: "basic_auth".to_owned(),
            basic_auth: Some(("u".to_owned(), password.to_owned())),
            ..NewAuthentication::default()
        })
    };
    let new = NewEndpoint { authentication: with_password("secret"), ..acme() };
    let before = fixture.control.create_endpoint(project, new).await.expect("created");
    let sent_back = EndpointUpdate { authentication: with_password(REDACTED), ..update_of(&before) };
    let after = fixture.control.update_endpoint(project, before.id, sent_back).await.expect("updated");
    assert!(after.authentication == before.authentication);
}

#[tokio::test]
async fn what_is_not_there_yet_is_refused_not_ignored() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let oauth2 = NewAuthentication { kind: "oauth2".to_owned(), ..NewAuthentication::default() };
    for new in [NewEndpoint { authentication: Some(oauth2), ..acme() }, NewEndpoint { mtls: true, ..acme() }] {
        let refused = fixture.control.create_endpoint(project, new).await;
        assert!(matches!(refused, Err(EndpointError::NotAvailable(_))));
    }
}

#[tokio::test]
async fn every_return_to_active_is_a_new_activation() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let id = fixture.control.create_endpoint(project, acme()).await.expect("created").id;
    let paused = fixture.control.toggle_pause(project, id).await.expect("paused");
    assert_eq!((paused.activation, paused.activated_at), (0, None));
    fixture.clock.advance(Duration::from_secs(1));
    let resumed = fixture.control.toggle_pause(project, id).await.expect("resumed");
    assert_eq!(
        (resumed.status, resumed.activation, resumed.activated_at),
        (Status::Active, 1, Some(resumed.updated_at))
    );
    fixture.control.toggle_pause(project, id).await.expect("paused");
    let activated = fixture.control.activate_endpoint(project, id).await.expect("activated");
    assert_eq!((activated.status, activated.activation), (Status::Active, 2));
}

#[tokio::test]
async fn recovery_on_heal_is_kept_until_it_is_switched_off() {
    let fixture = Fixture::new().await;
    let project = fixture.first_run().await.project_id;
    let set = |enabled, lookback| Some(RecoverySetting { enabled, lookback });
    let new = NewEndpoint { recover_on_heal: set(Some(true), Some(7_200)), ..acme() };
    let endpoint = fixture.control.create_endpoint(project, new).await.expect("created");
    let since = endpoint.created_at;
    assert_eq!(endpoint.recover_on_heal, Some(RecoverOnHeal { lookback: 7_200, since }));
    fixture.clock.advance(Duration::from_secs(1));
    let update = |recover_on_heal| EndpointUpdate { recover_on_heal, ..update_of(&endpoint) };
    let change = async |setting| fixture.control.update_endpoint(project, endpoint.id, update(setting)).await;
    let kept = change(None).await.expect("updated");
    assert_eq!(kept.recover_on_heal, endpoint.recover_on_heal);
    let longer = change(set(Some(true), None)).await.expect("updated");
    assert_eq!(longer.recover_on_heal, Some(RecoverOnHeal { lookback: 86_400, since }), "it was on all the time");
    let neither = change(set(None, None)).await.expect_err("says nothing");
    assert_eq!(neither.to_string(), "recover_on_heal.enabled must be true or false; beside it there is only lookback");
    for lookback in [0, 59, 90 * 86_400 + 1] {
        let fault = change(set(Some(true), Some(lookback))).await.expect_err("out of range");
        assert!(fault.to_string().starts_with("recover_on_heal.lookback"), "{fault}");
    }
    assert_eq!(change(set(Some(false), None)).await.expect("updated").recover_on_heal, None);
}

/// Nobody waits so long unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers as told, and remembers who was asked. Waits for a turn when there is a gate.
#[derive(Default)]
struct Doorbell {
    refuses: AtomicBool,
    rung: Mutex<Vec<String>>,
    gate: Option<Arc<Barrier>>,
}

#[async_trait]
impl Pinger for Doorbell {
    async fn ping(&self, url: &str) -> std::result::Result<(), String> {
        self.rung.lock().expect("no panic").push(url.to_owned());
        if let Some(gate) = &self.gate {
            gate.wait().await;
        }
        if self.refuses.load(Ordering::SeqCst) { Err("nobody is in".to_owned()) } else { Ok(()) }
    }
}

async fn with_doorbell(doorbell: Doorbell) -> (Fixture, Id, Arc<Doorbell>) {
    let (mut fixture, doorbell) = (Fixture::new().await, Arc::new(doorbell));
    fixture.control.pinger = doorbell.clone();
    let project = fixture.first_run().await.project_id;
    (fixture, project, doorbell)
}

#[tokio::test]
async fn an_https_address_that_does_not_answer_is_not_saved() {
    let (fixture, project, doorbell) = with_doorbell(Doorbell::default()).await;
    let control = &fixture.control;
    let before = control.create_endpoint(project, acme()).await.expect("somebody is in");
    doorbell.refuses.store(true, Ordering::SeqCst);
    let fault = control.create_endpoint(project, acme()).await.expect_err("refused");
    assert_eq!(fault.to_string(), "endpoint validation failed: nobody is in");
    let moved = EndpointUpdate { url: "HTTPS://else.example/a b".to_owned(), ..update_of(&before) };
    let fault = control.update_endpoint(project, before.id, moved.clone()).await.expect_err("refused");
    assert!(matches!(fault, EndpointError::Ping(_)), "{fault}");
    let view = fixture.view(project);
    assert_eq!((view.endpoints.len(), view.live_endpoint(before.id)), (1, Some(&before)), "nothing was written");
    doorbell.refuses.store(false, Ordering::SeqCst);
    control.update_endpoint(project, before.id, moved).await.expect("somebody is in");
    let rung = std::mem::take(&mut *doorbell.rung.lock().expect("no panic"));
    let (old, new) = ("https://r.example/hook", "https://else.example/a%20b");
    assert_eq!(rung, [old, old, new, new], "as it would be stored");
}

#[tokio::test]
async fn http_addresses_and_what_is_refused_anyway_are_not_tried_out() {
    let (fixture, project, doorbell) = with_doorbell(Doorbell::default()).await;
    doorbell.refuses.store(true, Ordering::SeqCst);
    let control = &fixture.control;
    let plain = NewEndpoint { url: "http://r.example/".to_owned(), ..acme() };
    let endpoint = control.create_endpoint(project, plain).await.expect("http is never tried out");
    control.update_endpoint(project, endpoint.id, update_of(&endpoint)).await.expect("nor here");
    control.create_endpoint(project, NewEndpoint { name: String::new(), ..acme() }).await.expect_err("no name");
    control.create_endpoint(Id::MIN, acme()).await.expect_err("no project");
    let https = EndpointUpdate { url: acme().url, ..update_of(&endpoint) };
    control.update_endpoint(project, Id::MIN, https).await.expect_err("no endpoint");
    assert!(doorbell.rung.lock().expect("no panic").is_empty());
}

/// Both are at the door at the same time: neither holds the other's write off.
#[tokio::test]
async fn nobody_waits_for_another_ones_receiver() {
    let gate = Some(Arc::new(Barrier::new(2)));
    let (fixture, project, _) = with_doorbell(Doorbell { gate, ..Doorbell::default() }).await;
    let create = || fixture.control.create_endpoint(project, acme());
    let both = async { tokio::join!(create(), create()) };
    let (one, other) = tokio::time::timeout(PATIENCE, both).await.expect("neither waits for the other");
    assert_ne!(one.expect("created").id, other.expect("created").id);
}
