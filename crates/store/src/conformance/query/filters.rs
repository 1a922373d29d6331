//! Every condition by itself, and together: lists are compared with a walk over all rows in memory.

use crate::conformance::Subject;
use crate::conformance::subject::{
    ALL, DOWN, ENDPOINT, ENDPOINT_2, ENDPOINT_3, PROJECT, START, UP, born, target, target_discarded,
};
use crate::roles::{DeliveryFilter, EventFilter, NewReplay, Window};
use dacapo_model::delivery::Reason;
use dacapo_model::event::{Audience, ConnectFace, Related};
use dacapo_model::{Delivery, Event, Id, Status, Timestamp, Trigger};
use std::time::Duration;

const SOURCE: Id = Id::from_u128(0xC1);
const RELATED: Id = Id::from_u128(0xD1);

/// Events that differ in everything a filter looks at, one a millisecond.
async fn events(subject: &Subject) -> Vec<Event> {
    let mut all = Vec::new();
    for n in 0..24u32 {
        subject.advance_ms(1);
        let mut event = subject.event(match n % 4 {
            0 => &[ENDPOINT],
            1 => &[ENDPOINT_2, ENDPOINT],
            2 => &[ENDPOINT_2],
            _ => &[],
        });
        if n % 8 == 3 {
            event.audience = Audience::Endpoints(vec![ENDPOINT_3, ENDPOINT]);
        }
        event.event_type = ["a", "b", "c"][n as usize % 3].to_owned();
        event.source_id = n.is_multiple_of(5).then_some(SOURCE);
        event.idempotency_key = if n < 2 { "k".to_owned() } else { String::new() };
        event.connect = ConnectFace {
            livemode: !n.is_multiple_of(7),
            related: n.is_multiple_of(6).then(|| Related { to: RELATED, kind: "x".to_owned() }),
        };
        all.push(event);
    }
    subject.commit(all.clone()).await;
    // As it is stored: the second with a key is a duplicate.
    all[1].targets.clear();
    all
}

async fn expect_events(subject: &Subject, all: &[Event], filter: &EventFilter, fits: impl Fn(&Event) -> bool) {
    let expected: Vec<Id> = all.iter().filter(|event| fits(event)).map(|event| event.id).collect();
    assert_eq!(subject.events(filter.clone(), UP).await, expected, "{filter:?}");
    let reversed: Vec<Id> = expected.into_iter().rev().collect();
    assert_eq!(subject.events(filter.clone(), DOWN).await, reversed, "{filter:?}");
}

fn reaches(event: &Event, endpoints: &[Id]) -> bool {
    let addressed = match &event.audience {
        Audience::Endpoints(ids) => ids.iter().any(|id| endpoints.contains(id)),
        _ => false,
    };
    addressed || event.targets.iter().any(|target| endpoints.contains(&target.endpoint_id))
}

