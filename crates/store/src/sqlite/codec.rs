//! How rows and values read and write: the only file that knows the blobs' layouts, those of
//! `detail` columns apart (see detail.rs).

use super::detail;
use crate::{Result, StoreError};
use crate::{packed, targets};
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::event::{Audience, ConnectFace, FanOut, Related};
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Attempt, Delivery, Event, Id, Mode, Status, Timestamp, Trigger};
use rusqlite::Row;

/// The rowid of an id. Orders fit: their highest bit stays clear until the year 6429.
pub const fn ord(id: Id) -> i64 {
    id.order().cast_signed()
}

pub const fn tail(id: Id) -> i64 {
    id.tail().cast_signed()
}

pub const fn id_of(ord: i64, tail: i64) -> Id {
    Id::from_parts(ord.cast_unsigned(), tail.cast_unsigned())
}

/// Names the place of a value that does not read.
pub fn inconsistent(table: &'static str, column: &'static str, row: impl ToString, detail: &str) -> StoreError {
    StoreError::Inconsistent { table, column, row: row.to_string(), detail: detail.to_owned() }
}

pub fn id_column(row: &Row<'_>, index: usize) -> Result<Id> {
    Id::from_slice(blob(row, index)?).ok_or_else(|| inconsistent("?", "id", index, "not 16 bytes"))
}

fn blob<'r>(row: &'r Row<'_>, index: usize) -> Result<&'r [u8]> {
    row.get_ref(index)?.as_blob().map_err(|cause| StoreError::Refused(cause.to_string()))
}

fn optional_id(row: &Row<'_>, index: usize) -> Result<Option<Id>> {
    match row.get_ref(index)?.as_blob_or_null().map_err(|cause| StoreError::Refused(cause.to_string()))? {
        None => Ok(None),
        Some(bytes) => Id::from_slice(bytes).map(Some).ok_or_else(|| inconsistent("?", "id", index, "not 16 bytes")),
    }
}

