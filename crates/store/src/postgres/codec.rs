//! How rows read: the only file, beside detail.rs, that knows what lies in which column.

use super::detail::{self, DeliveryColumns, Facts};
use crate::packed::Made;
use crate::{Result, StoreError};
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::event::{Audience, ConnectFace, FanOut, Related};
use dacapo_model::{Attempt, Delivery, Event, Id, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

/// An id as a value of a statement.
pub const fn uuid(id: Id) -> Uuid {
    Uuid::from_u128(id.as_u128())
}

pub fn uuids(ids: impl IntoIterator<Item = Id>) -> Vec<Uuid> {
    ids.into_iter().map(uuid).collect()
}

pub const fn id_of(uuid: Uuid) -> Id {
    Id::from_u128(uuid.as_u128())
}

/// Names the place of a value that does not read.
pub fn inconsistent(table: &'static str, column: &'static str, row: Id, detail: &str) -> StoreError {
    StoreError::Inconsistent { table, column, row: row.to_string(), detail: detail.to_owned() }
}

pub fn id(row: &Row, index: usize) -> Result<Id> {
    Ok(id_of(row.try_get(index)?))
}

pub fn column<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T> {
    Ok(row.try_get(index)?)
}

/// An event as `e`, in the order [`event`] reads it.
pub const EVENT_COLUMNS: &str = "e.id, e.project, e.type, e.source, e.idem, e.related_to, e.flags, e.detail, e.data";
/// How many those are: what follows them in a joined row starts here.
pub const EVENT_COLUMN_COUNT: usize = 9;

pub const FLAG_DUPLICATE: i16 = 1;
const FLAG_TEST_MODE: i16 = 2;
const FAN_OUT_SHIFT: u32 = 2;
const FAN_OUT_BITS: i16 = 3 << FAN_OUT_SHIFT;
const AUDIENCE_SHIFT: u32 = 4;

/// Everything small about an event in one integer: duplicate, test mode, fan-out, kind of audience.
pub fn event_flags(event: &Event, fan_out: FanOut, is_duplicate: bool) -> i16 {
    let audience = match event.audience {
        Audience::Endpoints(_) => 0,
        Audience::Project => 1,
        Audience::Source => 2,
    };
    let mut flags = i16::from(fan_out.code()) << FAN_OUT_SHIFT | audience << AUDIENCE_SHIFT;
    if is_duplicate {
        flags |= FLAG_DUPLICATE;
    }
    if !event.connect.livemode {
        flags |= FLAG_TEST_MODE;
    }
    flags
}

/// The same flags with another fan-out.
pub const fn with_fan_out(flags: i16, fan_out: FanOut) -> i16 {
    flags & !FAN_OUT_BITS | (fan_out.code() as i16) << FAN_OUT_SHIFT
}

pub fn fan_out(flags: i16) -> Option<FanOut> {
    u8::try_from((flags & FAN_OUT_BITS) >> FAN_OUT_SHIFT).ok().and_then(FanOut::from_code)
}

/// Reads an event whose columns start at 0.
pub fn event(row: &Row) -> Result<Event> {
    let id = id(row, 0)?;
    let bad = |column, why| inconsistent("events", column, id, why);
    let flags: i16 = column(row, 6)?;
    let packed: detail::Event<'_> = detail::decode(column(row, 7)?, "events", id)?;
    let audience = match flags >> AUDIENCE_SHIFT & 3 {
        0 => Audience::Endpoints(packed.audience.iter().copied().map(Id::from_bytes).collect()),
        1 => Audience::Project,
        _ => Audience::Source,
    };
    let fan_out = fan_out(flags);
    let targets: Option<Vec<_>> = packed.targets.iter().map(detail::TargetPart::target).collect();
    let optional = |index| -> Result<Option<Id>> { Ok(column::<Option<Uuid>>(row, index)?.map(id_of)) };
    Ok(Event {
        id,
        project_id: self::id(row, 1)?,
        event_type: text(row, 2, id)?.unwrap_or_default(),
        source_id: optional(3)?,
        idempotency_key: text(row, 4, id)?.unwrap_or_default(),
        connect: ConnectFace {
            livemode: flags & FLAG_TEST_MODE == 0,
            related: optional(5)?.map(|to| Related { to, kind: packed.related_kind.to_owned() }),
        },
        is_duplicate: flags & FLAG_DUPLICATE != 0,
        fan_out: fan_out.ok_or_else(|| bad("flags", "unknown fan-out"))?,
        audience,
        targets: targets.ok_or_else(|| bad("detail", "unknown code in a target"))?,
        headers: HeaderLines::from_text(packed.headers.to_owned()),
        url_query: packed.url_query.to_owned(),
        url_path: packed.url_path.to_owned(),
        created_at: Timestamp::from_micros(packed.created_at),
        data: Bytes::copy_from_slice(column(row, 8)?),
    })
}

fn text(row: &Row, index: usize, id: Id) -> Result<Option<String>> {
    let bytes: Option<Vec<u8>> = column(row, index)?;
    let bad = |_| inconsistent("events", "type or idem", id, "no UTF-8");
    bytes.map(|bytes| String::from_utf8(bytes).map_err(bad)).transpose()
}

/// A delivery of either table as `d`, in the order [`delivery`] reads it.
pub const DELIVERY_COLUMNS: &str = "d.id, d.project, d.endpoint, d.event, d.detail";

/// Reads a delivery whose columns start at `from`, with the attempt in it.
pub fn delivery(row: &Row, from: usize, table: &'static str) -> Result<(Delivery, Option<Attempt>)> {
    let columns = DeliveryColumns {
        id: id(row, from)?,
        project_id: id(row, from + 1)?,
        endpoint_id: id(row, from + 2)?,
        event_id: id(row, from + 3)?,
    };
    let facts: Facts<'_> = detail::decode(column(row, from + 4)?, table, columns.id)?;
    let delivery = facts.delivery(&columns).ok_or_else(|| inconsistent(table, "detail", columns.id, "unknown code"))?;
    Ok((delivery, facts.first_attempt(columns.id)))
}

/// Reads `number, detail`.
pub fn attempt(row: &Row, delivery: Id) -> Result<Attempt> {
    let number: i32 = column(row, 0)?;
    let made: Made<'_> = detail::decode(column(row, 1)?, "attempts", delivery)?;
    Ok(made.attempt(delivery, number.cast_unsigned()))
}
