use super::*;
use crate::endpoints::NewEndpoint;
use crate::memory::Fixture;
use crate::projects::{ConfigPatch, ProjectUpdate};
use dacapo_model::retry;
use dacapo_model::subscription::RetryConfig;
use serde_json::json;

struct Setting {
    fixture: Fixture,
    project: Id,
    endpoint: Arc<Endpoint>,
}

impl Setting {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let project = fixture.first_run().await.project_id;
        let new = NewEndpoint { url: "https://r.example".into(), name: "Acme".into(), ..NewEndpoint::default() };
        let endpoint = fixture.control.create_endpoint(project, new).await.expect("created");
        Self { fixture, project, endpoint }
    }

    fn new_subscription(&self, event_types: &[&str]) -> NewSubscription {
        NewSubscription {
            name: "orders".to_owned(),
            endpoint_id: self.endpoint.id.to_string(),
            event_types: event_types.iter().map(|name| (*name).to_owned()).collect(),
            ..NewSubscription::default()
        }
    }
}

fn on_body(filter: &serde_json::Value) -> Conditions {
    Conditions { body: filter.as_object().expect("an object").clone(), ..Conditions::default() }
}

#[tokio::test]
async fn named_event_types_become_known_wildcards_do_not() {
    let setting = Setting::new().await;
    let new = setting.new_subscription(&["order.paid", "invoice.*", "order.paid", ""]);
    let made = setting.fixture.control.create_subscription(setting.project, new).await.expect("created");
    assert_eq!(made.event_types, ["order.paid", "invoice.*"]);
    let view = setting.fixture.view(setting.project);
    let names: Vec<_> = view.event_types.values().map(|held| held.name.as_str()).collect();
    assert_eq!(names, ["*", "order.paid"]);
}

#[tokio::test]
async fn no_event_types_means_all() {
    let setting = Setting::new().await;
    let made = setting.fixture.control.create_subscription(setting.project, setting.new_subscription(&[]));
    assert_eq!(made.await.expect("created").event_types, ["*"]);
}

#[tokio::test]
async fn refusals_have_convoys_words() {
    let setting = Setting::new().await;
    let control = &setting.fixture.control;
    let good = setting.new_subscription(&[]);
    for (new, text) in [
        (NewSubscription { name: String::new(), ..good.clone() }, "name:please provide a valid subscription name"),
        (
            NewSubscription { endpoint_id: String::new(), ..good.clone() },
            "endpoint_id:please provide a valid endpoint id",
        ),
        (NewSubscription { endpoint_id: Id::MAX.to_string(), ..good.clone() }, "failed to find endpoint by id"),
        (NewSubscription { endpoint_id: "x".to_owned(), ..good.clone() }, "failed to find endpoint by id"),
        (NewSubscription { source_id: "x".to_owned(), ..good.clone() }, "unknown source"),
        (
            NewSubscription { delivery_mode: "twice".to_owned(), ..good.clone() },
            "invalid delivery mode value, must be either 'at_least_once' or 'at_most_once'",
        ),
        (
            NewSubscription { conditions: on_body(&json!({"amount": {"$gt": "x"}})), ..good.clone() },
            "filter_config.filter.body: amount: $gt needs a number",
        ),
        (
            NewSubscription { function: "x".to_owned(), ..good.clone() },
            "functions are not available yet: leave function out",
        ),
    ] {
        let fault = control.create_subscription(setting.project, new).await.expect_err(text);
        assert_eq!(fault.to_string(), text);
    }
    control.create_subscription(setting.project, good.clone()).await.expect("created");
    let fault = control.create_subscription(setting.project, good).await.expect_err("taken");
    assert_eq!(fault.to_string(), "a subscription for this endpoint already exists");
}

#[tokio::test]
async fn an_update_replaces_conditions_only_when_it_has_some() {
    let setting = Setting::new().await;
    let control = &setting.fixture.control;
    let written = on_body(&json!({"amount": {"$gte": 1000}}));
    let new = NewSubscription { conditions: written.clone(), ..setting.new_subscription(&["a"]) };
    let made = control.create_subscription(setting.project, new).await.expect("created");
    assert_eq!(made.conditions, written);
    let update = async |conditions: Option<Conditions>| {
        let event_types = vec!["b".to_owned()];
        let update = SubscriptionUpdate { event_types, conditions, ..SubscriptionUpdate::default() };
        control.update_subscription(setting.project, made.id, update).await
    };
    assert_eq!(update(None).await.expect("types only").conditions, written);
    let refused = update(Some(on_body(&json!({"a": {"$like": 1}})))).await.expect_err("no operator");
    assert!(matches!(refused, SubscriptionError::Filter(_)), "{refused}");
    assert!(setting.fixture.view(setting.project).matcher_of(made.id).is_some());
    assert!(update(Some(Conditions::default())).await.expect("none").conditions.is_empty());
    assert!(setting.fixture.view(setting.project).matcher_of(made.id).is_none());
}

