//! An ordered run over its whole life, in random steps: what is due of it is never but the oldest item of each
//! endpoint that is not settled.

use super::Subject;
use super::replays::{held, running, schedule_page};
use super::subject::{ALL, ENDPOINT, ENDPOINT_2, ENDPOINT_3};
use crate::roles::Release;
use dacapo_model::{Class, Delivery, Id, Status};
use std::collections::BTreeMap;
use std::time::Duration;

const STEPS: u32 = 250;
/// Each goes another way.
const WALKS: u64 = 3;
const ENDPOINTS: [Id; 3] = [ENDPOINT, ENDPOINT_2, ENDPOINT_3];

/// splitmix64: the same seed, the same walk.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % sides
    }
}

/// Items of each endpoint that are not settled, oldest first.
type Open = BTreeMap<Id, Vec<Id>>;

/// What is due by now is a head.
async fn due(subject: &Subject, open: &Open, said: &str) -> Vec<Delivery> {
    let mut all = Vec::new();
    for endpoint in ENDPOINTS {
        let due = subject.store().due(endpoint, Class::Replay, subject.now(), ALL).await.expect("reads");
        assert!(due.len() <= 1, "{said}: {} due at once", due.len());
        for waiting in due {
            assert_eq!(Some(&waiting.delivery.id), open[&endpoint].first(), "{said}: not the oldest");
            all.push(waiting.delivery);
        }
    }
    all
}

pub async fn an_ordered_run_goes_oldest_first_whatever_fails_is_paused_or_crashes(mut subject: Subject) {
    for walk in 0..WALKS {
        let mut dice = Dice(walk);
        let run = running(&subject).await;
        let mut open: Open = ENDPOINTS.into_iter().map(|endpoint| (endpoint, Vec::new())).collect();
        let (mut pages, mut settled, mut is_paused) = (0, 0, false);
        for step in 0..STEPS {
            let said = format!("walk {walk}, step {step}");
            match dice.roll(12) {
                0 | 1 => {
                    let endpoints: Vec<Id> = (0..=dice.roll(4)).map(|_| ENDPOINTS[dice.roll(3) as usize]).collect();
                    let event = subject.stored(&[ENDPOINT]).await;
                    let items: Vec<Delivery> =
                        endpoints.iter().map(|endpoint| held(&subject, run, &event, *endpoint)).collect();
                    for item in &items {
                        open.get_mut(&item.endpoint_id).expect("one of them").push(item.id);
                    }
                    schedule_page(&subject, run, pages, items).await;
                    pages += 1;
                }
                2 => {
                    subject.store().hold_items(run, subject.now(), ALL).await.expect("holds");
                    is_paused = true;
                }
                3 => is_paused = false,
                4 if dice.roll(6) == 0 => subject.crash().await,
                5..=8 => {
                    for delivery in due(&subject, &open, &said).await {
                        // Sent, and not recorded.
                        if dice.roll(8) == 0 {
                            continue;
                        }
                        let outcomes = [Status::Success, Status::Retry, Status::Failure, Status::Success];
                        let status = outcomes[dice.roll(4) as usize];
                        subject.record([subject.attempted(&delivery, status)]).await;
                        if status.is_settled() {
                            open.get_mut(&delivery.endpoint_id).expect("one of them").remove(0);
                            settled += 1;
                        }
                    }
                }
                9 => subject.clock.advance(Duration::from_secs(dice.roll(15))),
                _ if is_paused => {}
                _ => {
                    subject.store().release_items(run, Release::Heads, subject.now(), ALL).await.expect("releases");
                }
            }
            due(&subject, &open, &said).await;
        }
        assert!(settled > 10, "walk {walk}: {settled} settled");
        // What is left of this walk does not disturb the next one.
        while open.values().any(|left| !left.is_empty()) {
            subject.clock.advance(Duration::from_secs(15));
            subject.store().release_items(run, Release::Heads, subject.now(), ALL).await.expect("releases");
            for delivery in due(&subject, &open, "at the end").await {
                subject.record([subject.attempted(&delivery, Status::Success)]).await;
                open.get_mut(&delivery.endpoint_id).expect("one of them").remove(0);
            }
        }
    }
}
