//! `FanOuts`: what did not fit into an event's transaction becomes deliveries later, each once, whatever
//! crashes in between.

use super::Subject;
use super::subject::{
    ALL, DOWN, ENDPOINT, ENDPOINT_2, ENDPOINT_3, FOREVER, PROJECT, ROUTED_AT, UP, target, target_discarded,
};
use crate::roles::{Committed, DeliveryFilter, Dropped, EventFilter, NewEvent, Part};
use dacapo_model::delivery::Reason;
use dacapo_model::event::Target;
use dacapo_model::{Class, Event, Id, Status};
use std::sync::Arc;

/// In the event itself, and behind it.
const OWN: u32 = 2;
const LATER: u32 = 5;

fn ids_of(event: &Event, places: std::ops::Range<u32>) -> Vec<Id> {
    places.map(|place| event.id.child(place)).collect()
}

/// An event for [`ENDPOINT`], [`OWN`] times at once and [`LATER`] times later.
pub fn large(subject: &Subject) -> NewEvent {
    large_with(subject, vec![target(ENDPOINT); LATER as usize])
}

/// The same, for these later.
pub fn large_with(subject: &Subject, later: Vec<Target>) -> NewEvent {
    let own = OWN as usize;
    let mut event = subject.event_with([vec![target(ENDPOINT); own], later].concat());
    let later = event.targets.split_off(own);
    NewEvent { event: Arc::new(event), parked: Vec::new(), later }
}

pub async fn stored(subject: &Subject, item: NewEvent) -> Arc<Event> {
    let event = Arc::clone(&item.event);
    assert_eq!(subject.store().commit(vec![item], ROUTED_AT).await.expect("commits"), [Committed::Stored]);
    event
}

async fn next(subject: &Subject, most: usize) -> Option<Part> {
    subject.store().next_part(most).await.expect("reads")
}

async fn unfold(subject: &Subject, part: &Part) -> bool {
    subject.store().unfold(part).await.expect("writes")
}

pub async fn finish(subject: &Subject) -> usize {
    let mut parts = 0;
    while let Some(part) = next(subject, 2).await {
        assert!(unfold(subject, &part).await);
        parts += 1;
    }
    parts
}

/// What is due, without what memory may hold.
async fn due_later(subject: &Subject) -> Vec<Id> {
    let due = subject.due_ids().await;
    due[due.len().saturating_sub(LATER as usize)..].to_vec()
}

pub async fn every_target_becomes_a_delivery_once_over_any_crash(mut subject: Subject) {
    let event = stored(&subject, large(&subject)).await;
    let mut first = OWN;
    for expected in [2, 2, 1] {
        // What was read before a crash is read again.
        next(&subject, 2).await.expect("is owed");
        subject.crash().await;
        assert_eq!(subject.due_ids().await, ids_of(&event, 0..first), "nothing is there early");
        let part = next(&subject, 2).await.expect("is owed");
        assert_eq!((part.event.id, part.first, part.targets.len()), (event.id, first, expected));
        assert_eq!(part.event, event);
        assert!(unfold(&subject, &part).await);
        first += u32::try_from(expected).expect("few");
        subject.crash().await;
    }
    assert!(next(&subject, 2).await.is_none());
    assert_eq!(subject.due_ids().await, ids_of(&event, 0..OWN + LATER));
}

pub async fn a_part_is_written_once(subject: Subject) {
    let event = stored(&subject, large(&subject)).await;
    let part = next(&subject, 3).await.expect("is owed");
    assert!(unfold(&subject, &part).await);
    assert!(!unfold(&subject, &part).await, "it was there");
    let last = next(&subject, ALL).await.expect("is owed");
    assert!(unfold(&subject, &last).await);
    for before in [&part, &last] {
        assert!(!unfold(&subject, before).await, "all was there");
    }
    assert_eq!(due_later(&subject).await, ids_of(&event, OWN..OWN + LATER));
}