/// `None` for an empty text: a NULL costs one byte.
pub fn text_or_null(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

// ---- events ------------------------------------------------------------------------------------

macro_rules! event_head {
    () => {
        "e.ord, e.tail, e.project, e.type, e.flags, e.targets, e.audience, e.created_at, e.source"
    };
}
/// Columns that say what became of an event, in the order [`event_head`] reads them.
pub const EVENT_HEAD_COLUMNS: &str = event_head!();
pub const EVENT_FLAGS_COLUMN: usize = 4;
/// How many those are: what follows them in a joined row starts here.
pub const EVENT_HEAD_COLUMN_COUNT: usize = 9;
/// Columns of an event, in the order [`event`] reads them.
pub const EVENT_COLUMNS: &str =
    concat!(event_head!(), ", e.data, e.headers, e.idem, e.url_query, e.url_path, e.related_to, e.related_kind");
pub const EVENT_COLUMN_COUNT: usize = EVENT_HEAD_COLUMN_COUNT + 7;

pub const FLAG_DUPLICATE: i64 = 1;
const FLAG_TEST_MODE: i64 = 2;
const FAN_OUT_SHIFT: u32 = 2;
const AUDIENCE_SHIFT: u32 = 4;

/// Everything small about an event in one integer: duplicate, test mode, fan-out, kind of audience.
pub fn event_flags(event: &Event, fan_out: FanOut, is_duplicate: bool) -> i64 {
    let audience = match event.audience {
        Audience::Endpoints(_) => 0,
        Audience::Project => 1,
        Audience::Source => 2,
    };
    let mut flags = i64::from(fan_out.code()) << FAN_OUT_SHIFT | audience << AUDIENCE_SHIFT;
    if is_duplicate {
        flags |= FLAG_DUPLICATE;
    }
    if !event.connect.livemode {
        flags |= FLAG_TEST_MODE;
    }
    flags
}

/// The same flags with another fan-out.
pub const fn with_fan_out(flags: i64, fan_out: FanOut) -> i64 {
    flags & !(3 << FAN_OUT_SHIFT) | (fan_out.code() as i64) << FAN_OUT_SHIFT
}

pub fn fan_out(flags: i64) -> Option<FanOut> {
    u8::try_from(flags >> FAN_OUT_SHIFT & 3).ok().and_then(FanOut::from_code)
}

pub fn event(row: &Row<'_>) -> Result<Event> {
    let mut event = event_head(row)?;
    let text = |column: usize| Ok::<_, StoreError>(row.get::<_, Option<String>>(column)?.unwrap_or_default());
    let content = EVENT_HEAD_COLUMN_COUNT;
    event.data = Bytes::from(row.get::<_, Vec<u8>>(content)?);
    event.headers = HeaderLines::from_text(text(content + 1)?);
    event.idempotency_key = text(content + 2)?;
    event.url_query = text(content + 3)?;
    event.url_path = text(content + 4)?;
    event.connect.related = match (optional_id(row, content + 5)?, row.get::<_, Option<String>>(content + 6)?) {
        (Some(to), Some(kind)) => Some(Related { to, kind }),
        _ => None,
    };
    Ok(event)
}

/// Without its content: the payload, and what else came with it.
pub fn event_head(row: &Row<'_>) -> Result<Event> {
    let ord: i64 = row.get(0)?;
    let flags: i64 = row.get(EVENT_FLAGS_COLUMN)?;
    let fan_out = fan_out(flags).ok_or_else(|| inconsistent("events", "flags", ord, "unknown fan-out"))?;
    let audience = match flags >> AUDIENCE_SHIFT & 3 {
        0 => Audience::Endpoints(ids(row.get_ref(6)?.as_blob_or_null().unwrap_or_default().unwrap_or_default())),
        1 => Audience::Project,
        _ => Audience::Source,
    };
    let found = row.get_ref(5)?.as_blob_or_null().unwrap_or_default().unwrap_or_default();
    Ok(Event {
        id: id_of(ord, row.get(1)?),
        project_id: id_column(row, 2)?,
        event_type: row.get(3)?,
        data: Bytes::new(),
        headers: HeaderLines::new(),
        source_id: optional_id(row, 8)?,
        url_query: String::new(),
        url_path: String::new(),
        idempotency_key: String::new(),
        is_duplicate: flags & FLAG_DUPLICATE != 0,
        audience,
        fan_out,
        targets: targets::decode(found).ok_or_else(|| inconsistent("events", "targets", ord, "unknown layout"))?,
        created_at: Timestamp::from_micros(row.get(7)?),
        connect: ConnectFace { livemode: flags & FLAG_TEST_MODE == 0, related: None },
    })
}

pub fn encode_ids(ids: &[Id]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_bytes()).collect()
}

pub fn ids(bytes: &[u8]) -> Vec<Id> {
    bytes.chunks_exact(16).filter_map(Id::from_slice).collect()
}

// ---- deliveries --------------------------------------------------------------------------------

/// Columns of a waiting delivery as `d`, in the order [`waiting`] reads them.
pub const WAITING_COLUMNS: &str = "d.ord, d.tail, d.project, d.event_ord, d.event_tail, d.endpoint, d.subscription, d.trigger, d.replay, \
     d.mode, d.strategy, d.interval_s, d.retry_limit, d.attempts, d.manual, d.last_status, \
     d.status, d.due_at, d.created_at, d.updated_at";

