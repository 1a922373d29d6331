//! Resends that meet others.

use super::durability::report_of_one_committed;
use super::server::Server;
use crate::postgres::PostgresStore;
use crate::roles::{Lease, NewResend, Record, Requeue, Resend, ResendKind};
use dacapo_model::replay::{Asker, AskerKind};
use dacapo_model::{Id, Status};
use std::time::Duration;
use tokio_postgres::NoTls;

/// Longer than any look that nothing holds up.
const A_WHILE: Duration = Duration::from_millis(800);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_was_sent_again_and_settled_while_it_was_waited_for_is_not_unknown() {
    let database = Server::shared().database().await;
    let store = PostgresStore::open(&database.options()).await.expect("opens");
    store.hold().await.expect("joins");
    let mut report = report_of_one_committed(&store).await;
    report.delivery.status = Status::Failure;
    let delivery = report.delivery.clone();
    store.record([report].into()).await.expect("records");
    // All that another call and a courier did with it, up to a commit: it leaves, waits, and is settled again.
    let (client, connection) = tokio_postgres::connect(&database.options().url, NoTls).await.expect("connects");
    tokio::spawn(connection);
    let again = "BEGIN; CREATE TEMP TABLE again AS SELECT * FROM settled; DELETE FROM settled; \
                 INSERT INTO settled SELECT * FROM again";
    client.batch_execute(again).await.expect("moves");
    let resend = NewResend {
        project_id: delivery.project_id,
        deliveries: vec![delivery.id],
        kind: ResendKind::Failed,
        at: delivery.due_at,
        call_id: Id::from_u128(1),
        asked_by: Asker { kind: AskerKind::System, id: None },
    };
    let resending = tokio::spawn(async move { store.resend(resend).await });
    tokio::time::sleep(A_WHILE).await;
    assert!(!resending.is_finished(), "it waits for the other call");
    client.batch_execute("COMMIT").await.expect("is settled again");
    let answers = resending.await.expect("ends").expect("resends");
    assert!(matches!(&answers[..], [Resend::Scheduled(again)] if again.id == delivery.id), "{answers:?}");
}