pub async fn events_filter_alone_and_combined(subject: Subject) {
    let all = events(&subject).await;
    let none = EventFilter::default;
    expect_events(&subject, &all, &none(), |_| true).await;
    for endpoints in [vec![ENDPOINT], vec![ENDPOINT_3], vec![ENDPOINT, ENDPOINT_2], vec![SOURCE]] {
        let filter = EventFilter { endpoints: endpoints.clone(), ..none() };
        expect_events(&subject, &all, &filter, |event| reaches(event, &endpoints)).await;
    }
    let filter = EventFilter { sources: vec![SOURCE, ENDPOINT], ..none() };
    expect_events(&subject, &all, &filter, |event| event.source_id == Some(SOURCE)).await;
    for types in [vec!["a".to_owned()], vec!["a".to_owned(), "c".to_owned()], vec!["A".to_owned()]] {
        let filter = EventFilter { event_types: types.clone(), ..none() };
        expect_events(&subject, &all, &filter, |event| types.contains(&event.event_type)).await;
    }
    let filter = EventFilter { idempotency_key: Some("k".to_owned()), ..none() };
    expect_events(&subject, &all, &filter, |event| event.idempotency_key == "k").await;
    for livemode in [true, false] {
        let filter = EventFilter { livemode: Some(livemode), ..none() };
        expect_events(&subject, &all, &filter, |event| event.connect.livemode == livemode).await;
    }
    let related = |event: &Event| event.connect.related.as_ref().is_some_and(|related| related.to == RELATED);
    expect_events(&subject, &all, &EventFilter { related_to: Some(RELATED), ..none() }, related).await;
    let combined = EventFilter {
        endpoints: vec![ENDPOINT, ENDPOINT_2],
        event_types: vec!["a".to_owned()],
        livemode: Some(true),
        related_to: Some(RELATED),
        window: Window { from: Some(START), to: Some(START.plus(Duration::from_millis(20))) },
        ..none()
    };
    let fits = |event: &Event| {
        reaches(event, &[ENDPOINT, ENDPOINT_2])
            && event.event_type == "a"
            && event.connect.livemode
            && related(event)
            && event.created_at <= START.plus(Duration::from_millis(20))
    };
    assert!(all.iter().any(fits));
    expect_events(&subject, &all, &combined, fits).await;
}

pub async fn events_of_an_endpoint_include_replays_to_it(subject: Subject) {
    let event = subject.stored(&[ENDPOINT]).await;
    let filter = EventFilter { endpoints: vec![ENDPOINT_3], ..Default::default() };
    assert_eq!(subject.events(filter.clone(), UP).await, []);
    let delivery = replay(&subject, event.id, ENDPOINT_3, None).await;
    assert_eq!(subject.events(filter.clone(), UP).await, [event.id]);
    subject.record([subject.attempted(&delivery, Status::Success)]).await;
    assert_eq!(subject.events(filter, UP).await, [event.id]);
}

async fn replay(subject: &Subject, event: Id, endpoint: Id, discarded: Option<Reason>) -> Delivery {
    let (id, replay_id) = (subject.mint(), subject.mint());
    let target = discarded.map_or(target(endpoint), |reason| target_discarded(endpoint, reason));
    let at = subject.now();
    let replay = NewReplay {
        project_id: PROJECT,
        event_id: event,
        replay_id,
        targets: vec![(id, target)],
        idempotency: None,
        at,
        call: None,
    };
    subject.store().replay(replay).await.expect("replays");
    subject.shown(id).await.expect("is there")
}

/// Deliveries in all states and places, as the store shows them, oldest first.
async fn deliveries(subject: &Subject) -> Vec<(Delivery, String)> {
    let mut all = Vec::new();
    for n in 0..30u32 {
        subject.advance_ms(1);
        let mut event = subject.event_with(vec![
            target(ENDPOINT),
            target(ENDPOINT_2),
            target_discarded(ENDPOINT_3, Reason::EndpointPaused),
        ]);
        event.event_type = ["a", "b"][n as usize % 2].to_owned();
        subject.stored_as(event.clone()).await;
        let (first, second) = (born(&event, 0), born(&event, 1));
        match n % 5 {
            0 => subject.record([subject.attempted(&first, Status::Success)]).await,
            1 => subject.record([subject.attempted(&first, Status::Retry)]).await,
            2 => subject.record([subject.attempted(&second, Status::Failure)]).await,
            3 => {
                let waiting = replay(subject, event.id, ENDPOINT_2, None).await;
                all.push((waiting, event.event_type.clone()));
                let settled = replay(subject, event.id, ENDPOINT, Some(Reason::Gone)).await;
                all.push((settled, event.event_type.clone()));
            }
            _ => {}
        }
        for index in 0..3 {
            let shown = subject.shown(event.id.child(index)).await.expect("is there");
            all.push((shown, event.event_type.clone()));
        }
    }
    all.sort_by_key(|(delivery, _)| delivery.id);
    all
}

