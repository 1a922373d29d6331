//! Which deliveries a list shows.

use crate::connect::error::Error;
use crate::connect::status::Word;
use crate::connect::window;
use crate::query_string::QueryString;
use dacapo_model::{Delivery, Id, Trigger};
use dacapo_store::roles::DeliveryFilter;

pub struct Filter {
    /// What the store can sort out.
    pub stored: DeliveryFilter,
    /// What it cannot: the word depends on the reason, too.
    word: Option<Word>,
}

impl Filter {
    pub fn admits(&self, delivery: &Delivery) -> bool {
        self.word.is_none_or(|word| Word::of(delivery) == word)
    }

    /// `None` when nothing can match: an id was named that is none.
    pub fn read(query: &QueryString) -> Result<Option<Self>, Error> {
        let window = window::read(query)?;
        let word = match query.one("status") {
            None => None,
            Some(text) => Some(Word::parse(text).ok_or_else(invalid_status)?),
        };
        let trigger = match query.one("trigger") {
            None => None,
            Some(text) => Some(trigger(text).ok_or_else(invalid_trigger)?),
        };
        let ulid = |text: &str| text.parse::<Id>().ok();
        let event = named(query, "event_id", Id::parse_event);
        let endpoint = named(query, "endpoint_id", ulid);
        let replay = named(query, "replay_id", ulid);
        let (Ok(event), Ok(endpoint), Ok(replay)) = (event, endpoint, replay) else {
            return Ok(None);
        };
        let stored = DeliveryFilter {
            endpoints: endpoint.into_iter().collect(),
            event,
            statuses: word.map(Word::stored).unwrap_or_default(),
            trigger,
            replay,
            window,
            ..DeliveryFilter::default()
        };
        Ok(Some(Self { stored, word }))
    }
}

struct NoId;

fn named(query: &QueryString, name: &str, parse: impl Fn(&str) -> Option<Id>) -> Result<Option<Id>, NoId> {
    query.one(name).map(|text| parse(text).ok_or(NoId)).transpose()
}

fn trigger(text: &str) -> Option<Trigger> {
    Trigger::ALL.into_iter().find(|trigger| trigger.as_str() == text)
}

fn invalid_status() -> Error {
    let message = "status is one of pending, processing, delivered, failed, exhausted.";
    Error::parameter("invalid_status", "status", message)
}

fn invalid_trigger() -> Error {
    Error::parameter("invalid_trigger", "trigger", "trigger is one of event, replay, resend.")
}
