//! PgBouncer in transaction mode between the nodes and the database. The one in distributions (1.18) breaks named
//! prepared statements: that is said clearly, and there is a way without them.

use super::{SOON, acknowledged_more, lost_nothing, turn};
use anyhow::{Result, ensure};
use dacapo_peers::{PgBouncer, Pooling};
use dacapo_testkit::nodes::Nodes;
use dacapo_testkit::nodes::kills::Field;
use dacapo_testkit::product::{self, Product};

const PER_SECOND: u32 = 50;
/// Server connections that both nodes share: fewer than one of them would hold.
const CONNECTIONS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_work_behind_a_pooler_in_transaction_mode() -> Result<()> {
    let _turn = turn().await;
    let mut nodes = Nodes::none(product::binary()?, &["--database-prepared", "false"])?;
    let pooler = PgBouncer::start(&nodes.postgres, Pooling::Transaction, CONNECTIONS);
    let direct = nodes.database_url();
    nodes.also(&["--database-direct-url", &direct]);
    for _ in 0..2 {
        nodes.add_at(&pooler.url("postgres")).await?;
    }
    nodes.shared_out().await?;
    let field = Field::start(nodes).await?;
    let stream = field.load(PER_SECOND)?;
    acknowledged_more(&stream.acknowledged(), u64::from(PER_SECOND) * 3, SOON * 3).await?;
    let spread = lost_nothing(&field, stream).await?;
    println!("behind PgBouncer: {spread:?}");
    ensure!(spread.refused == 0 && field.duplicates() == 0, "{spread:?}, {} came twice", field.duplicates());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_breaks_prepared_statements_is_refused_with_what_to_do() -> Result<()> {
    let _turn = turn().await;
    let nodes = Nodes::none(product::binary()?, &[])?;
    let pooler = PgBouncer::start(&nodes.postgres, Pooling::Transaction, CONNECTIONS);
    let started = Product::start(nodes.options(0, &pooler.url("postgres"))).await;
    let told = started.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(told.contains("prepared statement") && told.contains("turn them off"), "{told}");
    ensure!(told.contains("--database-prepared"), "no word on how: {told}");
    Ok(())
}
