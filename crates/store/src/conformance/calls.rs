//! What is kept of single calls: with what they did, once, as long as the events of their time.

use super::Subject;
use super::catalog::{organisation, project};
use super::subject::{ALL, DOWN, ENDPOINT, ENDPOINT_2, OTHER_PROJECT, PROJECT, UP, target, target_discarded};
use crate::roles::{CallView, Idempotency, NewReplay, NewResend, Page, ReplayWritten, ResendKind};
use dacapo_model::delivery::Reason;
use dacapo_model::replay::{Asked, Asker, AskerKind, Call, CallKind, Said, Whereabouts};
use dacapo_model::{Id, Status};
use std::time::Duration;
use tokio::task::JoinSet;

/// A replay to two endpoints, the second of which takes none, with what is to be kept of it.
pub fn replay(subject: &Subject, event: Id) -> NewReplay {
    let id = subject.mint();
    let asked = Asked::Event { event_id: event, endpoint_id: None, idempotency_key: Some("k \u{1F984}".to_owned()) };
    let asked_by = Asker { kind: AskerKind::ConnectKey, id: Some(Id::from_u128(0xC1)) };
    let said = Said { asked_by, at: subject.now(), asked, items: 2 };
    NewReplay {
        project_id: PROJECT,
        event_id: event,
        replay_id: id,
        targets: vec![
            (subject.mint(), target(ENDPOINT)),
            (subject.mint(), target_discarded(ENDPOINT_2, Reason::EndpointPaused)),
        ],
        idempotency: None,
        at: subject.now(),
        call: Some(Call { id, project_id: PROJECT, said }),
    }
}

async fn made(subject: &Subject) -> NewReplay {
    let replay = replay(subject, subject.stored(&[]).await.id);
    let written = subject.store().replay(replay.clone()).await.expect("replays");
    assert!(matches!(written, ReplayWritten::New(_)), "{written:?}");
    replay
}

async fn calls(subject: &Subject, kind: CallKind, page: Page) -> Vec<CallView> {
    subject.store().calls_of(PROJECT, kind, page).await.expect("reads")
}

async fn ids(subject: &Subject, kind: CallKind, page: Page) -> Vec<Id> {
    calls(subject, kind, page).await.iter().map(|view| view.call.id).collect()
}

async fn shown(subject: &Subject, id: Id) -> Option<CallView> {
    subject.store().call_by_id(PROJECT, id).await.expect("reads")
}

pub async fn a_call_is_kept_with_what_it_did(mut subject: Subject) {
    let replay = made(&subject).await;
    let call = replay.call.clone().expect("is kept");
    subject.crash().await;
    let view = |now| Some(CallView { call: call.clone(), now });
    let at_first = Whereabouts { waiting: 1, discarded: 1, ..Whereabouts::default() };
    assert_eq!(shown(&subject, call.id).await, view(at_first));
    assert_eq!(calls(&subject, CallKind::Single, DOWN).await, view(at_first).into_iter().collect::<Vec<_>>());
    let waiting = subject.shown(replay.targets[0].0).await.expect("waits");
    subject.record([subject.attempted(&waiting, Status::Success)]).await;
    let delivered = Whereabouts { waiting: 0, success: 1, ..at_first };
    assert_eq!(shown(&subject, call.id).await, view(delivered));
    let store = subject.store();
    assert_eq!(store.call_by_id(OTHER_PROJECT, call.id).await.expect("reads"), None);
    assert!(store.calls_of(OTHER_PROJECT, CallKind::Single, UP).await.expect("reads").is_empty());
    assert_eq!(store.replay_by_id(PROJECT, call.id).await.expect("reads"), None, "and it is no replay to be steered");
    assert!(store.replays_among(vec![call.id]).await.expect("reads").is_empty());
}

pub async fn a_call_that_wrote_nothing_is_not_kept(subject: Subject) {
    let unknown = replay(&subject, subject.mint());
    assert_eq!(subject.store().replay(unknown).await.expect("answers"), ReplayWritten::UnknownEvent);
    assert_eq!(ids(&subject, CallKind::Single, UP).await, []);
}

