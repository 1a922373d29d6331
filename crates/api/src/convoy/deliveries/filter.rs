//! Which deliveries a list shows (§2.4.3).

use crate::Shared;
use crate::convoy::dates;
use crate::convoy::error::Error;
use crate::query_string::QueryString;
use dacapo_model::{Id, Status};
use dacapo_store::roles::DeliveryFilter;

/// `None` when nothing can match: only unknown ids or statuses were named.
pub async fn read(query: &QueryString, shared: &Shared, project: Id) -> Result<Option<DeliveryFilter>, Error> {
    let window = dates::window(query, shared.now())?;
    let mut event = Wanted::of(query, "eventId");
    if let Some(key) = query.one("idempotencyKey") {
        let first = shared.store.event_by_idempotency_key(project, key).await?;
        event = event.and(first.ok_or(Error::bad("event not found"))?);
    }
    // Only events from brokers have a message id, and there are no brokers yet.
    if query.one("brokerMessageId").is_some() {
        return Ok(None);
    }
    let (Wanted::Any(event), Wanted::Any(subscription)) = (event, Wanted::of(query, "subscriptionId")) else {
        return Ok(None);
    };
    let named_endpoints = query.all("endpointId").count();
    let endpoints: Vec<Id> = query.all("endpointId").filter_map(|text| text.parse().ok()).collect();
    let named_statuses = query.all("status").count();
    let statuses: Vec<Status> = query.all("status").filter_map(Status::parse).collect();
    if (named_endpoints > 0 && endpoints.is_empty()) || (named_statuses > 0 && statuses.is_empty()) {
        return Ok(None);
    }
    Ok(Some(DeliveryFilter {
        endpoints,
        event,
        subscription,
        // The server reads one name, the clients of the documentation send the other.
        event_type: query.one("eventType").or(query.one("event_type")).map(str::to_owned),
        statuses,
        window,
        ..DeliveryFilter::default()
    }))
}

/// One id that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// This one, or all when none was named.
    Any(Option<Id>),
    /// What was named is no id, or two ids at once.
    Nothing,
}

impl Wanted {
    fn of(query: &QueryString, name: &str) -> Self {
        match query.one(name) {
            None => Self::Any(None),
            Some(text) => text.parse().map_or(Self::Nothing, |id| Self::Any(Some(id))),
        }
    }

    fn and(self, id: Id) -> Self {
        match self {
            Self::Any(None) => Self::Any(Some(id)),
            Self::Any(Some(named)) if named == id => self,
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_different_ids_match_nothing() {
        let id = Id::from_u128(7);
        let query = QueryString::parse("eventId=00000000000000000000000007&subscriptionId=x");
        assert_eq!(Wanted::of(&query, "eventId"), Wanted::Any(Some(id)));
        assert_eq!(Wanted::of(&query, "subscriptionId"), Wanted::Nothing);
        assert_eq!(Wanted::of(&query, "absent").and(id), Wanted::Any(Some(id)));
        assert_eq!(Wanted::Any(Some(id)).and(id), Wanted::Any(Some(id)));
        assert_eq!(Wanted::Any(Some(id)).and(Id::MAX), Wanted::Nothing);
    }
}
