//! `Commit`: an `Ok` is on disk, and one item's fault is its own.

use super::Subject;
use super::subject::{ENDPOINT, ENDPOINT_2, OTHER_PROJECT, PROJECT, born, target, target_discarded};
use crate::roles::Committed;
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::delivery::Reason;
use dacapo_model::event::{Audience, ConnectFace, FanOut, Related};
use dacapo_model::{Class, Event, Id, Mode, Status};

pub async fn an_ok_survives_a_crash(mut subject: Subject) {
    let event = subject.stored(&[ENDPOINT]).await;
    subject.crash().await;
    let found = subject.store().event(PROJECT, event.id).await.expect("reads").expect("is there");
    assert_eq!(*found, event);
    assert_eq!(subject.shown(born(&event, 0).id).await, Some(born(&event, 0)));
}

pub async fn answers_come_in_the_order_of_the_items(subject: Subject) {
    let keyed = |key: &str| Event { idempotency_key: key.to_owned(), ..subject.event(&[ENDPOINT]) };
    let (a, b, c) = (keyed("k"), keyed(""), keyed("k"));
    let again = b.clone();
    let (first, batch) = (a.id, [a, b, c, again]);
    let answers = subject.commit(batch).await;
    assert_eq!(answers, [Committed::Stored, Committed::Stored, Committed::Duplicate { first }, Committed::IdTaken]);
}

pub async fn a_taken_id_fails_alone(mut subject: Subject) {
    let taken = subject.stored(&[ENDPOINT]).await;
    let intruder = Event { id: taken.id, ..subject.event(&[ENDPOINT_2]) };
    let (before, after) = (subject.event(&[ENDPOINT]), subject.event(&[ENDPOINT]));
    let answers = subject.commit([before.clone(), intruder.clone(), after.clone()]).await;
    assert_eq!(answers, [Committed::Stored, Committed::IdTaken, Committed::Stored]);
    subject.crash().await;
    for event in [&taken, &before, &after] {
        assert_eq!(subject.store().event(PROJECT, event.id).await.expect("reads").as_deref(), Some(event));
    }
    assert_eq!(subject.due(ENDPOINT_2, Class::Live).await, []);
    assert_eq!(subject.due_ids().await, [born(&taken, 0).id, born(&before, 0).id, born(&after, 0).id]);
}

pub async fn a_key_is_first_come_within_a_batch(mut subject: Subject) {
    let keyed = || Event { idempotency_key: "k".to_owned(), ..subject.event(&[ENDPOINT]) };
    let (first, second) = (keyed(), keyed());
    let answers = subject.commit([first.clone(), second.clone()]).await;
    assert_eq!(answers, [Committed::Stored, Committed::Duplicate { first: first.id }]);
    let duplicate = subject.store().event(PROJECT, second.id).await.expect("reads").expect("is stored");
    assert!(duplicate.is_duplicate);
    assert_eq!(duplicate.fan_out, FanOut::Skipped);
    assert_eq!(duplicate.targets, []);
    subject.crash().await;
    assert_eq!(subject.due_ids().await, [born(&first, 0).id], "a duplicate is delivered to nobody");
}

pub async fn a_key_is_remembered_across_batches_and_restarts(mut subject: Subject) {
    let first = subject.stored_as(Event { idempotency_key: "k".to_owned(), ..subject.event(&[ENDPOINT]) }).await;
    for _ in 0..2 {
        let next = Event { idempotency_key: "k".to_owned(), ..subject.event(&[ENDPOINT]) };
        assert_eq!(subject.commit([next]).await, [Committed::Duplicate { first: first.id }]);
        subject.crash().await;
    }
}

pub async fn keys_of_projects_are_independent(subject: Subject) {
    let keyed = |project_id| Event { idempotency_key: "k".to_owned(), project_id, ..subject.event(&[ENDPOINT]) };
    let answers = subject.commit([keyed(PROJECT), keyed(OTHER_PROJECT)]).await;
    assert_eq!(answers, [Committed::Stored, Committed::Stored]);
}

pub async fn born_discarded_is_settled_and_never_due(mut subject: Subject) {
    let targets = vec![target_discarded(ENDPOINT, Reason::EndpointPaused), target(ENDPOINT)];
    let event = subject.stored_as(subject.event_with(targets)).await;
    for _ in 0..2 {
        let shown = subject.shown(event.id.child(0)).await.expect("is kept");
        assert_eq!(shown, born(&event, 0));
        assert_eq!((shown.status, shown.reason), (Status::Discarded, Some(Reason::EndpointPaused)));
        subject.crash().await;
        assert_eq!(subject.due_ids().await, [event.id.child(1)]);
    }
}

pub async fn every_field_of_an_event_reads_back(mut subject: Subject) {
    let mut target = target(ENDPOINT);
    target.mode = Mode::AtMostOnce;
    let full = Event {
        headers: HeaderLines::from_iter([("x-a", "1"), ("x-b", "zwei")]),
        source_id: Some(Id::from_u128(7)),
        url_query: "a=b".to_owned(),
        url_path: "/in".to_owned(),
        idempotency_key: "key \u{1F511}".to_owned(),
        data: Bytes::from_static(b"\x00\xff not even JSON"),
        connect: ConnectFace {
            livemode: false,
            related: Some(Related { to: Id::from_u128(u128::MAX), kind: "invoice".to_owned() }),
        },
        ..subject.event_with(vec![target])
    };
    let audiences =
        [Audience::Source, Audience::Endpoints(vec![ENDPOINT, ENDPOINT_2]), Audience::Endpoints(Vec::new())];
    let others = audiences.map(|audience| Event { audience, ..subject.event(&[]) });
    let all: Vec<Event> = [full].into_iter().chain(others).collect();
    subject.commit(all.clone()).await;
    for _ in 0..2 {
        for event in &all {
            assert_eq!(subject.store().event(PROJECT, event.id).await.expect("reads").as_deref(), Some(event));
        }
        subject.crash().await;
    }
}

pub async fn a_probe_answers(subject: Subject) {
    subject.store().probe().await.expect("can be written");
    subject.store().probe().await.expect("again");
}
