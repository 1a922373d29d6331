//! Single calls: kept with what they did, shown with where their deliveries are.

use super::json;
use crate::Result;
use crate::roles::{CallView, Page};
use crate::sqlite::codec::{id_column, inconsistent, ord};
use dacapo_model::replay::{Call, CallKind, Whereabouts};
use dacapo_model::{Id, Status};
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "c.id, c.project, c.said";

pub fn keep(connection: &Connection, call: &Call) -> Result<()> {
    let sql = "INSERT INTO replay_calls (project, kind, id, said) VALUES (?1, ?2, ?3, ?4)";
    let values = params![call.project_id.to_bytes(), call.kind().code(), call.id.to_bytes(), json(&call.said)?];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub fn list(connection: &Connection, project: Id, kind: CallKind, page: Page) -> Result<Vec<CallView>> {
    let (sign, order, from) = match page.ascending {
        true => (">=", "ASC", page.from.unwrap_or(Id::MIN)),
        false => ("<=", "DESC", page.from.unwrap_or(Id::MAX)),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM replay_calls c WHERE c.project = ?1 AND c.kind = ?2 AND c.id {sign} ?3 \
         ORDER BY c.id {order} LIMIT ?4"
    );
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![project.to_bytes(), kind.code(), from.to_bytes(), limit])?;
    let mut calls = Vec::new();
    while let Some(row) = rows.next()? {
        calls.push(view(connection, row)?);
    }
    Ok(calls)
}

pub fn by_id(connection: &Connection, project: Id, id: Id) -> Result<Option<CallView>> {
    let sql = format!("SELECT {COLUMNS} FROM replay_calls c WHERE c.project = ?1 AND c.kind = ?2 AND c.id = ?3");
    let mut statement = connection.prepare_cached(&sql)?;
    for kind in CallKind::ALL {
        let mut rows = statement.query(params![project.to_bytes(), kind.code(), id.to_bytes()])?;
        if let Some(row) = rows.next()? {
            return view(connection, row).map(Some);
        }
    }
    Ok(None)
}

fn view(connection: &Connection, row: &Row<'_>) -> Result<CallView> {
    let id = id_column(row, 0)?;
    let said = serde_json::from_str(row.get_ref(2)?.as_str().unwrap_or_default())
        .map_err(|cause| inconsistent("replay_calls", "said", id, &cause.to_string()))?;
    let call = Call { id, project_id: id_column(row, 1)?, said };
    let now = match call.kind() {
        CallKind::Single => of_its_own(connection, id)?,
        CallKind::Resend => of_those(connection, call.put_back())?,
    };
    Ok(CallView { call, now })
}

fn of_its_own(connection: &Connection, call: Id) -> Result<Whereabouts> {
    let mut now = Whereabouts::default();
    let sql = "SELECT count(*) FROM waiting INDEXED BY waiting_by_replay WHERE replay = ?1";
    let waiting: i64 = connection.prepare_cached(sql)?.query_row([call.to_bytes()], |row| row.get(0))?;
    now.waiting = waiting.cast_unsigned();
    let sql = "SELECT status, count(*) FROM settled INDEXED BY settled_by_replay \
               WHERE trigger = 1 AND substr(detail, 19, 16) = ?1 GROUP BY status";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([call.to_bytes()])?;
    while let Some(row) = rows.next()? {
        if let Some(status) = Status::from_code(row.get(0)?) {
            now.add(status, row.get::<_, i64>(1)?.cast_unsigned());
        }
    }
    Ok(now)
}

fn of_those(connection: &Connection, deliveries: &[Id]) -> Result<Whereabouts> {
    let mut now = Whereabouts::default();
    let sql = "SELECT status FROM settled WHERE ord = ?1 UNION ALL SELECT status FROM waiting WHERE ord = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    for delivery in deliveries {
        let status: Option<u8> = statement.query_row([ord(*delivery)], |row| row.get(0)).optional()?;
        now.add(status.and_then(Status::from_code).unwrap_or(Status::Scheduled), u64::from(status.is_some()));
    }
    Ok(now)
}