/// Reads a waiting delivery whose columns start at `from`.
pub fn waiting(row: &Row<'_>, from: usize) -> Result<Delivery> {
    let ord: i64 = row.get(from)?;
    let bad = |column| inconsistent("waiting", column, ord, "unknown code");
    Ok(Delivery {
        id: id_of(ord, row.get(from + 1)?),
        project_id: id_column(row, from + 2)?,
        event_id: id_of(row.get(from + 3)?, row.get(from + 4)?),
        endpoint_id: id_column(row, from + 5)?,
        subscription_id: id_column(row, from + 6)?,
        trigger: Trigger::from_code(row.get(from + 7)?).ok_or_else(|| bad("trigger"))?,
        replay_id: optional_id(row, from + 8)?,
        mode: Mode::from_code(row.get(from + 9)?).ok_or_else(|| bad("mode"))?,
        policy: Policy {
            kind: Kind::from_code(row.get(from + 10)?).ok_or_else(|| bad("strategy"))?,
            interval_s: row.get(from + 11)?,
            limit: row.get(from + 12)?,
        },
        attempts: row.get(from + 13)?,
        manual: row.get(from + 14)?,
        last_status: row.get(from + 15)?,
        status: Status::from_code(row.get(from + 16)?).ok_or_else(|| bad("status"))?,
        reason: None,
        due_at: Timestamp::from_micros(row.get(from + 17)?),
        created_at: Timestamp::from_micros(row.get(from + 18)?),
        updated_at: Timestamp::from_micros(row.get(from + 19)?),
        latency_us: 0,
    })
}

/// Columns of a settled delivery as `d`, in the order [`settled`] and [`first_attempt`] read them.
pub const SETTLED_COLUMNS: &str = "d.ord, d.project, d.event_ord, d.endpoint, d.trigger, d.status, d.detail";

/// Reads a settled delivery whose columns start at `from`.
pub fn settled(row: &Row<'_>, from: usize) -> Result<Delivery> {
    settled_as(row, from, |bytes| packed::decode::<detail::Settled<'_>>(bytes).map(|detail| detail.state))
}

/// The same without a look at the attempt behind, which is most of the row.
pub fn settled_front(row: &Row<'_>, from: usize) -> Result<Delivery> {
    settled_as(row, from, |bytes| packed::decode_front(bytes))
}

fn settled_as(
    row: &Row<'_>,
    from: usize,
    decode: impl FnOnce(&[u8]) -> std::result::Result<detail::SettledState, String>,
) -> Result<Delivery> {
    let ord: i64 = row.get(from)?;
    let bad = |column| inconsistent("settled", column, ord, "unknown code");
    let columns = detail::SettledColumns {
        ord,
        project_id: id_column(row, from + 1)?,
        event_ord: row.get(from + 2)?,
        endpoint_id: id_column(row, from + 3)?,
        trigger: Trigger::from_code(row.get(from + 4)?).ok_or_else(|| bad("trigger"))?,
        status: Status::from_code(row.get(from + 5)?).ok_or_else(|| bad("status"))?,
    };
    let state = decode(blob(row, from + 6)?).map_err(|cause| inconsistent("settled", "detail", ord, &cause))?;
    state.delivery(&columns).ok_or_else(|| bad("detail"))
}

/// The attempt inside such a row.
pub fn first_attempt(row: &Row<'_>, from: usize) -> Result<Option<Attempt>> {
    let ord: i64 = row.get(from)?;
    let detail: detail::Settled<'_> =
        packed::decode(blob(row, from + 6)?).map_err(|cause| inconsistent("settled", "detail", ord, &cause))?;
    Ok(detail.first_attempt(ord))
}

// ---- attempts ----------------------------------------------------------------------------------

/// Columns of an attempt, in the order [`attempt`] reads them.
pub const ATTEMPT_COLUMNS: &str = "number, detail";

pub fn attempt(row: &Row<'_>, delivery_id: Id) -> Result<Attempt> {
    let number: u32 = row.get(0)?;
    let made: packed::Made<'_> = packed::decode(blob(row, 1)?)
        .map_err(|cause| inconsistent("attempts", "detail", format!("{delivery_id}, {number}"), &cause))?;
    Ok(made.attempt(delivery_id, number))
}
