//! WHERE clauses from filters: texts of ours, values of the caller's, never mixed.

use crate::roles::{Page, Window};
use dacapo_model::Id;
use rusqlite::types::Value;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Conditions that hold together.
#[derive(Default)]
pub struct Conditions {
    terms: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    pub fn equals(&mut self, column: &'static str, value: impl Into<Value>) {
        let place = self.bind(value.into());
        self.terms.push(format!("{column} = {place}"));
    }

    /// No condition when `values` is empty.
    pub fn any_of<V: Into<Value>>(&mut self, column: &'static str, values: impl Iterator<Item = V>) {
        let places: Vec<String> = values.map(|value| self.bind(value.into())).collect();
        match places.as_slice() {
            [] => {}
            [one] => self.terms.push(format!("{column} = {one}")),
            several => self.terms.push(format!("{column} IN ({})", several.join(", "))),
        }
    }

    pub fn orders(&mut self, column: &'static str, page: Page, window: Window) {
        let bounds = order_bounds(page, window);
        let (from, to) = (self.bind_order(*bounds.start()), self.bind_order(*bounds.end()));
        self.terms.push(format!("{column} BETWEEN {from} AND {to}"));
    }

    /// Deliveries of an event: those it was born with by their orders, replays by their index.
    pub fn of_event(&mut self, event: Id, born_with: Option<RangeInclusive<u64>>) {
        let Some(born) = born_with else {
            self.terms.push("FALSE".to_owned());
            return;
        };
        let (first, last) = (self.bind_order(*born.start()), self.bind_order(*born.end()));
        let event = self.bind_order(event.order());
        self.terms.push(format!("(d.ord BETWEEN {first} AND {last} OR (d.trigger = 1 AND d.event_ord = {event}))"));
    }

    pub fn sql(&self) -> String {
        self.terms.join(" AND ")
    }

    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }

    fn bind_order(&mut self, order: u64) -> String {
        self.bind(Value::Integer(i64::try_from(order).unwrap_or(i64::MAX)))
    }

    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }
}

/// Where a page and a time window meet, as orders.
pub fn order_bounds(page: Page, window: Window) -> RangeInclusive<u64> {
    let mut low = window.from.map_or(0, |from| Id::floor_of(from).order());
    let mut high = window.to.map_or(u64::MAX, |to| {
        let next = Id::floor_of(to.plus(Duration::from_millis(1))).order();
        next.saturating_sub(1)
    });
    match (page.from, page.ascending) {
        (Some(from), true) => low = low.max(from.order()),
        (Some(from), false) => high = high.min(from.order()),
        (None, _) => {}
    }
    low..=high
}
