//! The attempts of one delivery: the first may lie in the settled row, the others in their table.

use super::deliveries;
use crate::Result;
use crate::postgres::codec::{self, uuid};
use crate::postgres::session::{Sql, Step, Transaction};
use dacapo_model::{Attempt, Id};
use std::collections::BTreeMap;
use tokio_postgres::types::Type;

static ATTEMPTS: Sql = Sql {
    text: "SELECT number, detail FROM attempts WHERE delivery = $1 ORDER BY number DESC LIMIT $2",
    types: &[Type::UUID, Type::INT8],
};

pub async fn list(transaction: &mut Transaction, project: Id, delivery: Id, limit: usize) -> Result<Vec<Attempt>> {
    let Some((view, first)) = deliveries::with_first(transaction, project, delivery).await? else {
        return Ok(Vec::new());
    };
    let (id, most) = (uuid(view.delivery.id), i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = transaction.run(vec![Step::Known(&ATTEMPTS, vec![&id, &most])]).await?;
    let mut found: BTreeMap<u32, Attempt> = first.into_iter().map(|attempt| (attempt.number, attempt)).collect();
    for row in &rows[0] {
        let attempt = codec::attempt(row, delivery)?;
        found.entry(attempt.number).or_insert(attempt);
    }
    let surplus = found.len().saturating_sub(limit);
    Ok(found.into_values().skip(surplus).collect())
}
