//! `Scan`: every event a selector means, once, whatever way leads to it and however small the pages are.

use super::Subject;
use super::subject::{
    ALL, ENDPOINT, ENDPOINT_2, ENDPOINT_3, OTHER_PROJECT, PROJECT, UP, born, target, target_discarded,
};
use crate::roles::{DeliveryFilter, EventFilter, Load, NewReplay, PAGE_BYTES_MAX, Place, ScanItem, ScanRequest, Slice};
use bytes::Bytes;
use dacapo_model::delivery::Reason;
use dacapo_model::event::Audience;
use dacapo_model::selector::Pair;
use dacapo_model::{Delivery, Event, Frozen, Id, Status};
use serde_json::{Value, json};
use std::sync::Arc;

const SOURCE: Id = Id::from_u128(0xC1);
const NOBODY: Id = Id::from_u128(0xB9);

fn frozen(high_water: Id, selector: &Value) -> Arc<Frozen> {
    let mut parts = json!({"mode": "all", "first": Id::MIN, "last": high_water, "high_water": high_water});
    for (field, value) in selector.as_object().expect("fields") {
        parts[field] = value.clone();
    }
    Arc::new(serde_json::from_value(parts).expect("the parts of a selector"))
}

fn request(selector: &Arc<Frozen>) -> ScanRequest {
    ScanRequest {
        project: PROJECT,
        selector: Arc::clone(selector),
        ascending: true,
        after: None,
        upto: None,
        rows_max: ALL,
        items_max: ALL,
        deliveries_max: ALL,
        load: Load::default(),
    }
}

/// From page to page until the end.
async fn walk(subject: &Subject, mut request: ScanRequest) -> Vec<ScanItem> {
    let mut found = Vec::new();
    loop {
        let page = subject.store().scan(request.clone()).await.expect("reads");
        assert!(page.items.len() <= request.items_max);
        found.extend(page.items);
        let Some(next) = page.next else { return found };
        let goes_on = request.after.is_none_or(|after| goes_on(after, next, request.ascending));
        assert!(goes_on, "stands still at {next:?}");
        request.after = Some(next);
    }
}

fn goes_on(after: Place, next: Place, ascending: bool) -> bool {
    let endpoint = |place| match place {
        Place::Behind(_) => Id::MAX,
        Place::Within { endpoint, .. } => endpoint,
    };
    match (after.event().order() == next.event().order(), ascending) {
        (true, _) => endpoint(next) > endpoint(after),
        (false, true) => next.event() > after.event(),
        (false, false) => next.event() < after.event(),
    }
}

/// Each event once, whatever slices it came in.
fn ids(items: &[ScanItem]) -> Vec<Id> {
    let mut ids: Vec<Id> = items.iter().map(|item| item.event.id).collect();
    ids.dedup();
    ids
}

/// Whom each event is meant for, by id of the endpoint.
fn meant(items: &[ScanItem], selector: &Frozen, matching: &[Id]) -> Vec<(Id, Pair)> {
    let mut meant: Vec<(Id, Pair)> = items
        .iter()
        .flat_map(|item| item.pairs(selector, || matching.to_vec()).into_iter().map(|pair| (item.event.id, pair)))
        .collect();
    meant.sort_by_key(|(event, pair)| (*event, pair.endpoint_id));
    meant
}

async fn replay(subject: &Subject, event: Id, endpoint: Id) -> Delivery {
    replay_as(subject, subject.mint(), event, endpoint).await
}

async fn replay_as(subject: &Subject, replay_id: Id, event: Id, endpoint: Id) -> Delivery {
    let id = subject.mint();
    let at = subject.now();
    let targets = vec![(id, target(endpoint))];
    let replay =
        NewReplay { project_id: PROJECT, event_id: event, replay_id, targets, idempotency: None, at, call: None };
    subject.store().replay(replay).await.expect("replays");
    subject.shown(id).await.expect("is there")
}