pub async fn fifty_racing_calls_are_kept_as_one(subject: Subject) {
    let event = subject.stored(&[]).await.id;
    let forget_before = subject.now().minus(Duration::from_secs(60));
    let mut racing = JoinSet::new();
    for _ in 0..50 {
        let idempotency = Idempotency { key: "k".to_owned(), fingerprint: [1; 32], forget_before };
        let replay = NewReplay { idempotency: Some(idempotency), ..replay(&subject, event) };
        let store = subject.store();
        racing.spawn(async move { store.replay(replay).await.expect("replays") });
    }
    let first = racing.join_all().await.into_iter().find_map(|answer| match answer {
        ReplayWritten::New(deliveries) => deliveries[0].replay_id,
        _ => None,
    });
    assert_eq!(ids(&subject, CallKind::Single, UP).await, first.into_iter().collect::<Vec<_>>());
}

pub async fn a_resend_is_kept_with_whom_it_put_back(mut subject: Subject) {
    let (failed, discarded) = (subject.settled(Status::Failure).await, subject.settled(Status::Discarded).await);
    let succeeded = subject.settled(Status::Success).await;
    let named = vec![failed.id, succeeded.id, subject.mint(), discarded.id];
    let resend = subject.resend(named, ResendKind::Failed);
    subject.store().resend(resend.clone()).await.expect("resends");
    subject.crash().await;
    let view = shown(&subject, resend.call_id).await.expect("is kept");
    let back = vec![failed.id, discarded.id];
    let asked = Asked::Deliveries { succeeded: false, delivery_ids: back, refused: 2 };
    assert_eq!(view.call.said, Said { asked_by: resend.asked_by.clone(), at: resend.at, asked, items: 2 });
    assert_eq!(view.now, Whereabouts { waiting: 2, ..Whereabouts::default() });
    let waiting = subject.shown(failed.id).await.expect("waits");
    subject.record([subject.attempted(&waiting, Status::Success)]).await;
    let now = Whereabouts { waiting: 1, success: 1, ..Whereabouts::default() };
    assert_eq!(shown(&subject, resend.call_id).await.map(|view| view.now), Some(now));
    for (project_id, kind) in [(PROJECT, ResendKind::Failed), (OTHER_PROJECT, ResendKind::Succeeded)] {
        let nothing = NewResend { project_id, ..subject.resend(vec![succeeded.id], kind) };
        subject.store().resend(nothing.clone()).await.expect("answers");
        assert_eq!(subject.store().call_by_id(project_id, nothing.call_id).await.expect("reads"), None);
    }
    assert_eq!(ids(&subject, CallKind::Resend, UP).await, [resend.call_id]);
    assert_eq!(ids(&subject, CallKind::Single, UP).await, []);
}

pub async fn calls_are_listed_by_age(subject: Subject) {
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(made(&subject).await.replay_id);
        subject.advance_ms(1);
    }
    let list = async |page| ids(&subject, CallKind::Single, page).await;
    assert_eq!(list(UP).await, all);
    assert_eq!(list(Page { limit: 2, from: Some(all[3]), ascending: false }).await, [all[3], all[2]]);
    assert_eq!(list(Page { limit: 2, from: Some(all[3]), ascending: true }).await, all[3..]);
}

pub async fn calls_are_kept_as_long_as_events(subject: Subject) {
    subject.store().write(vec![organisation("o"), project(PROJECT)], Vec::new()).await.expect("writes");
    let old = made(&subject).await;
    let again = subject.settled(Status::Failure).await;
    let resend = subject.resend(vec![again.id], ResendKind::Failed);
    subject.store().resend(resend.clone()).await.expect("resends");
    subject.advance_ms(10_000);
    let young = made(&subject).await;
    let cutoff = subject.now().minus(Duration::from_secs(5));
    subject.store().drop_before(cutoff, ALL).await.expect("drops");
    assert_eq!(ids(&subject, CallKind::Single, UP).await, [old.replay_id, young.replay_id], "its event is owed");
    for id in [old.targets[0].0, again.id] {
        let waiting = subject.shown(id).await.expect("waits");
        subject.record([subject.attempted(&waiting, Status::Success)]).await;
    }
    subject.store().drop_before(cutoff, ALL).await.expect("drops");
    assert_eq!(ids(&subject, CallKind::Single, UP).await, [young.replay_id]);
    assert_eq!(ids(&subject, CallKind::Resend, UP).await, []);
}
