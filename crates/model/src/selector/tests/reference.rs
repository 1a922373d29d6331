//! The same meaning, written for the reader alone: no ids, no compiled filter, no short cuts.

use super::*;
use crate::selector::{DeliveryStatus, HttpStatus, SetMode};
use std::collections::BTreeSet;

/// What a selector of the property tests asks for; every field is a condition that may be absent.
#[derive(Clone, Debug)]
pub struct Asked {
    pub mode: SetMode,
    pub from_ms_ago: Option<u64>,
    pub to_ms_ago: Option<u64>,
    pub types: Vec<&'static str>,
    pub endpoints: Vec<u128>,
    pub statuses: Vec<Status>,
    pub http: Option<&'static str>,
    pub attempts_min: Option<u32>,
}

impl Asked {
    pub fn json(&self) -> Value {
        let at = |ms: &u64| NOW.minus(Duration::from_millis(*ms)).to_string();
        let mut fields = serde_json::Map::new();
        let mut put = |name: &str, value: Option<Value>| value.map(|value| fields.insert(name.to_owned(), value));
        put("mode", Some(self.mode.as_str().into()));
        put("from", self.from_ms_ago.as_ref().map(|ms| at(ms).into()));
        put("to", self.to_ms_ago.as_ref().map(|ms| at(ms).into()));
        put("event_types", (!self.types.is_empty()).then(|| self.types.clone().into()));
        let ids: Vec<String> = self.endpoints.iter().map(|number| Id::from_u128(*number).to_string()).collect();
        put("endpoint_ids", (!ids.is_empty()).then(|| ids.into()));
        let statuses: Vec<&str> = self.statuses.iter().map(|status| status.as_str()).collect();
        put("delivery_status", (!statuses.is_empty()).then(|| statuses.into()));
        put("http_status", self.http.map(Value::from));
        put("attempts_min", self.attempts_min.map(Value::from));
        Value::Object(fields)
    }

    fn asks_of_deliveries(&self) -> bool {
        !self.statuses.is_empty() || self.http.is_some() || self.attempts_min.is_some()
    }

    pub fn admits(&self, event: &Event, high_water: Id) -> bool {
        let ms_ago = NOW.since(event.created_at).as_millis();
        event.id <= high_water
            && self.from_ms_ago.is_none_or(|from| ms_ago <= from.into())
            && self.to_ms_ago.is_none_or(|to| ms_ago >= to.into())
            && (self.types.is_empty() || self.types.iter().any(|pattern| type_fits(pattern, &event.event_type)))
    }

    /// The endpoints meant.
    pub fn means(&self, event: &Event, deliveries: &[Delivery], matching: &[Id], high_water: Id) -> BTreeSet<Id> {
        let every: BTreeSet<Id> =
            deliveries.iter().map(|one| one.endpoint_id).chain(matching.iter().copied()).collect();
        let wanted = |endpoint: &Id| self.endpoints.is_empty() || self.endpoints.contains(&endpoint.as_u128());
        let is_reached = deliveries.iter().any(|one| one.id <= high_water && wanted(&one.endpoint_id));
        let is_meant = |endpoint: &Id| {
            let got: Vec<&Delivery> =
                deliveries.iter().filter(|one| one.endpoint_id == *endpoint && one.id <= high_water).collect();
            let matches = matching.contains(endpoint);
            match self.mode {
                SetMode::Missing => {
                    let reached = got.iter().any(|one| one.status != Status::Discarded || one.attempts > 0);
                    matches && !reached && !event.is_duplicate
                }
                SetMode::All if !self.asks_of_deliveries() => matches && (self.endpoints.is_empty() || is_reached),
                _ => got.iter().any(|one| self.fits(one) && !self.is_superseded(one, &got)),
            }
        };
        every.into_iter().filter(wanted).filter(is_meant).collect()
    }

    fn fits(&self, delivery: &Delivery) -> bool {
        let mode_fits = match self.mode {
            SetMode::Failed => delivery.status == Status::Failure,
            SetMode::Discarded => delivery.status == Status::Discarded,
            _ => true,
        };
        let http_fits = |asked: &str| match (asked, delivery.last_status) {
            ("none", last) => last.is_none() && delivery.attempts > 0,
            ("5xx", Some(last)) => (500..600).contains(&last),
            (code, Some(last)) => code == last.to_string(),
            (_, None) => false,
        };
        mode_fits
            && (self.statuses.is_empty() || self.statuses.contains(&delivery.status))
            && self.http.is_none_or(http_fits)
            && self.attempts_min.is_none_or(|min| delivery.attempts >= min)
    }

    fn is_superseded(&self, delivery: &Delivery, got: &[&Delivery]) -> bool {
        let same_way = |other: &&&Delivery| other.subscription_id == delivery.subscription_id;
        got.iter().filter(same_way).any(|other| match (self.says_nothing(delivery), self.says_nothing(other)) {
            (true, false) => true,
            (false, true) => false,
            _ => other.id > delivery.id,
        })
    }

    /// Of a replay, and never tried; where what was given up is asked for, only if it was needless.
    fn says_nothing(&self, delivery: &Delivery) -> bool {
        let untried = delivery.status == Status::Discarded && delivery.attempts == 0;
        let counts = self.mode == SetMode::Discarded && delivery.reason != Some(Reason::AlreadyDelivered);
        delivery.trigger == Trigger::Replay && untried && !counts
    }
}

fn type_fits(pattern: &str, event_type: &str) -> bool {
    match pattern.split_once('*') {
        Some((prefix, _)) => event_type.len() >= prefix.len() && &event_type[..prefix.len()] == prefix,
        None => pattern == event_type,
    }
}

#[test]
fn statuses_read_in_any_letter_case() {
    for status in Status::ALL {
        assert_eq!(DeliveryStatus::parse(&status.as_str().to_lowercase()), Some(DeliveryStatus(status)));
    }
    for text in ["100", "599", "1xx", "5XX", "none"] {
        assert_eq!(HttpStatus::parse(text).map(|status| status.to_string()), Some(text.to_lowercase()));
    }
}