/// Events that differ in everything a selector looks at, with deliveries in all states and places; some
/// within one millisecond. Gives a replay's id too.
async fn history(subject: &Subject) -> (Vec<Event>, Id) {
    let (mut all, mut replay_id) = (Vec::new(), None);
    for n in 0..40u32 {
        subject.advance_ms(u64::from(n % 3));
        let mut event = subject.event_with(match n % 4 {
            0 => vec![target(ENDPOINT)],
            1 => vec![target(ENDPOINT_2), target(ENDPOINT), target(ENDPOINT)],
            2 => vec![target(ENDPOINT_2), target_discarded(ENDPOINT_3, Reason::EndpointPaused)],
            _ => Vec::new(),
        });
        if n % 8 == 3 {
            event.audience = Audience::Endpoints(vec![ENDPOINT_3, ENDPOINT]);
        }
        event.event_type = ["order.paid", "order.late", "refund"][n as usize % 3].to_owned();
        event.source_id = n.is_multiple_of(5).then_some(SOURCE);
        event.data = Bytes::from(format!(r#"{{"n":{n}}}"#));
        if n == 7 {
            event.idempotency_key = "k".to_owned();
        }
        subject.stored_as(event.clone()).await;
        if n.is_multiple_of(6) {
            // Another project's lie between.
            let foreign = Event { project_id: OTHER_PROJECT, ..subject.event(&[ENDPOINT]) };
            subject.commit([foreign]).await;
        }
        for index in 0..u32::try_from(event.targets.len()).expect("few") {
            let delivery = born(&event, index);
            if delivery.status == Status::Discarded {
                continue;
            }
            let status = match (n + index) % 5 {
                0 => Status::Success,
                1 => Status::Failure,
                2 => Status::Retry,
                3 => Status::Discarded,
                _ => continue,
            };
            let mut report = subject.attempted(&delivery, status);
            if n % 9 == 1 {
                report.delivery.last_status = Some(404);
            }
            subject.record([report]).await;
        }
        all.push(event);
    }
    // Replays of some, long after; of an event nobody had matched too.
    for (at, endpoint, outcome) in [
        (2, ENDPOINT_3, Some(Status::Failure)),
        (3, ENDPOINT, None),
        (4, ENDPOINT, Some(Status::Success)),
        (11, ENDPOINT, Some(Status::Failure)),
        (11, ENDPOINT_2, Some(Status::Failure)),
        (20, ENDPOINT_2, Some(Status::Retry)),
    ] {
        subject.advance_ms(50);
        let made = replay(subject, all[at].id, endpoint).await;
        if let Some(status) = outcome {
            subject.record([subject.attempted(&made, status)]).await;
        }
        replay_id = made.replay_id;
    }
    // As they are stored: a replay that found somebody advances its event.
    let shown = subject.store().events(PROJECT, EventFilter::default(), UP).await.expect("reads");
    (shown.iter().map(|event| (**event).clone()).collect(), replay_id.expect("was made"))
}

async fn deliveries_of(subject: &Subject, event: Id) -> Vec<Delivery> {
    let of_event = DeliveryFilter { event: Some(event), ..Default::default() };
    let found = subject.store().deliveries(PROJECT, of_event, UP).await.expect("reads");
    found.into_iter().map(|view| view.delivery).collect()
}

fn selectors(all: &[Event], replay_id: Id) -> Vec<Value> {
    let at = |n: usize| all[n].id;
    vec![
        json!({}),
        json!({"first": at(8), "last": at(30)}),
        json!({"first": at(30), "last": at(8)}),
        json!({"event_types": ["order.*"]}),
        json!({"event_types": ["refund", "order.l*"]}),
        json!({"event_types": ["order."]}),
        json!({"sources": [SOURCE, NOBODY]}),
        json!({"event_ids": [at(2), at(9), at(33), Id::MAX]}),
        json!({"mode": "failed", "event_ids": (0..40).map(at).collect::<Vec<_>>()}),
        json!({"idempotency_key": "k"}),
        json!({"event_status": ["Failure"]}),
        json!({"event_status": ["Success"], "event_types": ["refund"]}),
        json!({"endpoints": [ENDPOINT]}),
        json!({"endpoints": [ENDPOINT_3, NOBODY]}),
        json!({"mode": "missing"}),
        json!({"mode": "missing", "endpoints": [ENDPOINT_3]}),
        json!({"mode": "failed"}),
        json!({"mode": "failed", "first": at(8), "last": at(30)}),
        json!({"mode": "failed", "endpoints": [ENDPOINT]}),
        json!({"mode": "failed", "endpoints": [ENDPOINT], "first": at(8), "last": at(30)}),
        json!({"mode": "failed", "endpoints": [ENDPOINT, ENDPOINT_2, ENDPOINT_3], "event_types": ["order.*"]}),
        json!({"mode": "failed", "endpoints": [NOBODY]}),
        json!({"mode": "failed", "http_status": ["404"]}),
        json!({"mode": "discarded"}),
        json!({"mode": "discarded", "endpoints": [ENDPOINT_3]}),
        json!({"mode": "failed", "replay_id": replay_id}),
        json!({"replay_id": replay_id}),
        json!({"replay_id": replay_id, "endpoints": [ENDPOINT_2]}),
        json!({"delivery_status": ["Success", "Retry"], "endpoints": [ENDPOINT_2]}),
        json!({"delivery_status": ["Scheduled"]}),
        json!({"delivery_status": ["Scheduled"], "endpoints": [ENDPOINT]}),
        json!({"delivery_status": ["Retry"]}),
        json!({"attempts_min": 1, "endpoints": [ENDPOINT]}),
        json!({"http_status": ["5xx"], "attempts_min": 1}),
        json!({"filter": {"body": {"n": {"$gte": 20}}}}),
        json!({"mode": "failed", "endpoints": [ENDPOINT], "filter": {"body": {"n": {"$lt": 20}}}}),
    ]
}

pub async fn a_walk_meets_every_event_that_is_meant_once(subject: Subject) {
    let (all, replay_id) = history(&subject).await;
    let mut deliveries = Vec::new();
    for event in &all {
        deliveries.push(deliveries_of(&subject, event.id).await);
    }
    let high_water = subject.mint();
    for selector in selectors(&all, replay_id) {
        let frozen = frozen(high_water, &selector);
        let is_meant = |(event, deliveries): &(&Event, &Vec<Delivery>)| {
            frozen.admits(event)
                && frozen.reaches(event, deliveries)
                && (frozen.needs_routing() || !frozen.pairs(event, deliveries, Vec::new).is_empty())
        };
        let expected: Vec<Id> = all.iter().zip(&deliveries).filter(is_meant).map(|(event, _)| event.id).collect();
        for (rows_max, items_max) in [(ALL, ALL), (ALL, 1), (1, ALL), (7, 3), (100, 5)] {
            let up = ScanRequest { rows_max, items_max, ..request(&frozen) };
            assert_eq!(ids(&walk(&subject, up.clone()).await), expected, "{selector} by {rows_max} and {items_max}");
            let down = ids(&walk(&subject, ScanRequest { ascending: false, ..up }).await);
            let reversed: Vec<Id> = expected.iter().rev().copied().collect();
            assert_eq!(down, reversed, "{selector} downward by {rows_max} and {items_max}");
        }
    }
}

/// However few deliveries a page takes: each endpoint of each event is decided once, from all it got.
pub async fn an_event_in_slices_means_what_it_means_whole(subject: Subject) {
    let (mut all, replay_id) = history(&subject).await;
    // One with later targets too, and replays of it to some.
    let many = (0..6).map(|n| target([ENDPOINT_3, ENDPOINT, ENDPOINT_2][n % 3])).collect();
    let large = super::fan_out::large_with(&subject, many);
    let event = super::fan_out::stored(&subject, large).await;
    super::fan_out::finish(&subject).await;
    for (endpoint, status) in [(ENDPOINT_2, Status::Failure), (ENDPOINT_2, Status::Success), (NOBODY, Status::Failure)]
    {
        let made = replay(&subject, event.id, endpoint).await;
        subject.record([subject.attempted(&made, status)]).await;
    }
    replay(&subject, event.id, ENDPOINT_3).await;
    all.push(Arc::unwrap_or_clone(event));
    let matching = [NOBODY, ENDPOINT_2, ENDPOINT];
    let high_water = subject.mint();
    for selector in selectors(&all, replay_id) {
        let frozen = frozen(high_water, &selector);
        let whole_request = ScanRequest { load: Load { deliveries: true, content: false }, ..request(&frozen) };
        let whole = walk(&subject, whole_request.clone()).await;
        assert!(whole.iter().all(|item| item.slice == Slice::default()));
        for (deliveries_max, ascending) in [(1, true), (3, true), (2, false)] {
            let sliced = walk(&subject, ScanRequest { deliveries_max, ascending, ..whole_request.clone() }).await;
            let said = format!("{selector} by {deliveries_max}");
            assert_eq!(meant(&sliced, &frozen, &matching), meant(&whole, &frozen, &matching), "{said}");
            for item in &sliced {
                assert!(
                    item.deliveries.iter().all(|one| item.slice.holds(one.endpoint_id)),
                    "{said}: beyond its slice"
                );
                // No more than asked for, but that those to one endpoint are never parted.
                let last = item.deliveries.iter().map(|one| one.endpoint_id).max();
                let before = item.deliveries.iter().filter(|one| Some(one.endpoint_id) < last).count();
                assert!(before < deliveries_max, "{said}: {} deliveries", item.deliveries.len());
            }
            let is_cut = sliced.iter().any(|item| item.slice != Slice::default());
            assert!(is_cut || selector != json!({}), "{said}: nothing was cut");
        }
    }
}

/// A page that begins within an event counts other deliveries than it gives.
pub async fn a_walk_goes_on_within_an_event(subject: Subject) {
    let endpoints = [ENDPOINT, ENDPOINT_2, ENDPOINT_3];
    for _ in 0..9 {
        let event = subject.stored(&endpoints).await;
        for endpoint in endpoints {
            let made = replay(&subject, event.id, endpoint).await;
            subject.record([subject.attempted(&made, Status::Failure)]).await;
        }
    }
    let high_water = subject.mint();
    for selector in [json!({}), json!({"mode": "failed"}), json!({"endpoints": endpoints})] {
        let frozen = frozen(high_water, &selector);
        let load = Load { deliveries: true, content: false };
        let forward = ScanRequest { load, ..request(&frozen) };
        let whole = meant(&walk(&subject, forward.clone()).await, &frozen, &endpoints);
        assert_eq!(whole.len(), 9 * endpoints.len(), "{selector}");
        for deliveries_max in 5..=14 {
            for (index, (event, pair)) in whole.iter().enumerate() {
                let after = Some(Place::Within { event: *event, endpoint: pair.endpoint_id });
                let rest = walk(&subject, ScanRequest { after, deliveries_max, ..forward.clone() }).await;
                let said = format!("{selector} from {index} by {deliveries_max}");
                assert_eq!(meant(&rest, &frozen, &endpoints), whole[index + 1..], "{said}");
            }
        }
    }
}

/// Also behind an id that is no event's, as a run stands when it has taken nothing of an event yet.
pub async fn a_walk_goes_on_behind_any_id(subject: Subject) {
    let (all, replay_id) = history(&subject).await;
    let high_water = subject.mint();
    for selector in selectors(&all, replay_id) {
        let frozen = frozen(high_water, &selector);
        for (ascending, before) in [(true, -1i128), (false, 1)] {
            let forward = ScanRequest { ascending, ..request(&frozen) };
            let whole = ids(&walk(&subject, forward.clone()).await);
            for (index, event) in whole.iter().enumerate() {
                for (behind, rest) in [
                    (Id::from_u128(event.as_u128().wrapping_add_signed(before)), &whole[index..]),
                    (*event, &whole[index + 1..]),
                ] {
                    let behind = ScanRequest { after: Some(Place::Behind(behind)), ..forward.clone() };
                    assert_eq!(ids(&walk(&subject, behind).await), rest, "{selector}");
                }
            }
        }
    }
}

/// Wherever a walk is cut: its parts together are the walk, in either direction.
pub async fn a_walk_in_segments_is_the_walk(subject: Subject) {
    let (mut all, replay_id) = history(&subject).await;
    let event = super::fan_out::stored(&subject, super::fan_out::large(&subject)).await;
    super::fan_out::finish(&subject).await;
    subject.advance_ms(1);
    all.push(Arc::unwrap_or_clone(event));
    let high_water = subject.mint();
    for selector in selectors(&all, replay_id) {
        let frozen = frozen(high_water, &selector);
        for (rows, ascending) in [(1, true), (3, true), (7, false), (16, true)] {
            // Small enough for slices.
            let load = Load { deliveries: true, content: false };
            let one = ScanRequest { ascending, deliveries_max: 2, load, ..request(&frozen) };
            let (whole, rows_of_whole) = walk_counted(&subject, one.clone()).await;
            let (mut parts, mut rows_of_parts, mut segments, mut after) = (Vec::new(), 0, 0, None);
            loop {
                let part = ScanRequest { after, ..one.clone() };
                let upto = subject.store().cut(part.clone(), rows).await.expect("reads");
                let (items, looked) = walk_counted(&subject, ScanRequest { upto, ..part }).await;
                // One in slices is looked at again for each.
                assert!(upto.is_none() || looked >= rows as u64, "{selector}: {looked} rows");
                (segments, rows_of_parts) = (segments + 1, rows_of_parts + looked);
                parts.extend(items);
                after = upto.map(Place::Behind);
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(parts, whole, "{selector} by {rows}");
            let is_along_project = frozen.needs_routing() && frozen.parts().event_ids.is_empty();
            let is_empty = frozen.parts().first > frozen.parts().last;
            if is_along_project && !is_empty {
                assert_eq!(rows_of_parts, rows_of_whole, "{selector} by {rows}");
                assert!(segments > 1, "{selector} by {rows}: it was not cut");
            }
        }
    }
}

async fn walk_counted(subject: &Subject, mut request: ScanRequest) -> (Vec<ScanItem>, u64) {
    let (mut found, mut rows) = (Vec::new(), 0);
    loop {
        let page = subject.store().scan(request.clone()).await.expect("reads");
        found.extend(page.items);
        rows += page.rows;
        request.after = page.next;
        if request.after.is_none() {
            return (found, rows);
        }
    }
}

pub async fn an_item_has_all_that_was_asked_for(subject: Subject) {
    let (all, _) = history(&subject).await;
    let everything = frozen(subject.mint(), &json!({}));
    let full = walk(&subject, ScanRequest { load: Load::ALL, ..request(&everything) }).await;
    assert_eq!(full.len(), all.len());
    for (item, event) in full.iter().zip(&all) {
        assert_eq!(*item.event, *event);
        assert_eq!(item.data_bytes, event.data.len());
        assert_eq!(item.deliveries, deliveries_of(&subject, event.id).await);
    }
    let lean = walk(&subject, request(&everything)).await;
    assert_eq!(ids(&lean), ids(&full));
    for (item, event) in lean.iter().zip(&all) {
        assert_eq!(item.data_bytes, event.data.len());
        assert_eq!(item.event.event_type, event.event_type);
    }
    let by_body = frozen(subject.mint(), &json!({"filter": {"body": {"n": 5}}}));
    let found = walk(&subject, request(&by_body)).await;
    assert_eq!(found.len(), 1, "the selector reads the payload also when the caller does not");
}

pub async fn a_page_looks_at_so_many_rows(subject: Subject) {
    const EVENTS: u64 = 2_000;
    let events: Vec<Event> = (0..EVENTS)
        .map(|n| {
            if n % 10 == 0 {
                subject.advance_ms(30);
            }
            subject.event(&[ENDPOINT])
        })
        .collect();
    subject.commit(events.clone()).await;
    for chunk in events.chunks(500) {
        subject.record(chunk.iter().map(|event| subject.attempted(&born(event, 0), Status::Success))).await;
    }
    let none = json!({"delivery_status": ["Success"], "attempts_min": 9, "endpoints": [ENDPOINT]});
    for selector in [json!({"event_types": ["other"]}), none] {
        let frozen = frozen(subject.mint(), &selector);
        let mut request = ScanRequest { rows_max: 500, ..request(&frozen) };
        let (mut pages, mut rows) = (0, 0);
        loop {
            let page = subject.store().scan(request.clone()).await.expect("reads");
            assert!(page.items.is_empty());
            assert!(page.rows <= 1_100, "{selector}: {} rows", page.rows);
            (pages, rows) = (pages + 1, rows + page.rows);
            request.after = page.next;
            if request.after.is_none() {
                break;
            }
        }
        assert!(pages >= 3, "{selector}: {pages} pages");
        assert!((EVENTS..EVENTS * 3).contains(&rows), "{selector}: {rows} rows");
    }
}

/// A few failures among much that was delivered: who asks for those looks at those.
pub async fn what_failed_is_found_without_looking_at_the_rest(subject: Subject) {
    const EVENTS: usize = 400;
    let events: Vec<Event> = (0..EVENTS).map(|_| subject.event(&[ENDPOINT, ENDPOINT_2])).collect();
    subject.commit(events.clone()).await;
    let mut failed = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let status = if n % 100 == 50 { Status::Failure } else { Status::Success };
        let reports = [subject.attempted(&born(event, 0), Status::Success), subject.attempted(&born(event, 1), status)];
        subject.record(reports).await;
        failed.extend((status == Status::Failure).then_some(event.id));
    }
    for selector in [
        json!({"mode": "failed"}),
        json!({"mode": "failed", "endpoints": [ENDPOINT_2]}),
        json!({"delivery_status": ["Failure", "Discarded"]}),
    ] {
        let frozen = frozen(subject.mint(), &selector);
        let page = subject.store().scan(request(&frozen)).await.expect("reads");
        assert_eq!((ids(&page.items), page.next), (failed.clone(), None), "{selector}");
        assert!(page.rows <= failed.len() as u64, "{selector}: {} rows", page.rows);
    }
}

/// Of events that other replays, and failures, are many of.
pub async fn a_replays_items_are_found_without_looking_at_others(subject: Subject) {
    const EVENTS: usize = 120;
    const OUTCOMES: [Option<Status>; 4] = [Some(Status::Success), Some(Status::Failure), Some(Status::Discarded), None];
    let events: Vec<Event> = (0..EVENTS).map(|_| subject.event(&[ENDPOINT])).collect();
    subject.commit(events.clone()).await;
    subject.record(events.iter().map(|event| subject.attempted(&born(event, 0), Status::Failure))).await;
    let other = subject.mint();
    for (event, outcome) in events.iter().zip(OUTCOMES.iter().cycle()) {
        let made = replay_as(&subject, other, event.id, ENDPOINT_2).await;
        subject.record(outcome.map(|status| subject.attempted(&made, status))).await;
    }
    let asked = subject.mint();
    let mut its = Vec::new();
    // Not in the order of the events.
    for (at, outcome) in [70, 10, 110, 30, 90, 50, 20, 100].into_iter().zip(OUTCOMES.into_iter().cycle()) {
        let made = replay_as(&subject, asked, events[at].id, ENDPOINT).await;
        subject.record(outcome.map(|status| subject.attempted(&made, status))).await;
        its.push((events[at].id, outcome));
    }
    its.sort_unstable_by_key(|(event, _)| *event);
    let all = OUTCOMES.as_slice();
    for (selector, wanted) in [
        (json!({"replay_id": asked}), all),
        (json!({"replay_id": asked, "attempts_min": 0}), all),
        (json!({"replay_id": asked, "endpoints": [ENDPOINT]}), all),
        (json!({"replay_id": asked, "mode": "failed"}), &all[1..2]),
        (json!({"replay_id": asked, "mode": "discarded"}), &all[2..3]),
        (json!({"replay_id": asked, "delivery_status": ["Success", "Scheduled"]}), &[all[0], all[3]]),
    ] {
        let frozen = frozen(subject.mint(), &selector);
        let mut expected: Vec<Id> =
            its.iter().filter(|(_, outcome)| wanted.contains(outcome)).map(|(event, _)| *event).collect();
        for ascending in [true, false] {
            let page = subject.store().scan(ScanRequest { ascending, ..request(&frozen) }).await.expect("reads");
            assert_eq!((ids(&page.items), page.next), (expected.clone(), None), "{selector}");
            assert!(page.rows <= expected.len() as u64, "{selector}: {} rows", page.rows);
            let small = ScanRequest { ascending, rows_max: 1, items_max: 1, ..request(&frozen) };
            assert_eq!(ids(&walk(&subject, small).await), expected, "{selector}, one by one");
            expected.reverse();
        }
    }
}

pub async fn what_is_born_later_is_not_met(subject: Subject) {
    let (all, _) = history(&subject).await;
    let failed = json!({"mode": "failed", "endpoints": [ENDPOINT, ENDPOINT_2]});
    for selector in [json!({}), failed] {
        let frozen = frozen(subject.mint(), &selector);
        let before = ids(&walk(&subject, request(&frozen)).await);
        assert!(!before.is_empty());
        let mut request = ScanRequest { items_max: 2, ..request(&frozen) };
        let mut found = Vec::new();
        loop {
            let page = subject.store().scan(request.clone()).await.expect("reads");
            found.extend(ids(&page.items));
            // A new event that fits, and another delivery of one that was selected.
            let newer = subject.stored(&[ENDPOINT]).await;
            subject.record([subject.attempted(&born(&newer, 0), Status::Failure)]).await;
            let again = replay(&subject, all[0].id, ENDPOINT_2).await;
            subject.record([subject.attempted(&again, Status::Success)]).await;
            request.after = page.next;
            if request.after.is_none() {
                break;
            }
        }
        assert_eq!(found, before, "{selector}");
    }
}

pub async fn another_projects_events_are_not_met(subject: Subject) {
    let foreign = Event { project_id: OTHER_PROJECT, ..subject.event(&[ENDPOINT]) };
    subject.commit([foreign.clone()]).await;
    subject.record([subject.attempted(&born(&foreign, 0), Status::Failure)]).await;
    for selector in [
        json!({}),
        json!({"event_ids": [foreign.id]}),
        json!({"mode": "failed"}),
        json!({"mode": "failed", "endpoints": [ENDPOINT]}),
    ] {
        let frozen = frozen(subject.mint(), &selector);
        assert_eq!(walk(&subject, request(&frozen)).await, [], "{selector}");
        let own = ScanRequest { project: OTHER_PROJECT, ..request(&frozen) };
        assert_eq!(ids(&walk(&subject, own).await), [foreign.id], "{selector}");
    }
}

/// However many of another project's lie before, between and behind its own.
pub async fn a_project_is_walked_whole_among_anothers_events(subject: Subject) {
    let mut own = Vec::new();
    for (mine, foreign) in [(0, 300), (3, 700), (300, 10), (1, 300), (2, 0)] {
        let mut events = Vec::new();
        for _ in 0..mine {
            let event = subject.event(&[]);
            own.push(event.id);
            events.push(event);
        }
        events.extend((0..foreign).map(|_| Event { project_id: OTHER_PROJECT, ..subject.event(&[]) }));
        subject.commit(events).await;
    }
    let down: Vec<Id> = own.iter().rev().copied().collect();
    for selector in [json!({}), json!({"event_types": ["invoice.*"]})] {
        let frozen = frozen(subject.mint(), &selector);
        for (rows_max, items_max) in [(ALL, ALL), (100, ALL), (ALL, 7)] {
            let request = ScanRequest { rows_max, items_max, ..request(&frozen) };
            assert_eq!(ids(&walk(&subject, request.clone()).await), own, "{selector} by {rows_max} and {items_max}");
            assert_eq!(ids(&walk(&subject, ScanRequest { ascending: false, ..request }).await), down, "downward");
        }
    }
}

pub async fn a_large_fan_out_is_scanned_with_all_its_deliveries(subject: Subject) {
    let item = super::fan_out::large_with(&subject, vec![target(ENDPOINT_2); 3]);
    let event = Arc::clone(&item.event);
    subject.store().commit(vec![item], 0).await.expect("commits");
    // Ids are kept free for all of its deliveries: the next one is behind them.
    subject.advance_ms(1);
    let selector = frozen(subject.mint(), &json!({"endpoints": [ENDPOINT_2]}));
    let load = Load { deliveries: true, ..Load::default() };
    let scanned = async || walk(&subject, ScanRequest { load, ..request(&selector) }).await;
    let counted = |items: &[ScanItem]| items.iter().map(|item| item.deliveries.len()).sum::<usize>();
    let before = counted(&scanned().await);
    while let Some(part) = subject.store().next_part(2).await.expect("reads") {
        assert!(subject.store().unfold(&part).await.expect("writes"));
    }
    let after = scanned().await;
    assert_eq!(ids(&after), [event.id]);
    assert_eq!((before, counted(&after)), (0, event.targets.len() + 3), "those not written yet are no deliveries yet");
}

pub async fn a_fan_out_under_way_is_no_gap_to_fill(subject: Subject) {
    let item = super::fan_out::large_with(&subject, vec![target(ENDPOINT_2); 3]);
    let event = Arc::clone(&item.event);
    subject.store().commit(vec![item], 0).await.expect("commits");
    subject.advance_ms(1);
    let selector = frozen(subject.mint(), &json!({"mode": "missing"}));
    let met = async || ids(&walk(&subject, request(&selector)).await);
    assert_eq!(met().await, [], "ENDPOINT_2 gets it anyway");
    while let Some(part) = subject.store().next_part(2).await.expect("reads") {
        assert!(subject.store().unfold(&part).await.expect("writes"));
    }
    assert_eq!(met().await, [event.id], "now routing decides");
}

/// However many events a page may have: payloads that are read are in memory together.
pub async fn a_page_holds_so_many_bytes_of_payload(subject: Subject) {
    const EVENTS: usize = 3;
    let large = Bytes::from([&b"\""[..], &vec![b'x'; PAGE_BYTES_MAX * 2 / 3], b"\""].concat());
    let mut newest = Id::MIN;
    for _ in 0..EVENTS {
        let event = Event { data: large.clone(), ..subject.event(&[ENDPOINT]) };
        newest = subject.stored_as(event).await.id;
    }
    let selector = frozen(newest, &json!({}));
    let pages = async |load| {
        let page = subject.store().scan(ScanRequest { load, ..request(&selector) }).await.expect("reads");
        (page.items.len(), page.next.is_some())
    };
    assert_eq!(pages(Load::default()).await, (EVENTS, false), "payloads that are not read count nothing");
    assert_eq!(pages(Load::ALL).await, (2, true));
    assert_eq!(walk(&subject, ScanRequest { load: Load::ALL, ..request(&selector) }).await.len(), EVENTS);
}
