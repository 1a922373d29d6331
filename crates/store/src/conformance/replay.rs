//! `Requeue::replay`: new deliveries of a stored event, once a key.

use super::Subject;
use super::subject::{ENDPOINT, ENDPOINT_2, OTHER_PROJECT, PROJECT, born, ids, target, target_discarded};
use crate::roles::{Idempotency, NewReplay, ReplayWritten};
use dacapo_model::delivery::Reason;
use dacapo_model::event::FanOut;
use dacapo_model::{Class, Delivery, Event, Id, Status, Timestamp, Trigger};
use std::time::Duration;
use tokio::task::JoinSet;

/// To both endpoints.
fn replay_of(subject: &Subject, event: Id) -> NewReplay {
    NewReplay {
        project_id: PROJECT,
        event_id: event,
        replay_id: subject.mint(),
        targets: vec![(subject.mint(), target(ENDPOINT)), (subject.mint(), target(ENDPOINT_2))],
        idempotency: None,
        at: subject.now(),
        call: None,
    }
}

fn keyed(replay: NewReplay, key: &str, fingerprint: u8, forget_before: Timestamp) -> NewReplay {
    let idempotency = Idempotency { key: key.to_owned(), fingerprint: [fingerprint; 32], forget_before };
    NewReplay { idempotency: Some(idempotency), ..replay }
}

async fn write(subject: &Subject, replay: NewReplay) -> ReplayWritten {
    subject.store().replay(replay).await.expect("replays")
}

fn new(written: ReplayWritten) -> Vec<Delivery> {
    match written {
        ReplayWritten::New(deliveries) => deliveries,
        other => panic!("new deliveries expected, not {other:?}"),
    }
}

pub async fn new_deliveries_wait_in_their_own_class(mut subject: Subject) {
    let event = subject.stored(&[ENDPOINT]).await;
    subject.record([subject.attempted(&born(&event, 0), Status::Success)]).await;
    subject.advance_ms(1_000);
    let replay = replay_of(&subject, event.id);
    let made = new(write(&subject, replay.clone()).await);
    assert_eq!(ids(&made), [replay.targets[0].0, replay.targets[1].0]);
    for delivery in &made {
        assert_eq!((delivery.trigger, delivery.replay_id), (Trigger::Replay, Some(replay.replay_id)));
        assert_eq!((delivery.event_id, delivery.due_at), (event.id, subject.now()));
        assert_eq!(subject.shown(delivery.id).await.as_ref(), Some(delivery));
    }
    subject.crash().await;
    assert_eq!(subject.due(ENDPOINT, Class::Replay).await, made[..1]);
    assert_eq!(subject.due(ENDPOINT_2, Class::Replay).await, made[1..]);
    let retry = subject.attempted(&made[0], Status::Retry);
    subject.record([retry.clone()]).await;
    assert_eq!(subject.due(ENDPOINT, Class::Replay).await, [retry.delivery], "old work stays old work");
}

pub async fn a_key_gives_the_first_answer_again(mut subject: Subject) {
    let event = subject.stored(&[ENDPOINT]).await;
    let long_ago = subject.now().minus(Duration::from_secs(60));
    let made = new(write(&subject, keyed(replay_of(&subject, event.id), "k", 1, long_ago)).await);
    for _ in 0..2 {
        let again = keyed(replay_of(&subject, event.id), "k", 1, long_ago);
        assert_eq!(write(&subject, again).await, ReplayWritten::Before(ids(&made)));
        let otherwise = keyed(replay_of(&subject, event.id), "k", 2, long_ago);
        assert_eq!(write(&subject, otherwise).await, ReplayWritten::Conflict);
        subject.crash().await;
    }
    assert_eq!(subject.due(ENDPOINT, Class::Replay).await, made[..1]);
    let foreign = subject.stored_as(Event { project_id: OTHER_PROJECT, ..subject.event(&[]) }).await;
    let same_key = NewReplay { project_id: OTHER_PROJECT, ..replay_of(&subject, foreign.id) };
    new(write(&subject, keyed(same_key, "k", 2, long_ago)).await);
}

