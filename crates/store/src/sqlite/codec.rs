//! How rows and values read and write: the only file that knows the blobs' layouts.

use crate::{Result, StoreError};
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::delivery::Reason;
use dacapo_model::event::{Audience, ConnectFace, FanOut, Related, Target};
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
    let bytes = row.get_ref(index)?.as_blob().map_err(|cause| StoreError::Refused(cause.to_string()))?;
    Id::from_slice(bytes).ok_or_else(|| inconsistent("?", "id", index, "not 16 bytes"))
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

/// Columns of an event, in the order [`event`] reads them.
pub const EVENT_COLUMNS: &str = "e.ord, e.tail, e.project, e.type, e.data, e.headers, e.flags, e.targets, e.audience, \
     e.created_at, e.idem, e.source, e.url_query, e.url_path, e.related_to, e.related_kind";
/// How many those are: what follows them in a joined row starts here.
pub const EVENT_COLUMN_COUNT: usize = 16;

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

pub fn event(row: &Row<'_>) -> Result<Event> {
    let ord: i64 = row.get(0)?;
    let flags: i64 = row.get(6)?;
    let fan_out = u8::try_from(flags >> FAN_OUT_SHIFT & 3)
        .ok()
        .and_then(FanOut::from_code)
        .ok_or_else(|| inconsistent("events", "flags", ord, "unknown fan-out"))?;
    let audience = match flags >> AUDIENCE_SHIFT & 3 {
        0 => Audience::Endpoints(ids(row.get_ref(8)?.as_blob_or_null().unwrap_or_default().unwrap_or_default())),
        1 => Audience::Project,
        _ => Audience::Source,
    };
    let related = match (optional_id(row, 14)?, row.get::<_, Option<String>>(15)?) {
        (Some(to), Some(kind)) => Some(Related { to, kind }),
        _ => None,
    };
    let targets = row.get_ref(7)?.as_blob_or_null().unwrap_or_default().unwrap_or_default();
    Ok(Event {
        id: id_of(ord, row.get(1)?),
        project_id: id_column(row, 2)?,
        event_type: row.get(3)?,
        data: Bytes::from(row.get::<_, Vec<u8>>(4)?),
        headers: HeaderLines::from_text(row.get::<_, Option<String>>(5)?.unwrap_or_default()),
        source_id: optional_id(row, 11)?,
        url_query: row.get::<_, Option<String>>(12)?.unwrap_or_default(),
        url_path: row.get::<_, Option<String>>(13)?.unwrap_or_default(),
        idempotency_key: row.get::<_, Option<String>>(10)?.unwrap_or_default(),
        is_duplicate: flags & FLAG_DUPLICATE != 0,
        audience,
        fan_out,
        targets: decode_targets(targets).ok_or_else(|| inconsistent("events", "targets", ord, "unknown layout"))?,
        created_at: Timestamp::from_micros(row.get(9)?),
        connect: ConnectFace { livemode: flags & FLAG_TEST_MODE == 0, related },
    })
}

pub fn encode_ids(ids: &[Id]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_bytes()).collect()
}

pub fn ids(bytes: &[u8]) -> Vec<Id> {
    bytes.chunks_exact(16).filter_map(Id::from_slice).collect()
}

/// endpoint 16, subscription 16, mode 1, strategy 1, reason 1 (255: none), interval 4, limit 4.
const TARGET_BYTES: usize = 43;
const NO_REASON: u8 = 255;

pub fn encode_targets(targets: &[Target]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(targets.len() * TARGET_BYTES);
    for target in targets {
        bytes.extend_from_slice(&target.endpoint_id.to_bytes());
        bytes.extend_from_slice(&target.subscription_id.to_bytes());
        bytes.push(target.mode.code());
        bytes.push(target.policy.kind.code());
        bytes.push(target.discarded.map_or(NO_REASON, Reason::code));
        bytes.extend_from_slice(&target.policy.interval_s.to_be_bytes());
        bytes.extend_from_slice(&target.policy.limit.to_be_bytes());
    }
    bytes
}

fn decode_targets(bytes: &[u8]) -> Option<Vec<Target>> {
    if !bytes.len().is_multiple_of(TARGET_BYTES) {
        return None;
    }
    bytes.chunks_exact(TARGET_BYTES).map(decode_target).collect()
}

