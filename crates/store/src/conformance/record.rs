//! `Record`: attempts are history, and saying a thing twice changes nothing.

use super::Subject;
use super::subject::{ENDPOINT, born, discard};
use crate::roles::{Report, ResendKind};
use dacapo_model::{Class, Status};

/// Asserts that the store shows exactly this of a delivery.
async fn expect(subject: &Subject, report: &Report, attempts: usize) {
    let id = report.delivery.id;
    assert_eq!(subject.shown(id).await.as_ref(), Some(&report.delivery));
    let found = subject.attempts(id).await;
    assert_eq!(found.len(), attempts);
    assert_eq!(found.last(), report.attempt.as_ref());
}

pub async fn a_success_settles(mut subject: Subject) {
    let report = subject.attempted(&subject.fresh().await, Status::Success);
    subject.record([report.clone()]).await;
    for _ in 0..2 {
        expect(&subject, &report, 1).await;
        assert_eq!(subject.due_ids().await, []);
        subject.crash().await;
    }
}

pub async fn a_retry_waits_until_it_is_due(subject: Subject) {
    let first = subject.attempted(&subject.fresh().await, Status::Retry);
    subject.record([first.clone()]).await;
    expect(&subject, &first, 1).await;
    assert_eq!(subject.due(ENDPOINT, Class::Retry).await, std::slice::from_ref(&first.delivery));
    subject.advance_ms(10_000);
    let second = subject.attempted(&first.delivery, Status::Retry);
    subject.record([second.clone()]).await;
    expect(&subject, &second, 2).await;
    assert_eq!(subject.due(ENDPOINT, Class::Retry).await, std::slice::from_ref(&second.delivery));
    let last = subject.attempted(&second.delivery, Status::Failure);
    subject.record([last.clone()]).await;
    expect(&subject, &last, 3).await;
    assert_eq!(subject.due_ids().await, []);
}

pub async fn a_retry_of_a_fresh_delivery_survives_a_crash_as_it_is(mut subject: Subject) {
    let report = subject.attempted(&subject.fresh().await, Status::Retry);
    subject.record([report.clone()]).await;
    subject.crash().await;
    expect(&subject, &report, 1).await;
    assert_eq!(subject.due_ids().await, [report.delivery.id]);
    assert_eq!(subject.due(ENDPOINT, Class::Retry).await, [report.delivery]);
}

pub async fn recording_twice_changes_nothing(subject: Subject) {
    for status in [Status::Success, Status::Failure, Status::Retry] {
        let report = subject.attempted(&subject.fresh().await, status);
        for _ in 0..3 {
            subject.record([report.clone()]).await;
            expect(&subject, &report, 1).await;
        }
        subject.record([report.clone(), report.clone()]).await;
        expect(&subject, &report, 1).await;
        let waits = subject.due_ids().await.contains(&report.delivery.id);
        assert_eq!(waits, status == Status::Retry);
    }
    let twice = subject.attempted(&subject.fresh().await, Status::Success);
    subject.record([twice.clone(), twice.clone()]).await;
    expect(&subject, &twice, 1).await;
}

pub async fn two_reports_of_one_delivery_in_one_batch(mut subject: Subject) {
    for last in [Status::Success, Status::Retry] {
        let first = subject.attempted(&subject.fresh().await, Status::Retry);
        let second = subject.attempted(&first.delivery, last);
        subject.record([first, second.clone()]).await;
        expect(&subject, &second, 2).await;
        assert_eq!(subject.due_ids().await.contains(&second.delivery.id), last == Status::Retry);
    }
    subject.crash().await;
    assert_eq!(subject.due_ids().await.len(), 1);
}

pub async fn a_report_about_a_settled_delivery_keeps_its_attempt_only(subject: Subject) {
    let settled = subject.settled(Status::Success).await;
    for status in [Status::Failure, Status::Retry, Status::Success] {
        subject.record([subject.attempted(&settled, status)]).await;
        assert_eq!(subject.shown(settled.id).await, Some(settled.clone()));
        assert_eq!(subject.attempts(settled.id).await.len(), 2, "the second attempt is kept, once");
        assert_eq!(subject.due_ids().await, []);
    }
    subject.record([discard(&settled)]).await;
    assert_eq!(subject.shown(settled.id).await, Some(settled));
}

pub async fn a_late_report_does_not_undo_a_resend(subject: Subject) {
    for status in [Status::Success, Status::Retry] {
        let first = subject.attempted(&subject.fresh().await, status);
        let last =
            if status == Status::Retry { subject.attempted(&first.delivery, Status::Failure) } else { first.clone() };
        subject.record([first.clone()]).await;
        subject.record([last.clone()]).await;
        let kind = if status == Status::Success { ResendKind::Succeeded } else { ResendKind::Failed };
        let id = last.delivery.id;
        subject.store().resend(subject.resend(vec![id], kind)).await.expect("resends");
        let waiting = subject.shown(id).await;
        subject.record([first, last.clone()]).await;
        assert_eq!(subject.shown(id).await, waiting);
        assert!(subject.due_ids().await.contains(&id), "it is still to be sent again");
        assert_eq!(subject.attempts(id).await.len(), last.delivery.attempts as usize);
    }
}

pub async fn a_late_retry_does_not_undo_a_resend(subject: Subject) {
    let retried = subject.attempted(&subject.fresh().await, Status::Retry);
    let id = retried.delivery.id;
    subject.record([retried.clone()]).await;
    // Given up without a further attempt: its number does not tell the resend from what was before.
    subject.record([discard(&retried.delivery)]).await;
    subject.store().resend(subject.resend(vec![id], ResendKind::Failed)).await.expect("resends");
    let waiting = subject.shown(id).await;
    assert!(waiting.as_ref().is_some_and(|delivery| delivery.manual && delivery.status == Status::Scheduled));
    subject.record([retried]).await;
    assert_eq!(subject.shown(id).await, waiting);
    assert_eq!(subject.attempts(id).await.len(), 1);
}

pub async fn given_up_without_an_attempt(subject: Subject) {
    let fresh = discard(&subject.fresh().await);
    let retried = subject.attempted(&subject.fresh().await, Status::Retry);
    subject.record([retried.clone()]).await;
    let waiting = discard(&retried.delivery);
    subject.record([fresh.clone(), waiting.clone()]).await;
    assert_eq!(subject.shown(fresh.delivery.id).await, Some(fresh.delivery.clone()));
    assert_eq!(subject.shown(waiting.delivery.id).await, Some(waiting.delivery.clone()));
    assert_eq!(subject.attempts(fresh.delivery.id).await, []);
    assert_eq!(subject.attempts(waiting.delivery.id).await.len(), 1);
    assert_eq!(subject.due_ids().await, []);
}

pub async fn a_report_about_nothing_makes_nothing(subject: Subject) {
    let never_stored = born(&subject.event(&[ENDPOINT]), 0);
    for status in [Status::Retry, Status::Success] {
        subject.record([subject.attempted(&never_stored, status)]).await;
        assert_eq!(subject.shown(never_stored.id).await, None);
        assert_eq!(subject.attempts(never_stored.id).await, []);
        assert_eq!(subject.store().backlog().await.expect("reads"), []);
    }
}
