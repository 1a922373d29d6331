//! Some deliveries of an event that has more than a page takes: those to its next endpoints, by id.

use crate::Result;
use crate::postgres::codec::{self, uuid, uuids};
use crate::postgres::session::{Sql, Step, Transaction};
use crate::roles::{ScanRequest, Slice};
use crate::targets;
use dacapo_model::event::Audience;
use dacapo_model::{Delivery, Event, Id, SetMode};
use tokio_postgres::types::Type;

pub struct Sliced {
    /// By id.
    pub deliveries: Vec<Delivery>,
    pub slice: Slice,
    /// Whether the whole event is one that the selector reaches.
    pub is_reached: bool,
}

static MORE: Sql = Sql { text: "SELECT more FROM events WHERE id = $1 AND more IS NOT NULL", types: &[Type::UUID] };
static REPLAYED: Sql = Sql {
    text: "SELECT endpoint, id FROM settled WHERE trigger = 1 AND event = $1 \
           UNION ALL SELECT endpoint, id FROM waiting WHERE class = 2 AND event = $1",
    types: &[Type::UUID],
};
const SOME: &[Type] = &[Type::UUID_ARRAY, Type::UUID, Type::UUID];
static SETTLED: Sql = Sql {
    text: "SELECT d.id, d.project, d.endpoint, d.event, d.detail FROM settled d \
           WHERE d.id = ANY ($1) AND d.id BETWEEN $2 AND $3",
    types: SOME,
};
static WAITING: Sql = Sql {
    text: "SELECT d.id, d.project, d.endpoint, d.event, d.detail FROM waiting d \
           WHERE d.id = ANY ($1) AND d.id BETWEEN $2 AND $3 AND d.class <> 2",
    types: SOME,
};
static SETTLED_REPLAYS: Sql = Sql {
    text: "SELECT d.id, d.project, d.endpoint, d.event, d.detail FROM settled d \
           WHERE d.trigger = 1 AND d.event = $1 AND d.endpoint = ANY ($2)",
    types: &[Type::UUID, Type::UUID_ARRAY],
};
static WAITING_REPLAYS: Sql = Sql {
    text: "SELECT d.id, d.project, d.endpoint, d.event, d.detail FROM waiting d \
           WHERE d.class = 2 AND d.event = $1 AND d.endpoint = ANY ($2)",
    types: &[Type::UUID, Type::UUID_ARRAY],
};

/// The next ones behind this endpoint: as many as the page takes.
pub async fn after(
    transaction: &mut Transaction,
    request: &ScanRequest,
    event: &Event,
    after: Option<Id>,
) -> Result<Sliced> {
    let Addressees { born, mut replayed, is_reached } = addressees(transaction, request, event).await?;
    let mut slice = Slice { after, upto: None };
    let all = born.iter().map(|(endpoint, _)| *endpoint).chain(replayed.iter().copied());
    let mut endpoints: Vec<Id> = all.filter(|endpoint| slice.holds(*endpoint)).collect();
    let most = request.deliveries_max.max(1);
    if endpoints.len() > most {
        let (_, last, beyond) = endpoints.select_nth_unstable(most - 1);
        // None of the same endpoint is left for the next slice.
        let last = *last;
        slice.upto = beyond.iter().any(|endpoint| *endpoint > last).then_some(last);
    }
    let born: Vec<Id> =
        born.into_iter().filter(|(endpoint, _)| slice.holds(*endpoint)).map(|(_, delivery)| delivery).collect();
    // Partitions that have none of them are not looked at.
    let low = uuid(born.first().copied().unwrap_or(Id::MAX));
    let (high, born, event) = (uuid(born.last().copied().unwrap_or(Id::MIN)), uuids(born), uuid(event.id));
    replayed.retain(|endpoint| slice.holds(*endpoint));
    replayed.sort_unstable();
    replayed.dedup();
    let replayed = uuids(replayed);
    let steps = vec![
        Step::Known(&SETTLED, vec![&born, &low, &high]),
        Step::Known(&WAITING, vec![&born, &low, &high]),
        Step::Known(&SETTLED_REPLAYS, vec![&event, &replayed]),
        Step::Known(&WAITING_REPLAYS, vec![&event, &replayed]),
    ];
    let answers = transaction.run(steps).await?;
    let mut deliveries = Vec::new();
    for (answer, table) in answers.iter().zip(["settled", "waiting", "settled", "waiting"]) {
        for row in answer {
            deliveries.push(codec::delivery(row, 0, table)?.0);
        }
    }
    deliveries.sort_unstable_by_key(|delivery: &Delivery| delivery.id);
    Ok(Sliced { deliveries, slice, is_reached })
}

/// Which of an event's deliveries are to whom, before any of them is read.
struct Addressees {
    /// Endpoint and delivery, by delivery; some may still be to be written.
    born: Vec<(Id, Id)>,
    /// One for each replay.
    replayed: Vec<Id>,
    is_reached: bool,
}

/// Of those the selector asks for.
async fn addressees(transaction: &mut Transaction, request: &ScanRequest, event: &Event) -> Result<Addressees> {
    let selector = &request.selector;
    let wanted = |endpoint: &Id| selector.wants_endpoint(*endpoint);
    let id = uuid(event.id);
    let answers = transaction.run(vec![Step::Known(&MORE, vec![&id]), Step::Known(&REPLAYED, vec![&id])]).await?;
    let more: &[u8] = answers[0].first().map_or(Ok(&[][..]), |row| codec::column(row, 0))?;
    let own = event.targets.iter().map(|target| target.endpoint_id);
    let places = own.chain(targets::endpoints(more)).zip(0u32..);
    let born: Vec<(Id, Id)> = places
        .filter(|(endpoint, _)| wanted(endpoint))
        .map(|(endpoint, index)| (endpoint, event.id.child(index)))
        .collect();
    let by_name = matches!(&event.audience, Audience::Endpoints(ids) if ids.iter().any(wanted));
    let mut is_reached = selector.parts().endpoints.is_none()
        || selector.parts().mode == SetMode::Missing
        || by_name
        || !born.is_empty();
    let mut replayed = Vec::new();
    for row in &answers[1] {
        let endpoint = codec::id(row, 0)?;
        if wanted(&endpoint) {
            replayed.push(endpoint);
            is_reached |= codec::id(row, 1)? <= selector.parts().high_water;
        }
    }
    Ok(Addressees { born, replayed, is_reached })
}