async fn expect_deliveries(
    subject: &Subject,
    all: &[(Delivery, String)],
    filter: &DeliveryFilter,
    fits: impl Fn(&Delivery, &str) -> bool,
) {
    let expected: Vec<&Delivery> =
        all.iter().filter(|(delivery, kind)| fits(delivery, kind)).map(|(delivery, _)| delivery).collect();
    let found = subject.store().deliveries(PROJECT, filter.clone(), UP).await.expect("reads");
    let found: Vec<&Delivery> = found.iter().map(|view| &view.delivery).collect();
    assert_eq!(found, expected, "{filter:?}");
    let reversed: Vec<Id> = expected.iter().rev().map(|delivery| delivery.id).collect();
    assert_eq!(subject.deliveries(filter.clone(), DOWN).await, reversed, "{filter:?}");
}

pub async fn deliveries_filter_alone(subject: Subject) {
    let all = deliveries(&subject).await;
    let none = DeliveryFilter::default;
    expect_deliveries(&subject, &all, &none(), |_, _| true).await;
    for endpoints in [vec![ENDPOINT], vec![ENDPOINT_3], vec![ENDPOINT, ENDPOINT_2], vec![SOURCE]] {
        let filter = DeliveryFilter { endpoints: endpoints.clone(), ..none() };
        expect_deliveries(&subject, &all, &filter, |delivery, _| endpoints.contains(&delivery.endpoint_id)).await;
    }
    for (delivery, _) in all.iter().step_by(7) {
        let event = delivery.event_id;
        let filter = DeliveryFilter { event: Some(event), ..none() };
        expect_deliveries(&subject, &all, &filter, |delivery, _| delivery.event_id == event).await;
    }
    for status in Status::ALL {
        let filter = DeliveryFilter { statuses: vec![status], ..none() };
        expect_deliveries(&subject, &all, &filter, |delivery, _| delivery.status == status).await;
        let filter = DeliveryFilter { statuses: vec![status, Status::Failure], ..none() };
        let fits = |delivery: &Delivery, _: &str| delivery.status == status || delivery.status == Status::Failure;
        expect_deliveries(&subject, &all, &filter, fits).await;
    }
    let subscription = target(ENDPOINT_2).subscription_id;
    let filter = DeliveryFilter { subscription: Some(subscription), ..none() };
    expect_deliveries(&subject, &all, &filter, |delivery, _| delivery.subscription_id == subscription).await;
    let filter = DeliveryFilter { event_type: Some("b".to_owned()), ..none() };
    expect_deliveries(&subject, &all, &filter, |_, kind| kind == "b").await;
    for trigger in Trigger::ALL {
        let filter = DeliveryFilter { trigger: Some(trigger), ..none() };
        expect_deliveries(&subject, &all, &filter, |delivery, _| delivery.trigger == trigger).await;
    }
    for replay in all.iter().filter_map(|(delivery, _)| delivery.replay_id) {
        let filter = DeliveryFilter { replay: Some(replay), ..none() };
        expect_deliveries(&subject, &all, &filter, |delivery, _| delivery.replay_id == Some(replay)).await;
    }
}

