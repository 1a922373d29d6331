//! All rows that events and their deliveries begin with.

use super::rows::{EventRows, SettledRows, WaitingRows, commit_events, endpoints_of};
use super::session::{Call, Step};
use crate::roles::NewEvent;
use crate::{Result, targets};
use dacapo_model::{Delivery, Id};
use std::collections::BTreeSet;

/// Of a batch, or of a part of a large fan-out.
#[derive(Default)]
pub struct Births<'a> {
    events: EventRows<'a>,
    waiting: WaitingRows,
    settled: SettledRows,
    deliveries: Vec<Delivery>,
    count: usize,
}

impl<'a> Births<'a> {
    pub fn of(items: impl Iterator<Item = (&'a NewEvent, bool)>) -> Result<Self> {
        let mut births = Self::default();
        for (item, is_duplicate) in items {
            let event = &*item.event;
            let more = (!is_duplicate && !item.later.is_empty()).then(|| targets::encode(&item.later));
            births.count += 1;
            births.events.push(event, is_duplicate, more)?;
            if is_duplicate {
                continue;
            }
            for delivery in (0..).map_while(|index| event.delivery(index)) {
                births.deliver(delivery)?;
            }
        }
        Ok(births)
    }

    /// Of events that are there.
    pub fn of_deliveries(deliveries: Vec<Delivery>) -> Result<Self> {
        let mut births = Self::default();
        for delivery in deliveries {
            births.deliver(delivery)?;
        }
        Ok(births)
    }

    fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        if delivery.status.is_settled() {
            self.settled.push(&delivery, None)?;
        } else {
            self.waiting.push(&delivery)?;
        }
        self.deliveries.push(delivery);
        Ok(())
    }

    pub fn endpoints(&self) -> BTreeSet<Id> {
        endpoints_of(&self.deliveries)
    }

    pub const fn deliveries(&self) -> usize {
        self.deliveries.len()
    }

    /// All of it as one call, which looks at the catalog's version too and gives it; `None` where there are rows of
    /// other kinds.
    pub fn commit_if_current<'b>(&'b self, routed_at: &'b i64) -> Option<Call<'b>> {
        let is_plain = self.count > 0 && self.events.are_whole() && self.settled.is_empty();
        is_plain.then(|| commit_events(routed_at, &self.events, &self.waiting))
    }

    pub fn insert(&mut self) -> impl Iterator<Item = Step<'_>> {
        let events = (self.count > 0).then(|| self.events.insert());
        events.into_iter().chain(self.waiting.insert()).chain(self.settled.insert())
    }
}
