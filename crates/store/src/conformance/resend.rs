//! `Requeue::resend`: settled deliveries once more, with their history.

use super::Subject;
use super::subject::{ENDPOINT, OTHER_PROJECT, PROJECT, START};
use crate::roles::{NewResend, Resend, ResendKind};
use dacapo_model::{Class, Delivery, Id, Status, Timestamp};
use std::time::Duration;

const AT: Timestamp = Timestamp::from_millis(START.millis() + 60_000);

async fn resend(subject: &Subject, project: Id, id: Id, kind: ResendKind) -> Resend {
    let resend = NewResend { project_id: project, at: AT, ..subject.resend(vec![id], kind) };
    let mut answers = subject.store().resend(resend).await.expect("resends");
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn scheduled(before: &Delivery) -> Delivery {
    let mut after = before.clone();
    after.status = Status::Scheduled;
    after.reason = None;
    after.manual = true;
    after.latency_us = 0;
    after.due_at = AT;
    after.updated_at = AT;
    after
}

pub async fn each_kind_takes_its_states_only(subject: Subject) {
    for kind in [ResendKind::Failed, ResendKind::Succeeded] {
        for status in [Status::Success, Status::Failure, Status::Discarded] {
            let settled = subject.settled(status).await;
            let allowed = (kind == ResendKind::Succeeded) == (status == Status::Success);
            let answer = resend(&subject, PROJECT, settled.id, kind).await;
            if allowed {
                assert_eq!(answer, Resend::Scheduled(scheduled(&settled)));
                assert_eq!(subject.shown(settled.id).await, Some(scheduled(&settled)));
                assert!(subject.due_ids().await.contains(&settled.id));
            } else {
                assert_eq!(answer, Resend::WrongState(settled.clone()));
                assert_eq!(subject.shown(settled.id).await, Some(settled.clone()));
                assert!(!subject.due_ids().await.contains(&settled.id));
            }
        }
        let fresh = subject.fresh().await;
        assert_eq!(resend(&subject, PROJECT, fresh.id, kind).await, Resend::WrongState(fresh));
        let retry = subject.attempted(&subject.fresh().await, Status::Retry);
        subject.record([retry.clone()]).await;
        assert_eq!(resend(&subject, PROJECT, retry.delivery.id, kind).await, Resend::WrongState(retry.delivery));
    }
}

pub async fn unknown_and_foreign_ids_are_unknown(subject: Subject) {
    let settled = subject.settled(Status::Failure).await;
    let fresh = subject.fresh().await;
    let retry = subject.attempted(&subject.fresh().await, Status::Retry);
    subject.record([retry.clone()]).await;
    for id in [settled.id, fresh.id, retry.delivery.id] {
        assert_eq!(resend(&subject, OTHER_PROJECT, id, ResendKind::Failed).await, Resend::Unknown);
        let guessed = Id::from_parts(id.order(), !id.tail());
        assert_eq!(resend(&subject, PROJECT, guessed, ResendKind::Failed).await, Resend::Unknown);
    }
    for id in [subject.mint(), settled.event_id, Id::MIN, Id::MAX] {
        assert_eq!(resend(&subject, PROJECT, id, ResendKind::Failed).await, Resend::Unknown);
    }
    assert_eq!(subject.shown(settled.id).await, Some(settled));
}

pub async fn answers_come_in_the_order_of_the_ids(subject: Subject) {
    let (failed, succeeded) = (subject.settled(Status::Failure).await, subject.settled(Status::Success).await);
    let ids = vec![subject.mint(), failed.id, succeeded.id, failed.id];
    let resend = NewResend { at: AT, ..subject.resend(ids, ResendKind::Failed) };
    let answers = subject.store().resend(resend).await.expect("resends");
    let again = scheduled(&failed);
    let expected =
        [Resend::Unknown, Resend::Scheduled(again.clone()), Resend::WrongState(succeeded), Resend::WrongState(again)];
    assert_eq!(answers, expected);
}

pub async fn history_survives_and_goes_on_counting(mut subject: Subject) {
    let mut now = subject.settled(Status::Failure).await;
    for attempts in 2..5u32 {
        resend(&subject, PROJECT, now.id, ResendKind::Failed).await;
        assert_eq!(subject.attempts(now.id).await.len(), attempts as usize - 1);
        let waiting = subject.due(ENDPOINT, Class::Retry).await;
        assert_eq!(waiting, [scheduled(&now)]);
        let report = subject.attempted(&waiting[0], Status::Failure);
        subject.record([report.clone()]).await;
        now = report.delivery;
        assert_eq!(now.attempts, attempts);
        subject.crash().await;
        let numbers: Vec<u32> = subject.attempts(now.id).await.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, (1..=attempts).collect::<Vec<_>>());
        assert_eq!(subject.shown(now.id).await, Some(now.clone()));
    }
}

pub async fn a_resend_survives_a_crash(mut subject: Subject) {
    let discarded = subject.settled(Status::Discarded).await;
    resend(&subject, PROJECT, discarded.id, ResendKind::Failed).await;
    subject.crash().await;
    assert_eq!(subject.due_ids().await, [discarded.id]);
    let store = subject.store();
    let early = AT.minus(Duration::from_micros(1));
    assert!(store.due(ENDPOINT, Class::Live, early, 9).await.expect("reads").is_empty());
    assert_eq!(store.due(ENDPOINT, Class::Live, AT, 9).await.expect("reads").len(), 1);
}
