//! Files of the versions before this one, and what they hold.

use super::Directory;
use crate::conformance::subject::{PROJECT, Subject, UP};
use crate::roles::{Catalog, Commit, FanOuts, Query};
use rusqlite::Connection;

const FIRST: &str = include_str!("../schema.sql");

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date_with_what_is_in_it() {
    let directory = Directory::new();
    let file = Connection::open(directory.file()).expect("opens");
    file.execute_batch(FIRST).expect("makes version 1");
    file.execute_batch(
        "PRAGMA user_version = 1; \
         INSERT INTO events (ord, tail, project, type, flags, created_at, data) \
         VALUES (65536, 1, x'000000000000000000000000000000A1', 'old', 20, 1, x'7B7D')",
    )
    .expect("fills it");
    drop(file);
    let store = directory.open_store().expect("opens");
    let events = store.events(PROJECT, Default::default(), UP).await.expect("reads");
    assert_eq!(events.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>(), ["old"]);
    let subject = Subject::new(super::directory()).await;
    let large = crate::conformance::fan_out::large(&subject);
    store.commit(vec![large], u64::MAX).await.expect("takes what only this version knows");
    assert!(store.next_part(9).await.expect("reads").is_some());
}

/// A process that ends in the middle must not give ids that deliveries to come will have.
#[tokio::test]
async fn ids_of_deliveries_to_come_are_kept_free() {
    let directory = Directory::new();
    let subject = Subject::new(super::directory()).await;
    let large = crate::conformance::fan_out::large(&subject);
    let (event, count) = (large.event.id, large.event.targets.len() + large.later.len());
    let store = directory.open_store().expect("opens");
    store.commit(vec![large], u64::MAX).await.expect("commits");
    drop(store);
    let store = directory.open_store().expect("opens again");
    let newest = store.load().await.expect("loads").newest_id.expect("an event");
    let last = event.child(u32::try_from(count - 1).expect("few"));
    assert_eq!(newest.order(), last.order());
}
