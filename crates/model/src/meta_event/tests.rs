use super::*;
use crate::clock::ManualClock;
use crate::id::SystemEntropy;
use crate::project::Project;
use crate::retry::{Kind as Strategy, Strategy as Retries};
use std::time::Duration;

const PROJECT: Id = Id::from_u128(1);
const ENDPOINT: Id = Id::from_u128(2);
const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

struct Named;

impl Bodies for Named {
    fn endpoint(&self, endpoint: &Endpoint, _: Timestamp) -> String {
        format!("{:?}", endpoint.name)
    }

    fn delivery(&self, outcome: &Outcome<'_>, _: Timestamp) -> String {
        format!("{:?}", outcome.delivery.status.as_str())
    }

    fn replay(&self, replay: &Replay, _: Timestamp) -> String {
        format!("{:?}", replay.control.state.as_str())
    }
}

fn teller() -> Teller {
    let clock = Arc::new(ManualClock::at(AT));
    Teller { bodies: Box::new(Named), ids: Arc::new(IdSource::new(SystemEntropy)), clock }
}

/// A project that wants these.
fn wanting(is_enabled: bool, names: &[&str]) -> Snapshot {
    let mut config =
        Config { strategy: Retries { kind: Strategy::Linear, duration: 7, retry_count: 3 }, ..Config::default() };
    config.meta_event.is_enabled = is_enabled;
    config.meta_event.event_type = names.iter().map(ToString::to_string).collect();
    let project = Project { name: "shop".to_owned(), config, ..Project::plain(PROJECT, Id::from_u128(3), AT) };
    Snapshot::default().apply(&[Change::Project(Arc::new(project))], 1)
}

fn endpoint(name: &str) -> Endpoint {
    Endpoint { name: name.to_owned(), ..Endpoint::plain(ENDPOINT, PROJECT, "https://example.test/", AT) }
}

fn change(endpoint: Endpoint) -> Vec<Change> {
    vec![Change::Endpoint(Arc::new(endpoint))]
}

fn bodies(told: &[MetaEvent]) -> Vec<String> {
    told.iter().map(|one| String::from_utf8(one.body.to_vec()).expect("text")).collect()
}

#[test]
fn an_endpoints_life_is_told_as_it_was_at_each_moment() {
    let teller = teller();
    let none = wanting(true, &["endpoint.created", "endpoint.updated", "endpoint.deleted"]);
    let born = change(endpoint("a"));
    let told = teller.of_changes(&none, &born);
    assert_eq!(bodies(&told), [r#"{"event_type":"endpoint.created","data":"a"}"#]);
    assert_eq!((told[0].policy.interval_s, told[0].policy.limit, told[0].due_at), (7, 3, AT));
    let there = none.apply(&born, 2);
    let told = teller.of_changes(&there, &change(endpoint("b")));
    assert_eq!(bodies(&told), [r#"{"event_type":"endpoint.updated","data":"b"}"#]);
    let told = teller.of_changes(&there, &change(Endpoint { deleted_at: Some(AT), ..endpoint("c") }));
    assert_eq!(bodies(&told), [r#"{"event_type":"endpoint.deleted","data":"c"}"#]);
}

#[test]
fn only_exact_names_of_projects_that_want_any_are_told() {
    let told =
        |is_enabled, names: &[&str]| teller().of_changes(&wanting(is_enabled, names), &change(endpoint("a"))).len();
    assert_eq!(told(true, &["endpoint.created"]), 1);
    assert_eq!(told(false, &["endpoint.created"]), 0);
    for other in ["*", "endpoint.*", "endpoint.updated", "Endpoint.created", "endpoint.created "] {
        assert_eq!(told(true, &[other]), 0, "{other}");
    }
}

fn attempt(number: u32) -> Attempt {
    Attempt {
        id: Id::from_u128(7),
        delivery_id: Id::from_u128(8),
        number,
        url: String::new(),
        ip: None,
        request_headers: Default::default(),
        status: Some(500),
        response_headers: Default::default(),
        response_body: Bytes::new(),
        error: None,
        succeeded: false,
        requested_at: AT,
        duration_us: 0,
    }
}

#[test]
fn it_is_tried_as_often_as_its_project_says() {
    let snapshot = wanting(true, &["endpoint.created"]);
    let mut one = teller().of_changes(&snapshot, &change(endpoint("a"))).remove(0);
    let failed = Verdict::Answered { status: 500, retry_after: None };
    for number in 1..=2 {
        one = one.after(attempt(number), failed, AT, 0.0);
        assert_eq!((one.status, one.attempts, one.due_at), (Status::Retry, number, AT.plus(Duration::from_secs(7))));
    }
    let given_up = one.after(attempt(3), failed, AT, 0.0);
    assert_eq!((given_up.status, given_up.attempts), (Status::Failure, 3));
    let delivered = one.after(attempt(3), Verdict::Delivered, AT, 0.0);
    assert_eq!((delivered.status, delivered.due_at), (Status::Success, AT));
}

#[test]
fn an_end_without_an_exchange_is_not_told() {
    let ended = |status, reason| {
        let target = crate::event::Target {
            endpoint_id: ENDPOINT,
            subscription_id: ENDPOINT,
            mode: Mode::AtLeastOnce,
            policy: Policy::from(Retries::default()),
            discarded: None,
        };
        let event = Event {
            headers: Default::default(),
            audience: crate::event::Audience::Project,
            fan_out: crate::event::FanOut::Success,
            connect: Default::default(),
            ..Event::plain(Id::from_u128(5), PROJECT, "", Bytes::new(), AT)
        };
        let mut delivery = target.delivery(&event, Id::from_u128(6), crate::delivery::Trigger::Event, None, AT);
        (delivery.status, delivery.reason) = (status, reason);
        let snapshot = wanting(true, &["eventdelivery.success", "eventdelivery.failed"]);
        let view = snapshot.project(PROJECT).expect("is there");
        let told = teller().of_delivery(&Outcome { delivery: &delivery, event: &event, attempt: &attempt(1), view });
        told.map(|told| told.event_type)
    };
    assert_eq!(ended(Status::Success, None).as_deref(), Some("eventdelivery.success"));
    assert_eq!(ended(Status::Failure, Some(Reason::RetryLimit)).as_deref(), Some("eventdelivery.failed"));
    for (status, reason) in [
        (Status::Retry, None),
        (Status::Discarded, Some(Reason::EndpointDeleted)),
        (Status::Failure, Some(Reason::Unsendable)),
    ] {
        assert_eq!(ended(status, reason), None, "{status:?} {reason:?}");
    }
}