#[tokio::test]
async fn several_subscriptions_an_endpoint_when_the_project_allows_it() {
    let setting = Setting::new().await;
    let control = &setting.fixture.control;
    let config = ConfigPatch { multiple_endpoint_subscriptions: Some(true), ..ConfigPatch::default() };
    let update = ProjectUpdate { name: "default".to_owned(), logo_url: String::new(), config: Some(config) };
    control.update_project(setting.project, update).await.expect("updated");
    control.create_subscription(setting.project, setting.new_subscription(&["a"])).await.expect("first");
    let second = control.create_subscription(setting.project, setting.new_subscription(&["b"])).await.expect("second");
    let naming_itself =
        SubscriptionUpdate { endpoint_id: setting.endpoint.id.to_string(), ..SubscriptionUpdate::default() };
    control.update_subscription(setting.project, second.id, naming_itself).await.expect("its own endpoint");
}

#[tokio::test]
async fn an_update_changes_what_it_names() {
    let setting = Setting::new().await;
    let control = &setting.fixture.control;
    let made = control.create_subscription(setting.project, setting.new_subscription(&["a"])).await.expect("created");
    let update = SubscriptionUpdate {
        event_types: vec!["b".to_owned()],
        retry_config: Some(RetryUpdate { kind: "exponential".to_owned(), duration: Some(3), retry_count: None }),
        ..SubscriptionUpdate::default()
    };
    let after = control.update_subscription(setting.project, made.id, update).await.expect("updated");
    assert_eq!((after.name.as_str(), after.event_types.as_slice()), ("orders", ["b".to_owned()].as_slice()));
    let expected = RetryConfig { kind: retry::Kind::Exponential, duration: 3, retry_count: 10 };
    assert_eq!(after.retry_config, Some(expected));
    assert!(setting.fixture.view(setting.project).event_type("b").is_some());
    control.delete_subscription(setting.project, made.id).await.expect("deleted");
    let gone = control.update_subscription(setting.project, made.id, SubscriptionUpdate::default()).await;
    assert!(matches!(gone, Err(SubscriptionError::Unknown)));
}

#[tokio::test]
async fn racing_events_make_one_catch_all() {
    let setting = Setting::new().await;
    let view = setting.fixture.view(setting.project);
    let racers: Vec<_> = (0..50)
        .map(|_| {
            let (control, view, endpoint) = (setting.fixture.control.clone(), view.clone(), setting.endpoint.clone());
            tokio::spawn(async move { control.ensure_catch_all(&view, &endpoint).await })
        })
        .collect();
    for racer in racers {
        racer.await.expect("no panic").expect("ensured");
    }
    let view = setting.fixture.view(setting.project);
    let made = view.subscriptions_of(setting.endpoint.id);
    assert_eq!(made.len(), 1);
    assert_eq!(
        (made[0].name.as_str(), made[0].event_types.as_slice()),
        ("Acme-subscription", ["*".to_owned()].as_slice())
    );
}

#[tokio::test]
async fn lists_filter_by_endpoint_and_name() {
    let setting = Setting::new().await;
    let made = setting.fixture.control.create_subscription(setting.project, setting.new_subscription(&[]));
    let made = made.await.expect("created");
    let view = setting.fixture.view(setting.project);
    let count = |query: SubscriptionQuery| matching(&view, &query).count();
    assert_eq!(count(SubscriptionQuery { name_part: "ORD".to_owned(), ..SubscriptionQuery::default() }), 1);
    assert_eq!(count(SubscriptionQuery { endpoints: vec![made.endpoint_id], ..SubscriptionQuery::default() }), 1);
    assert_eq!(count(SubscriptionQuery { endpoints: vec![Id::MAX], ..SubscriptionQuery::default() }), 0);
}
