//! What one transaction of a replay takes: items cut off a page of the walk, whatever its events' fan-out.

use super::items::Planned;
use dacapo_model::replay::{Progress, Within};
use dacapo_model::{Event, Id};
use dacapo_store::roles::{Place, ScanItem, ScanPage};
use std::sync::Arc;

/// Items of one transaction: it shares the writer with live traffic, which must not wait long.
pub const PAGE_ITEMS_MAX: usize = 500;

/// How much may be taken.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub items: usize,
    /// Of those, the ones that are not born settled. At least one, or nothing moves.
    pub to_send: usize,
}

pub struct Taken {
    pub items: Vec<(Arc<Event>, Planned)>,
    pub to_send: usize,
    /// Where the walk goes on; `None`: it is over.
    pub next: Option<Place>,
    /// Rows looked at for it.
    pub rows: u64,
}

/// `plan` says what becomes of an event, by id of the endpoint. `once`: each event becomes one item,
/// wherever it was meant for.
pub fn take(page: ScanPage, room: Room, once: bool, mut plan: impl FnMut(&ScanItem) -> Vec<Planned>) -> Taken {
    let mut taken = Taken { items: Vec::new(), to_send: 0, next: page.next, rows: page.rows };
    let (mut events, mut last) = (0, None);
    for item in &page.items {
        events += 1;
        let mut at = item.slice.after.map(|endpoint| Place::Within { event: item.event.id, endpoint });
        for planned in plan(item) {
            let target = &planned.target;
            let sends = target.discarded.is_none();
            if taken.items.len() >= room.items || sends && taken.to_send >= room.to_send {
                // Before this event, when nothing was taken of it.
                taken.next = at.or(Some(Place::Behind(before(item.event.id))));
                taken.rows = events;
                return taken;
            }
            taken.to_send += usize::from(sends);
            at = Some(Place::Within { event: item.event.id, endpoint: target.endpoint_id });
            last = Some(item.event.id);
            taken.items.push((Arc::clone(&item.event), planned));
        }
    }
    if once {
        taken.next = past_the_one_taken(taken.next, last);
    }
    taken
}

/// Where a walk goes on that wants each event once: not in the rest of one that it has had.
pub fn past_the_one_taken(next: Option<Place>, taken: Option<Id>) -> Option<Place> {
    next.map(|place| if taken == Some(place.event()) { place.past_event() } else { place })
}

const fn before(event: Id) -> Id {
    Id::from_u128(event.as_u128().saturating_sub(1))
}

/// Where the walk stands.
pub fn place(progress: &Progress) -> Option<Place> {
    match progress.within {
        Some(Within { event, endpoint }) => Some(Place::Within { event, endpoint }),
        None => progress.cursor.map(Place::Behind),
    }
}

/// The walk stands there now. Who reads the cursor alone begins the event anew.
pub fn stand_at(progress: &mut Progress, place: Place) {
    (progress.cursor, progress.within) = match place {
        Place::Behind(event) => (Some(event), None),
        Place::Within { event, endpoint } => (Some(before(event)), Some(Within { event, endpoint })),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    use dacapo_model::delivery::{Mode, Reason};
    use dacapo_model::event::Target;

    use dacapo_model::retry::{Kind, Policy};
    use dacapo_model::{Timestamp, id::Id};
    use dacapo_store::roles::Slice;
    use proptest::prelude::*;

    fn event(number: u128) -> Arc<Event> {
        Arc::new(Event::plain(Id::from_u128(number * 1_000), Id::MIN, "", bytes::Bytes::new(), Timestamp::default()))
    }

    /// Each third is born discarded.
    fn planned(endpoint: u128) -> Planned {
        let target = Target {
            endpoint_id: Id::from_u128(endpoint),
            subscription_id: Id::MIN,
            mode: Mode::AtLeastOnce,
            policy: Policy { kind: Kind::Linear, interval_s: 1, limit: 1 },
            discarded: endpoint.is_multiple_of(3).then_some(Reason::EndpointPaused),
        };
        Planned { target, already_succeeded: false, has_reached: false }
    }

    /// A store of events with so many endpoints each, which gives slices of `most` deliveries.
    fn scan(events: &[u128], after: Option<Place>, items_max: usize, most: u128) -> ScanPage {
        let mut page = ScanPage { items: Vec::new(), next: None, rows: 0 };
        for (number, endpoints) in (1..).zip(events) {
            let event = event(number);
            let begun = match after {
                Some(Place::Behind(behind)) if event.id <= behind => continue,
                Some(Place::Within { event: begun, .. }) if event.id < begun => continue,
                Some(Place::Within { event: begun, endpoint }) if event.id == begun => Some(endpoint),
                _ => None,
            };
            let upto = begun.map_or(0, Id::as_u128) + most;
            let slice = Slice { after: begun, upto: (upto < *endpoints).then_some(Id::from_u128(upto)) };
            page.next = Some(match slice.upto {
                Some(endpoint) => Place::Within { event: event.id, endpoint },
                None => Place::Behind(event.id),
            });
            page.items.push(ScanItem { event, data_bytes: 0, slice, deliveries: Vec::new() });
            page.rows += 1;
            if page.items.len() >= items_max || slice.upto.is_some() {
                return page;
            }
        }
        page.next = None;
        page
    }

    proptest! {
        /// Whatever the fan-outs, the slices, and the room that each transaction has: every endpoint of every
        /// event once, events in order, and no transaction with more than it may have. Sent elsewhere, each
        /// event once.
        #[test]
        fn a_page_is_cut_to_the_room_there_is(
            events in prop::collection::vec(0u128..40, 1..8),
            rooms in prop::collection::vec((1usize..9, 1usize..9, 1usize..5, 1u128..12), 1..6),
            once in any::<bool>(),
        ) {
            let mut progress = Progress::default();
            let mut made: Vec<(Id, Id)> = Vec::new();
            for turn in 0.. {
                prop_assert!(turn < 1_000, "stands still");
                let (items, to_send, items_max, most) = rooms[turn % rooms.len()];
                let page = scan(&events, place(&progress), items_max, most);
                let plan = |item: &ScanItem| {
                    let endpoints = events[item.event.id.as_u128() as usize / 1_000 - 1];
                    let mut all: Vec<Planned> =
                        (1..=endpoints).map(planned).filter(|one| item.slice.holds(one.target.endpoint_id)).collect();
                    if once {
                        all.truncate(1);
                    }
                    all
                };
                let taken = take(page, Room { items, to_send }, once, plan);
                let sends = taken.items.iter().filter(|(_, planned)| planned.target.discarded.is_none()).count();
                prop_assert!(taken.items.len() <= items && sends <= to_send);
                prop_assert_eq!(sends, taken.to_send);
                made.extend(taken.items.iter().map(|(event, planned)| (event.id, planned.target.endpoint_id)));
                let Some(next) = taken.next else { break };
                stand_at(&mut progress, next);
            }
            let of = |number: u128, endpoints: u128| {
                (1..=endpoints).take(if once { 1 } else { usize::MAX }).map(move |endpoint| {
                    (Id::from_u128(number * 1_000), Id::from_u128(endpoint))
                })
            };
            let all: Vec<(Id, Id)> = (1..).zip(&events).flat_map(|(number, endpoints)| of(number, *endpoints)).collect();
            prop_assert_eq!(made, all);
        }
    }
}
