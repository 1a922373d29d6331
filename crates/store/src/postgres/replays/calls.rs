//! Single calls: kept with what they did, shown with where their deliveries are.

use super::{json, parsed_of};
use crate::Result;
use crate::postgres::Inner;
use crate::postgres::codec::{column, id, uuid, uuids};
use crate::postgres::session::{Purpose, Sql, Step};
use crate::roles::{CallView, Page};
use dacapo_model::replay::{Call, CallKind, Whereabouts};
use dacapo_model::{Id, Status};
use std::collections::HashMap;
use tokio_postgres::types::Type;
use uuid::Uuid;

static KEEP: Sql = Sql {
    text: "INSERT INTO replay_calls (project, kind, id, said) VALUES ($1, $2, $3, $4)",
    types: &[Type::UUID, Type::INT2, Type::UUID, Type::TEXT],
};
static UPWARD: Sql = Sql {
    text: "SELECT c.id, c.project, c.said FROM replay_calls c WHERE c.project = $1 AND c.kind = $2 AND c.id >= $3 \
           ORDER BY c.id LIMIT $4",
    types: &[Type::UUID, Type::INT2, Type::UUID, Type::INT8],
};
static DOWNWARD: Sql = Sql {
    text: "SELECT c.id, c.project, c.said FROM replay_calls c WHERE c.project = $1 AND c.kind = $2 AND c.id <= $3 \
           ORDER BY c.id DESC LIMIT $4",
    types: &[Type::UUID, Type::INT2, Type::UUID, Type::INT8],
};
static ONE: Sql = Sql {
    text: "SELECT c.id, c.project, c.said FROM replay_calls c \
           WHERE c.project = $1 AND c.kind = ANY ('{0,1}'::int2[]) AND c.id = $2",
    types: &[Type::UUID, Type::UUID],
};
/// Of deliveries that name these calls. Their ids lie behind those of their calls.
static OWN_SETTLED: Sql = Sql {
    text: "SELECT i.call, d.status, count(*) FROM unnest($1, $2) i (call, replay) \
           JOIN settled d ON d.trigger = 1 AND substring(d.detail FROM 19 FOR 16) = i.replay AND d.id > i.call \
           GROUP BY i.call, d.status",
    types: &[Type::UUID_ARRAY, Type::BYTEA_ARRAY],
};
static OWN_WAITING: Sql = Sql {
    text: "SELECT i.call, count(*) FROM unnest($1, $2) i (call, replay) \
           JOIN waiting w ON w.class = 2 AND substring(w.detail FROM 19 FOR 16) = i.replay GROUP BY i.call",
    types: &[Type::UUID_ARRAY, Type::BYTEA_ARRAY],
};
/// Of deliveries that calls name.
static NAMED_SETTLED: Sql = Sql {
    text: "SELECT i.call, d.status, count(*) FROM unnest($1, $2) i (call, delivery) \
           JOIN settled d ON d.id = i.delivery GROUP BY i.call, d.status",
    types: &[Type::UUID_ARRAY, Type::UUID_ARRAY],
};
static NAMED_WAITING: Sql = Sql {
    text: "SELECT i.call, count(*) FROM unnest($1, $2) i (call, delivery) JOIN waiting w ON w.id = i.delivery \
           GROUP BY i.call",
    types: &[Type::UUID_ARRAY, Type::UUID_ARRAY],
};

/// A call as it is written.
pub struct Kept {
    project: Uuid,
    kind: i16,
    id: Uuid,
    said: String,
}

impl Kept {
    pub fn of(call: &Call) -> Result<Self> {
        let (project, id) = (uuid(call.project_id), uuid(call.id));
        Ok(Self { project, kind: i16::from(call.kind().code()), id, said: json(&call.said)? })
    }

    pub fn step(&self) -> Step<'_> {
        Step::Known(&KEEP, vec![&self.project, &self.kind, &self.id, &self.said])
    }
}

pub async fn list(inner: &Inner, project: Id, kind: CallKind, page: Page) -> Result<Vec<CallView>> {
    let (project, limit) = (uuid(project), i64::try_from(page.limit).unwrap_or(i64::MAX));
    let (sql, from) = match page.ascending {
        true => (&UPWARD, page.from.unwrap_or(Id::MIN)),
        false => (&DOWNWARD, page.from.unwrap_or(Id::MAX)),
    };
    let (kind, from) = (i16::from(kind.code()), uuid(from));
    read(inner, Step::Known(sql, vec![&project, &kind, &from, &limit])).await
}

pub async fn by_id(inner: &Inner, project: Id, id: Id) -> Result<Option<CallView>> {
    let (project, id) = (uuid(project), uuid(id));
    Ok(read(inner, Step::Known(&ONE, vec![&project, &id])).await?.pop())
}

async fn read(inner: &Inner, step: Step<'_>) -> Result<Vec<CallView>> {
    let mut transaction = inner.reads.transaction(Purpose::Work).await?;
    let mut calls = Vec::new();
    for row in &transaction.run(vec![step]).await?[0] {
        let id = id(row, 0)?;
        calls.push(Call { id, project_id: self::id(row, 1)?, said: parsed_of(row, 2, "replay_calls", "said", id)? });
    }
    let own: Vec<Id> = calls.iter().filter(|call| call.kind() == CallKind::Single).map(|call| call.id).collect();
    let own_bytes: Vec<Vec<u8>> = own.iter().map(|id| id.to_bytes().to_vec()).collect();
    let own = uuids(own);
    let named = calls.iter().flat_map(|call| call.put_back().iter().map(|id| (uuid(call.id), uuid(*id))));
    let (by, named): (Vec<Uuid>, Vec<Uuid>) = named.unzip();
    let looks = vec![
        Step::Known(&OWN_SETTLED, vec![&own, &own_bytes]),
        Step::Known(&NAMED_SETTLED, vec![&by, &named]),
        Step::Known(&OWN_WAITING, vec![&own, &own_bytes]),
        Step::Known(&NAMED_WAITING, vec![&by, &named]),
    ];
    let answers = transaction.commit(looks).await?;
    let mut now: HashMap<Id, Whereabouts> = HashMap::new();
    for row in answers[..2].iter().flatten() {
        let status = u8::try_from(column::<i16>(row, 1)?).ok().and_then(Status::from_code);
        let count = column::<i64>(row, 2)?.cast_unsigned();
        now.entry(id(row, 0)?).or_default().add(status.unwrap_or(Status::Failure), count);
    }
    for row in answers[2..].iter().flatten() {
        now.entry(id(row, 0)?).or_default().waiting += column::<i64>(row, 1)?.cast_unsigned();
    }
    let view = |call: Call| CallView { now: now.remove(&call.id).unwrap_or_default(), call };
    Ok(calls.into_iter().map(view).collect())
}
