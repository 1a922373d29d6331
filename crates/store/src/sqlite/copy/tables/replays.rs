//! Replays, what came of their items, and what endpoints were.

use super::{Gathered, gather, split};
use crate::Result;
use crate::copy::{EndpointVersion, ReplayCall, ReplayCount, ReplayRow};
use crate::sqlite::codec::id_column;
use rusqlite::{Connection, params};

pub fn replays(connection: &Connection, after: &[u8]) -> Result<Gathered<ReplayRow>> {
    let sql = "SELECT id, project, state, open, revision, page, key, fingerprint, definition, control, progress \
               FROM replays WHERE id > ?1 ORDER BY id";
    gather(connection, sql, [after], |row| {
        let replay = ReplayRow {
            id: id_column(row, 0)?,
            project: id_column(row, 1)?,
            state: row.get(2)?,
            open: row.get(3)?,
            revision: row.get(4)?,
            page: row.get(5)?,
            key: row.get(6)?,
            fingerprint: row.get(7)?,
            definition: row.get(8)?,
            control: row.get(9)?,
            progress: row.get(10)?,
        };
        let (key, bytes) = (replay.id.to_bytes().to_vec(), replay.definition.len() + replay.control.len());
        Ok((replay, key, bytes))
    })
}

pub fn counts(connection: &Connection, after: &[u8]) -> Result<Gathered<ReplayCount>> {
    let (replay, rest) = split::<16>(after, [0; 16])?;
    let (status, rest) = split::<2>(rest, i16::MIN.to_be_bytes())?;
    let (reason, _) = split::<2>(rest, i16::MIN.to_be_bytes())?;
    let sql = "SELECT replay, status, reason, count FROM replay_counts WHERE (replay, status, reason) > (?1, ?2, ?3) \
               ORDER BY replay, status, reason";
    gather(connection, sql, params![replay, i16::from_be_bytes(status), i16::from_be_bytes(reason)], |row| {
        let count =
            ReplayCount { replay: id_column(row, 0)?, status: row.get(1)?, reason: row.get(2)?, count: row.get(3)? };
        let key = [&count.replay.to_bytes()[..], &count.status.to_be_bytes(), &count.reason.to_be_bytes()].concat();
        Ok((count, key, 0))
    })
}

pub fn endpoint_versions(connection: &Connection, after: &[u8]) -> Result<Gathered<EndpointVersion>> {
    let (endpoint, rest) = split::<16>(after, [0; 16])?;
    let (until, _) = split::<8>(rest, i64::MIN.to_be_bytes())?;
    let sql = "SELECT endpoint, until, doc FROM endpoint_versions WHERE (endpoint, until) > (?1, ?2) \
               ORDER BY endpoint, until";
    gather(connection, sql, params![endpoint, i64::from_be_bytes(until)], |row| {
        let version = EndpointVersion { endpoint: id_column(row, 0)?, until: row.get(1)?, doc: row.get(2)? };
        let key = [&version.endpoint.to_bytes()[..], &version.until.to_be_bytes()].concat();
        let bytes = version.doc.len();
        Ok((version, key, bytes))
    })
}

pub fn calls(connection: &Connection, after: &[u8]) -> Result<Gathered<ReplayCall>> {
    let (project, rest) = split::<16>(after, [0; 16])?;
    let (kind, rest) = split::<2>(rest, i16::MIN.to_be_bytes())?;
    let (id, _) = split::<16>(rest, [0; 16])?;
    let sql = "SELECT project, kind, id, said FROM replay_calls WHERE (project, kind, id) > (?1, ?2, ?3) \
               ORDER BY project, kind, id";
    gather(connection, sql, params![project, i16::from_be_bytes(kind), id], |row| {
        let call =
            ReplayCall { project: id_column(row, 0)?, kind: row.get(1)?, id: id_column(row, 2)?, said: row.get(3)? };
        let key = [&call.project.to_bytes()[..], &call.kind.to_be_bytes(), &call.id.to_bytes()].concat();
        let bytes = call.said.len();
        Ok((call, key, bytes))
    })
}
