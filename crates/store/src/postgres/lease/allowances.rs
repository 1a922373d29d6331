//! Rate limits that move with their shard: how far each was used up when it was let go.
//!
//! Kept as moments of the database's clock, told and read as time from now, so that what the nodes'
//! clocks say does not matter.

use super::{number, shard_of};
use crate::postgres::codec::{id_of, uuid};
use crate::postgres::session::{Sql, Step};
use crate::roles::{Allowance, Epoch};
use crate::{Result, StoreError};
use dacapo_model::{Id, Shard, Timestamp};
use std::collections::{BTreeMap, HashMap};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Endpoints a hand-over tells of; the limits of further ones start used up with their next owner.
const ALLOWANCES_MAX: usize = 20_000;

static PASS_ON: Sql = Sql {
    text: "INSERT INTO allowances (shard, endpoint, epoch, whole_at) \
           SELECT shard, endpoint, epoch, clock_timestamp() + away * interval '1 microsecond' \
           FROM unnest($1, $2, $3, $4) i (shard, endpoint, epoch, away) \
           ON CONFLICT (shard, endpoint) DO UPDATE SET epoch = excluded.epoch, whole_at = excluded.whole_at",
    types: &[Type::INT2_ARRAY, Type::UUID_ARRAY, Type::INT8_ARRAY, Type::INT8_ARRAY],
};
pub static TAKE_OVER: Sql = Sql {
    text: "DELETE FROM allowances WHERE shard = ANY ($1) \
           RETURNING shard, endpoint, epoch, (extract(epoch FROM whole_at - clock_timestamp()) * 1000000)::int8",
    types: &[Type::INT2_ARRAY],
};

/// What is told of shards that are let go.
pub struct PassedOn {
    shards: Vec<i16>,
    endpoints: Vec<Uuid>,
    epochs: Vec<i64>,
    whole_at: Vec<Timestamp>,
    /// Microseconds from the moment of telling.
    away: Vec<i64>,
}

impl PassedOn {
    pub fn new<'a>(allowances: impl Iterator<Item = &'a Allowance>, owned: &BTreeMap<Shard, Epoch>) -> Self {
        let mut told = Self {
            shards: Vec::new(),
            endpoints: Vec::new(),
            epochs: Vec::new(),
            whole_at: Vec::new(),
            away: Vec::new(),
        };
        for allowance in allowances.take(ALLOWANCES_MAX) {
            let shard = Shard::of(allowance.endpoint_id);
            let Some(epoch) = owned.get(&shard) else { continue };
            told.shards.push(number(shard));
            told.endpoints.push(uuid(allowance.endpoint_id));
            told.epochs.push(epoch.cast_signed());
            told.whole_at.push(allowance.whole_at);
        }
        told
    }

    /// To be told at `now`.
    pub fn from(mut self, now: Timestamp) -> Self {
        self.away = self.whole_at.iter().map(|at| at.micros().saturating_sub(now.micros())).collect();
        self
    }

    pub fn step(&self) -> Option<Step<'_>> {
        let values = || vec![&self.shards as _, &self.endpoints as _, &self.epochs as _, &self.away as _];
        (!self.shards.is_empty()).then(|| Step::Known(&PASS_ON, values()))
    }
}

/// Of what [`TAKE_OVER`] found just before `now`, what holds: that of the owner right before the one who
/// took with these epochs.
pub fn taken_over(rows: &[Row], epochs: &BTreeMap<Shard, Epoch>, now: Timestamp) -> Result<HashMap<Id, Timestamp>> {
    let mut found = HashMap::new();
    for row in rows {
        let (shard, endpoint): (i16, Uuid) = (row.try_get(0)?, row.try_get(1)?);
        let (epoch, away): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        if epochs.get(&shard_of(shard)?) == Some(&(epoch.cast_unsigned() + 1)) {
            found.insert(id_of(endpoint), Timestamp::from_micros(now.micros().saturating_add(away)));
        }
    }
    Ok::<_, StoreError>(found)
}