fn decode_target(bytes: &[u8]) -> Option<Target> {
    Some(Target {
        endpoint_id: Id::from_slice(&bytes[..16])?,
        subscription_id: Id::from_slice(&bytes[16..32])?,
        mode: Mode::from_code(bytes[32])?,
        policy: Policy {
            kind: Kind::from_code(bytes[33])?,
            interval_s: u32::from_be_bytes(bytes[35..39].try_into().ok()?),
            limit: u32::from_be_bytes(bytes[39..43].try_into().ok()?),
        },
        discarded: match bytes[34] {
            NO_REASON => None,
            code => Some(Reason::from_code(code)?),
        },
    })
}

// ---- deliveries --------------------------------------------------------------------------------

/// Columns of a waiting delivery as `d`, in the order [`delivery`] reads them.
pub const WAITING_COLUMNS: &str = "d.ord, d.tail, d.project, d.event_ord, d.event_tail, d.endpoint, d.subscription, d.trigger, d.replay, \
     d.mode, d.strategy, d.interval_s, d.retry_limit, d.attempts, d.manual, d.last_status, \
     d.status, NULL, d.due_at, d.created_at, d.updated_at, 0";
/// The same of a settled one.
pub const SETTLED_COLUMNS: &str = "d.ord, d.tail, d.project, d.event_ord, d.event_tail, d.endpoint, d.subscription, d.trigger, d.replay, \
     d.mode, d.strategy, d.interval_s, d.retry_limit, d.attempts, d.manual, d.last_status, \
     d.status, d.reason, d.due_at, d.created_at, d.updated_at, d.latency_us";
pub const DELIVERY_COLUMN_COUNT: usize = 22;

/// Reads a delivery whose columns start at `from`.
pub fn delivery(row: &Row<'_>, from: usize) -> Result<Delivery> {
    let ord: i64 = row.get(from)?;
    let bad = |column| inconsistent("deliveries", column, ord, "unknown code");
    let reason = match row.get::<_, Option<u8>>(from + 17)? {
        Some(code) => Some(Reason::from_code(code).ok_or_else(|| bad("reason"))?),
        None => None,
    };
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
        reason,
        due_at: Timestamp::from_micros(row.get(from + 18)?),
        created_at: Timestamp::from_micros(row.get(from + 19)?),
        updated_at: Timestamp::from_micros(row.get(from + 20)?),
        latency_us: row.get::<_, i64>(from + 21)?.cast_unsigned(),
    })
}

// ---- attempts ----------------------------------------------------------------------------------

/// Reads an attempt from columns `id, url, ip, request, status, response, body, error, succeeded, at, us`
/// that start at `from`.
pub fn attempt(row: &Row<'_>, from: usize, delivery_id: Id, number: u32) -> Result<Attempt> {
    Ok(Attempt {
        id: id_column(row, from)?,
        delivery_id,
        number,
        url: row.get(from + 1)?,
        ip: row.get::<_, Option<String>>(from + 2)?.and_then(|text| text.parse().ok()),
        request_headers: HeaderLines::from_text(row.get(from + 3)?),
        status: row.get(from + 4)?,
        response_headers: HeaderLines::from_text(row.get(from + 5)?),
        response_body: Bytes::from(row.get::<_, Vec<u8>>(from + 6)?),
        error: row.get(from + 7)?,
        succeeded: row.get(from + 8)?,
        requested_at: Timestamp::from_micros(row.get(from + 9)?),
        duration_us: row.get::<_, i64>(from + 10)?.cast_unsigned(),
    })
}

/// The attempt inside a settled row.
pub const INLINE_COLUMNS: &str = "d.a_id, d.a_url, d.a_ip, d.a_request, d.a_status, d.a_response, d.a_body, d.a_error, d.a_succeeded, d.a_at, d.a_us";
/// A row of `attempts`, in the same order.
pub const ATTEMPT_COLUMNS: &str = "id, url, ip, request, status, response, body, error, succeeded, at, us";
pub const ATTEMPT_COLUMN_COUNT: usize = 11;

pub fn inline_attempt(row: &Row<'_>, from: usize, delivery_id: Id) -> Result<Option<Attempt>> {
    if row.get_ref(from)? == rusqlite::types::ValueRef::Null {
        return Ok(None);
    }
    attempt(row, from, delivery_id, 1).map(Some)
}
