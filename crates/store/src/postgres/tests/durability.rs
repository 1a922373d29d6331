//! What is left after the server lost its power, and what happens to a store whose server goes away.

use crate::conformance::subject::{ALL, ENDPOINT, FOREVER, PROJECT, ROUTED_AT, START, UP, born, target};
use crate::postgres::{Options, PostgresStore};
use crate::roles::{Commit, Committed, DeliveryFilter, EventFilter, Lease, NewEvent, Query, Queue, Record, Report};
use bytes::Bytes;
use dacapo_model::id::SystemEntropy;
use dacapo_model::{Class, Event, Id, IdSource, Status};
use dacapo_peers::Postgres;
use std::sync::Arc;
use std::time::Duration;

fn event(ids: &IdSource) -> Event {
    let (id, created_at) = ids.event(START, 1);
    Event {
        targets: vec![target(ENDPOINT)],
        ..Event::plain(id, PROJECT, "a\0b", Bytes::from_static(b"{}"), created_at)
    }
}

async fn commit(store: &PostgresStore, event: Event) -> crate::Result<Vec<Committed>> {
    store.commit(vec![NewEvent { event: Arc::new(event), parked: Vec::new(), later: Vec::new() }], ROUTED_AT).await
}

fn success(event: &Event) -> Report {
    let mut delivery = born(event, 0);
    delivery.status = Status::Success;
    Report { delivery, attempt: None, meta_event: None }
}

pub async fn report_of_one_committed(store: &PostgresStore) -> Report {
    let event = event(&IdSource::new(SystemEntropy));
    commit(store, event.clone()).await.expect("commits");
    success(&event)
}

pub async fn one_of_everything(store: &PostgresStore) {
    let ids = IdSource::new(SystemEntropy);
    let (sent, waits) = (event(&ids), event(&ids));
    for event in [&sent, &waits] {
        assert_eq!(commit(store, event.clone()).await.expect("commits"), [Committed::Stored]);
    }
    store.record([success(&sent)].into()).await.expect("records");
    let due = store.due(ENDPOINT, Class::Live, FOREVER, ALL).await.expect("reads");
    assert_eq!(due.iter().map(|waiting| waiting.event.id).collect::<Vec<_>>(), [waits.id]);
    assert_eq!(store.events(PROJECT, EventFilter::default(), UP).await.expect("reads").len(), 2);
    assert_eq!(store.deliveries(PROJECT, DeliveryFilter::default(), UP).await.expect("reads").len(), 2);
    assert_eq!(store.backlog().await.expect("reads").len(), 1);
}

/// The server is stopped as by a power failure, again and again, while commits and records run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ok_survives_a_server_that_dies() {
    let mut server = Postgres::start(&[]);
    let options = Options::new(server.url("postgres"), "test");
    let store = Arc::new(PostgresStore::open(&options).await.expect("opens"));
    store.hold().await.expect("joins");
    let ids = Arc::new(IdSource::new(SystemEntropy));
    let (mut stored, mut recorded, mut refused) = (Vec::<Id>::new(), Vec::<Id>::new(), 0u32);
    for _ in 0..2 {
        let running = {
            let (store, ids) = (Arc::clone(&store), Arc::clone(&ids));
            tokio::spawn(async move {
                let (mut stored, mut recorded) = (Vec::new(), Vec::new());
                let failed = loop {
                    let event = event(&ids);
                    if let Err(cause) = commit(&store, event.clone()).await {
                        break cause;
                    }
                    stored.push(event.id);
                    if stored.len() % 2 == 0 {
                        if let Err(cause) = store.record([success(&event)].into()).await {
                            break cause;
                        }
                        recorded.push(event.id);
                    }
                };
                (stored, recorded, failed)
            })
        };
        tokio::time::sleep(Duration::from_millis(800)).await;
        tokio::task::block_in_place(|| server.restart(true));
        let (more, settled, failed) = running.await.expect("ends");
        assert!(failed.is_unavailable(), "{failed}");
        stored.extend(more);
        recorded.extend(settled);
        // The same store goes on by itself.
        let back = async {
            while store.probe().await.is_err() {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), back).await.expect("reconnects");
    }
    assert!(stored.len() > 4 && recorded.len() > 2, "{} {}", stored.len(), recorded.len());
    let kept: std::collections::BTreeSet<Id> =
        store.events(PROJECT, EventFilter::default(), UP).await.expect("reads").iter().map(|event| event.id).collect();
    assert!(stored.iter().all(|id| kept.contains(id)), "what was answered is there");
    let due = store.due(ENDPOINT, Class::Live, FOREVER, ALL).await.expect("reads");
    assert!(due.iter().all(|waiting| !recorded.contains(&waiting.event.id)), "what was recorded is not sent again");
    assert!(due.len() >= stored.len() - recorded.len() - 2);
}
