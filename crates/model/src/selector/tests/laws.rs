//! What holds for all selectors, events and deliveries.

use super::reference::Asked;
use super::*;
use crate::selector::SetMode;
use proptest::prelude::*;

fn any_mode() -> impl Strategy<Value = SetMode> {
    prop::sample::select(SetMode::ALL.to_vec())
}

fn some<T: Clone + std::fmt::Debug + 'static>(of: Vec<T>, most: usize) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(Vec::new()), 1 => prop::sample::subsequence(of, 1..=most)]
}

fn asked() -> impl Strategy<Value = Asked> {
    let ms = || prop::option::of(0u64..12);
    (
        any_mode(),
        (ms(), ms()),
        some(vec!["order.*", "order.paid", "*", "refund", "ord"], 2),
        some(ENDPOINTS.to_vec(), 3),
        some(Status::ALL.to_vec(), 3),
        prop::option::weighted(0.3, prop::sample::select(vec!["5xx", "200", "503", "none"])),
        prop::option::weighted(0.3, 1u32..4),
    )
        .prop_map(|(mode, (from_ms_ago, to_ms_ago), types, endpoints, statuses, http, attempts_min)| Asked {
            mode,
            from_ms_ago,
            to_ms_ago,
            types,
            endpoints,
            statuses,
            http,
            attempts_min,
        })
}

fn an_event() -> impl Strategy<Value = Event> {
    (0u64..12, 0u64..3, prop::sample::select(vec!["order.paid", "order", "refund", "order.paid.late"]), any::<bool>())
        .prop_map(|(ms_ago, number, event_type, is_duplicate)| Event {
            event_type: event_type.to_owned(),
            is_duplicate,
            ..event(ms_ago, number)
        })
}

fn deliveries_of(event: Event) -> impl Strategy<Value = (Event, Vec<Delivery>)> {
    let one = (
        prop::sample::select(ENDPOINTS.to_vec()),
        prop::sample::select(Status::ALL.to_vec()),
        0u32..4,
        prop::option::of(prop::sample::select(vec![200u16, 404, 500, 503])),
        0u128..2,
        prop::bool::weighted(0.2),
    );
    prop::collection::vec(one, 0..6).prop_map(move |all| {
        let made = (0u32..).zip(all).map(|(index, (endpoint, status, attempts, last_status, subscription, late))| {
            let mut delivery = delivery(&event, index, endpoint, status);
            (delivery.attempts, delivery.last_status) = (attempts, last_status);
            delivery.subscription_id = Id::from_u128(endpoint * 10 + subscription);
            if late {
                delivery.id = Id::from_parts(Id::floor_of(NOW).order() + 1 + u64::from(index), 0);
            }
            delivery
        });
        let made = made.collect();
        (event.clone(), made)
    })
}

fn matching() -> impl Strategy<Value = Vec<Id>> {
    prop::collection::vec(prop::sample::select(ENDPOINTS.to_vec()).prop_map(Id::from_u128), 0..5)
}

/// `None`: it contradicts itself.
fn freeze(asked: &Asked, high_water: Id) -> Option<Frozen> {
    Selector::parse(&asked.json()).ok()?.freeze(NOW, high_water, &view()).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn it_means_what_the_reference_means(
        asked in asked(),
        (event, deliveries) in an_event().prop_flat_map(deliveries_of),
        matching in matching(),
    ) {
        let high_water = Id::floor_of(NOW);
        if let Some(frozen) = freeze(&asked, high_water) {
            prop_assert_eq!(frozen.admits(&event), asked.admits(&event, high_water), "{}", asked.json());
            let pairs = frozen.pairs(&event, &deliveries, || matching.clone());
            let found: std::collections::BTreeSet<Id> = pairs.iter().map(|pair| pair.endpoint_id).collect();
            prop_assert_eq!(found.len(), pairs.len(), "an endpoint twice");
            prop_assert_eq!(found, asked.means(&event, &deliveries, &matching, high_water), "{}", asked.json());
            for pair in &pairs {
                let of_it = |one: &&Delivery| one.endpoint_id == pair.endpoint_id && one.id <= high_water;
                let succeeded = deliveries.iter().filter(of_it).any(|one| one.status == Status::Success);
                prop_assert_eq!(pair.already_succeeded, succeeded);
                prop_assert!(pair.delivery_id.is_none_or(|id| deliveries.iter().filter(of_it).any(|one| one.id == id)));
            }
        }
    }

    /// Refused is only what means nothing for whatever there is.
    #[test]
    fn what_contradicts_itself_means_nothing(
        asked in asked(),
        (event, deliveries) in an_event().prop_flat_map(deliveries_of),
        matching in matching(),
    ) {
        let high_water = Id::floor_of(NOW);
        if freeze(&asked, high_water).is_none() {
            let asks_in_vain = asked.mode == SetMode::Missing;
            let meant = asked.admits(&event, high_water)
                && !asked.means(&event, &deliveries, &matching, high_water).is_empty();
            prop_assert!(asks_in_vain || !meant, "{}", asked.json());
        }
    }

    /// Whatever the clock says later and whatever was born since.
    #[test]
    fn frozen_is_the_same_for_ever(
        asked in asked(),
        (event, deliveries) in an_event().prop_flat_map(deliveries_of),
        matching in matching(),
        later in 1u64..1_000,
    ) {
        let high_water = Id::floor_of(NOW);
        if let Some(frozen) = freeze(&asked, high_water) {
            let text = serde_json::to_string(&frozen).expect("prints");
            let back: Frozen = serde_json::from_str(&text).expect("reads back");
            prop_assert_eq!(&back, &frozen);
            prop_assert_eq!(back.admits(&event), frozen.admits(&event));
            let before = frozen.pairs(&event, &deliveries, || matching.clone());
            prop_assert_eq!(&back.pairs(&event, &deliveries, || matching.clone()), &before);

            let mut newer = event.clone();
            newer.id = Id::from_parts(high_water.order() + later, 1);
            prop_assert!(!back.admits(&newer));
            let mut since = deliveries.clone();
            since.extend(ENDPOINTS.map(|endpoint| Delivery {
                id: Id::from_parts(high_water.order() + later, 1),
                ..delivery(&event, 9, endpoint, Status::Success)
            }));
            prop_assert_eq!(back.pairs(&event, &since, || matching.clone()), before);
        }
    }

    /// A relative time is the absolute time it stood for.
    #[test]
    fn freezing_resolves_relative_times(seconds in 0u64..100_000, ms_ago in 0u64..200_000_000) {
        let relative = frozen(&json!({"from": format!("-{seconds}s")}));
        let absolute = frozen(&json!({"from": NOW.minus(Duration::from_secs(seconds))}));
        prop_assert_eq!(&relative, &absolute);
        prop_assert_eq!(relative.admits(&event(ms_ago, 0)), ms_ago > 0 && ms_ago <= seconds * 1_000 || ms_ago == 0);
    }
}