pub async fn deliveries_filter_combined(subject: Subject) {
    let all = deliveries(&subject).await;
    let window =
        Window { from: Some(START.plus(Duration::from_millis(3))), to: Some(START.plus(Duration::from_millis(19))) };
    let event = all.iter().find(|(delivery, _)| delivery.replay_id.is_some()).map(|(delivery, _)| delivery.event_id);
    for (endpoints, status, trigger, event) in [
        (vec![ENDPOINT], Status::Scheduled, Trigger::Event, None),
        (vec![ENDPOINT, ENDPOINT_2], Status::Retry, Trigger::Event, None),
        (vec![ENDPOINT_2], Status::Scheduled, Trigger::Replay, event),
        (vec![ENDPOINT_3, ENDPOINT], Status::Discarded, Trigger::Event, event),
        (vec![ENDPOINT_2, ENDPOINT], Status::Scheduled, Trigger::Event, event),
    ] {
        let fits = |delivery: &Delivery, kind: &str| {
            endpoints.contains(&delivery.endpoint_id)
                && delivery.status == status
                && delivery.trigger == trigger
                && event.is_none_or(|event| delivery.event_id == event)
                && kind == "b"
                && (3..=19).contains(&(delivery.id.time().millis() - START.millis()))
        };
        let filter = DeliveryFilter {
            endpoints: endpoints.clone(),
            statuses: vec![status],
            trigger: Some(trigger),
            event,
            event_type: Some("b".to_owned()),
            window,
            ..Default::default()
        };
        assert!(all.iter().any(|(delivery, kind)| fits(delivery, kind)), "{filter:?} finds something");
        expect_deliveries(&subject, &all, &filter, fits).await;
    }
}

pub async fn filters_of_more_values_than_a_statement_takes(subject: Subject) {
    let all = deliveries(&subject).await;
    let mut many: Vec<Id> = (0..40_000).map(|n| Id::from_u128(0xFFFF_0000 + n)).collect();
    many.push(ENDPOINT_2);
    let filter = DeliveryFilter { endpoints: many.clone(), ..Default::default() };
    expect_deliveries(&subject, &all, &filter, |delivery, _| delivery.endpoint_id == ENDPOINT_2).await;
    let names: Vec<String> = many.iter().map(Id::to_string).chain(["a".to_owned()]).collect();
    let filter = EventFilter { endpoints: many.clone(), event_types: names, ..Default::default() };
    assert_eq!(subject.events(filter, UP).await.len(), 15);
    let filter = EventFilter { sources: many, ..Default::default() };
    assert_eq!(subject.events(filter, UP).await, []);
}

pub async fn windows_are_inclusive_to_the_millisecond(subject: Subject) {
    let mut made = Vec::new();
    for _ in 0..6 {
        made.push(subject.fresh().await);
        subject.clock.advance(Duration::from_micros(500));
    }
    // Two a millisecond, at 0, 0.5, 1, 1.5, …
    let at = |micros| Some(START.plus(Duration::from_micros(micros)));
    for (window, expected) in [
        (Window { from: at(1_000), to: at(1_000) }, 2..4),
        (Window { from: at(1_900), to: None }, 2..6),
        (Window { from: None, to: at(1_000) }, 0..4),
        (Window { from: at(2_000), to: at(1_000) }, 0..0),
        (Window { from: None, to: Some(START.minus(Duration::from_millis(1))) }, 0..0),
    ] {
        let ids: Vec<Id> = made[expected.clone()].iter().map(|delivery| delivery.id).collect();
        let filter = DeliveryFilter { window, ..Default::default() };
        assert_eq!(subject.deliveries(filter, UP).await, ids, "{window:?}");
        let events: Vec<Id> = made[expected].iter().map(|delivery| delivery.event_id).collect();
        assert_eq!(subject.events(EventFilter { window, ..Default::default() }, UP).await, events, "{window:?}");
    }
}

pub async fn windows_beyond_all_ids(subject: Subject) {
    let made = subject.fresh().await;
    let (never, ever) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
    for (from, to, expected) in [
        (Some(never), Some(ever), vec![made.id]),
        (Some(ever), None, vec![]),
        (None, Some(never), vec![]),
        (Some(Timestamp::from_millis(-1)), None, vec![made.id]),
    ] {
        let window = Window { from, to };
        assert_eq!(subject.deliveries(DeliveryFilter { window, ..Default::default() }, UP).await, expected);
        assert_eq!(subject.events(EventFilter { window, ..Default::default() }, DOWN).await.len(), expected.len());
    }
    let page = crate::roles::Page { from: Some(Id::MAX), limit: ALL, ascending: false };
    assert_eq!(subject.deliveries(DeliveryFilter::default(), page).await, [made.id]);
}