pub async fn a_key_is_forgotten_after_its_window(subject: Subject) {
    let event = subject.stored(&[ENDPOINT]).await;
    let first_at = subject.now();
    new(write(&subject, keyed(replay_of(&subject, event.id), "k", 1, first_at.minus(Duration::from_secs(1)))).await);
    subject.advance_ms(1_000);
    let just_before = first_at.minus(Duration::from_micros(1));
    let kept = keyed(replay_of(&subject, event.id), "k", 2, just_before);
    assert_eq!(write(&subject, kept).await, ReplayWritten::Conflict);
    new(write(&subject, keyed(replay_of(&subject, event.id), "k", 2, first_at)).await);
    let second = keyed(replay_of(&subject, event.id), "k", 1, first_at);
    assert_eq!(write(&subject, second).await, ReplayWritten::Conflict, "the second call's fingerprint counts now");
}

pub async fn fifty_racing_calls_write_once(mut subject: Subject) {
    let event = subject.stored(&[ENDPOINT]).await;
    let long_ago = subject.now().minus(Duration::from_secs(60));
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let (store, replay) = (subject.store(), keyed(replay_of(&subject, event.id), "k", 1, long_ago));
        calls.spawn(async move { store.replay(replay).await.expect("replays") });
    }
    let (mut made, mut before) = (Vec::new(), Vec::new());
    for answer in calls.join_all().await {
        match answer {
            ReplayWritten::New(deliveries) => made.push(ids(&deliveries)),
            ReplayWritten::Before(ids) => before.push(ids),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made.len(), before.len()), (1, 49));
    assert!(before.iter().all(|ids| *ids == made[0]));
    subject.crash().await;
    assert_eq!(ids(&subject.due(ENDPOINT, Class::Replay).await), made[0][..1]);
}

pub async fn an_unknown_event_writes_nothing(subject: Subject) {
    let foreign = subject.stored_as(Event { project_id: OTHER_PROJECT, ..subject.event(&[ENDPOINT]) }).await;
    let own = subject.stored(&[]).await;
    let backlog = subject.store().backlog().await.expect("reads");
    let guessed = Id::from_parts(own.id.order(), !own.id.tail());
    let long_ago = subject.now().minus(Duration::from_secs(60));
    for event in [foreign.id, guessed, subject.mint(), Id::MAX] {
        let replay = keyed(replay_of(&subject, event), "k", 1, long_ago);
        assert_eq!(write(&subject, replay).await, ReplayWritten::UnknownEvent);
    }
    assert_eq!(subject.store().backlog().await.expect("reads"), backlog);
    new(write(&subject, keyed(replay_of(&subject, own.id), "k", 2, long_ago)).await);
}

pub async fn an_event_nobody_matched_becomes_matched(mut subject: Subject) {
    let event = subject.stored(&[]).await;
    let fan_out = async |subject: &Subject| {
        subject.store().event(PROJECT, event.id).await.expect("reads").expect("is there").fan_out
    };
    let nobody = NewReplay { targets: Vec::new(), ..replay_of(&subject, event.id) };
    let long_ago = subject.now().minus(Duration::from_secs(60));
    for fingerprint in 1..3 {
        let nobody = keyed(nobody.clone(), "k", fingerprint, long_ago);
        assert_eq!(write(&subject, nobody).await, ReplayWritten::New(Vec::new()), "no key is remembered for nothing");
    }
    assert_eq!(fan_out(&subject).await, FanOut::NoMatch, "still nobody");
    new(write(&subject, replay_of(&subject, event.id)).await);
    for _ in 0..2 {
        assert_eq!(fan_out(&subject).await, FanOut::Success);
        subject.crash().await;
    }
}

pub async fn a_replay_born_discarded_is_settled(mut subject: Subject) {
    let event = subject.stored(&[]).await;
    let mut replay = replay_of(&subject, event.id);
    replay.targets[0].1 = target_discarded(ENDPOINT, Reason::EndpointInactive);
    let made = new(write(&subject, replay).await);
    assert_eq!((made[0].status, made[1].status), (Status::Discarded, Status::Scheduled));
    subject.crash().await;
    assert_eq!(subject.shown(made[0].id).await.as_ref(), Some(&made[0]));
    assert_eq!(subject.due_ids().await, []);
}