pub async fn unfinished_ones_are_listed_by_age_and_each_goes_on_alone(subject: Subject) {
    let items = [large(&subject), large(&subject), large(&subject)];
    let [first, second, third] = items.each_ref().map(|item| item.event.id);
    let stored = subject.store().commit(items.to_vec(), ROUTED_AT).await.expect("commits");
    assert_eq!(stored, [Committed::Stored; 3]);
    let unfinished = async |after, most| subject.store().unfinished(after, most).await.expect("reads");
    let part = async |event| subject.store().part(event, ALL).await.expect("reads");
    assert_eq!(unfinished(None, 9).await, [first, second, third]);
    assert_eq!(unfinished(None, 2).await, [first, second]);
    assert_eq!(unfinished(Some(first), 1).await, [second]);
    assert_eq!(unfinished(Some(third), 9).await, []);
    // Whose turn it is, is for the caller to say.
    let middle = part(second).await.expect("is owed");
    assert_eq!((middle.event.id, middle.first, middle.targets.len()), (second, OWN, LATER as usize));
    assert!(unfold(&subject, &middle).await);
    assert!(part(second).await.is_none(), "it is finished");
    assert_eq!(unfinished(None, 9).await, [first, third]);
    for event in [first, third] {
        let part = next(&subject, ALL).await.expect("is owed");
        assert_eq!(part.event.id, event, "the oldest");
        assert!(unfold(&subject, &part).await);
    }
    assert_eq!(unfinished(None, 9).await, []);
    assert!(next(&subject, ALL).await.is_none());
    let nobodys = subject.stored(&[ENDPOINT]).await;
    assert!(part(nobodys.id).await.is_none(), "it has no targets to come");
}

pub async fn they_are_as_they_would_have_been_born(mut subject: Subject) {
    let later = vec![target_discarded(ENDPOINT_2, Reason::EndpointPaused), target(ENDPOINT_3)];
    let event = stored(&subject, large_with(&subject, later)).await;
    subject.advance_ms(5_000);
    assert_eq!(finish(&subject).await, 1);
    for _ in 0..2 {
        let discarded = subject.shown(event.id.child(OWN)).await.expect("is kept");
        assert_eq!((discarded.status, discarded.reason), (Status::Discarded, Some(Reason::EndpointPaused)));
        let due = subject.due(ENDPOINT_3, Class::Live).await;
        assert_eq!(due.len(), 1);
        assert_eq!(
            (due[0].id, due[0].due_at, due[0].created_at),
            (event.id.child(3), event.created_at, event.created_at)
        );
        assert_eq!(due[0].policy, target(ENDPOINT_3).policy);
        subject.crash().await;
    }
    let waiting = subject.shown(event.id.child(3)).await.expect("waits");
    subject.record([subject.attempted(&waiting, Status::Success)]).await;
    assert_eq!(subject.shown(waiting.id).await.expect("is kept").status, Status::Success);
    assert_eq!(subject.due(ENDPOINT_3, Class::Live).await, []);
}

pub async fn a_duplicate_goes_to_nobody(subject: Subject) {
    let keyed = || {
        let item = large(&subject);
        NewEvent { event: Arc::new(Event { idempotency_key: "k".to_owned(), ..(*item.event).clone() }), ..item }
    };
    let (first, second) = (keyed(), keyed());
    let answers = subject.store().commit(vec![first.clone(), second], ROUTED_AT).await.expect("commits");
    assert_eq!(answers, [Committed::Stored, Committed::Duplicate { first: first.event.id }]);
    assert_eq!(finish(&subject).await, 3, "the first one's parts");
    assert_eq!(due_later(&subject).await, ids_of(&first.event, OWN..OWN + LATER));
}

pub async fn lists_find_them_by_all_ways(subject: Subject) {
    let later = vec![target(ENDPOINT), target(ENDPOINT_2), target(ENDPOINT_3)];
    let event = stored(&subject, large_with(&subject, later)).await;
    let younger = subject.stored(&[ENDPOINT_2]).await;
    let of = |endpoint| EventFilter { endpoints: vec![endpoint], ..EventFilter::default() };
    // Whom it reaches is known before it has.
    assert_eq!(subject.events(of(ENDPOINT_3), UP).await, [event.id]);
    finish(&subject).await;
    let all = ids_of(&event, 0..OWN + 3);
    for settled in [false, true] {
        if settled {
            for id in &all {
                let waiting = subject.shown(*id).await.expect("is there");
                subject.record([subject.attempted(&waiting, Status::Success)]).await;
            }
        }
        let everything: Vec<Id> = all.iter().copied().chain([younger.id.child(0)]).collect();
        assert_eq!(subject.deliveries(DeliveryFilter::default(), UP).await, everything);
        let down: Vec<Id> = everything.iter().rev().copied().collect();
        assert_eq!(subject.deliveries(DeliveryFilter::default(), DOWN).await, down);
        let of_event = DeliveryFilter { event: Some(event.id), ..DeliveryFilter::default() };
        assert_eq!(subject.deliveries(of_event, UP).await, all);
        let to = |endpoint| DeliveryFilter { endpoints: vec![endpoint], ..DeliveryFilter::default() };
        assert_eq!(subject.deliveries(to(ENDPOINT_3), UP).await, [event.id.child(OWN + 2)]);
        assert_eq!(subject.deliveries(to(ENDPOINT_2), UP).await, [event.id.child(OWN + 1), younger.id.child(0)]);
        assert_eq!(subject.events(of(ENDPOINT_3), UP).await, [event.id]);
        assert_eq!(subject.events(of(ENDPOINT_2), UP).await, [event.id, younger.id]);
        let both = EventFilter { endpoints: vec![ENDPOINT_3, Id::from_u128(9)], ..EventFilter::default() };
        assert_eq!(subject.events(both, UP).await, [event.id]);
    }
}

pub async fn what_is_not_written_yet_keeps_its_event(subject: Subject) {
    let event = stored(&subject, large(&subject)).await;
    let own = ids_of(&event, 0..OWN);
    for id in &own {
        let born = subject.shown(*id).await.expect("is there");
        subject.record([subject.attempted(&born, Status::Success)]).await;
    }
    subject.advance_ms(1);
    let drop_all = async || subject.store().drop_before(FOREVER, ALL).await.expect("drops");
    assert_eq!(drop_all().await, Dropped::default());
    finish(&subject).await;
    assert_eq!(drop_all().await, Dropped::default(), "now they are owed");
    for id in ids_of(&event, OWN..OWN + LATER) {
        let waiting = subject.shown(id).await.expect("waits");
        subject.record([subject.attempted(&waiting, Status::Success)]).await;
    }
    assert_eq!(drop_all().await.events, 1);
    assert_eq!(subject.deliveries(DeliveryFilter::default(), UP).await, []);
    assert!(subject.store().event(PROJECT, event.id).await.expect("reads").is_none());
}

pub async fn all_targets_of_an_event_can_be_named(subject: Subject) {
    let later = vec![target(ENDPOINT_2), target_discarded(ENDPOINT_3, Reason::EndpointPaused)];
    let event = stored(&subject, large_with(&subject, later.clone())).await;
    let small = subject.stored(&[ENDPOINT]).await;
    let named = async |project, event| subject.store().later_targets(project, event).await.expect("reads");
    for _ in 0..2 {
        assert_eq!(named(PROJECT, event.id).await, later);
        finish(&subject).await;
    }
    assert_eq!(named(PROJECT, small.id).await, []);
    assert_eq!(named(Id::from_u128(9), event.id).await, [], "another project's");
    assert_eq!(named(PROJECT, Id::from_u128(event.id.as_u128() ^ 1)).await, [], "an id like it");
}
