//! WHERE clauses from filters: texts of ours, values of the caller's, never mixed.

use crate::roles::{Page, Window};
use dacapo_model::{Id, Timestamp};
use rusqlite::types::Value;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Values one condition names at most; SQLite's own limit is far higher, but the text is parsed each time.
const VALUES_MAX: usize = 64;

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

    /// A condition without values of the caller's: what a partial index asks for must stand there as it is.
    pub fn literal(&mut self, text: impl Into<String>) {
        self.terms.push(text.into());
    }

    /// No condition when there are no values, and none when there are more than a statement should
    /// name: the caller looks at each row again anyway.
    pub fn any_of<V: Into<Value>>(&mut self, column: &'static str, values: impl ExactSizeIterator<Item = V>) {
        if values.len() > VALUES_MAX {
            return;
        }
        let places: Vec<String> = values.map(|value| self.bind(value.into())).collect();
        match places.as_slice() {
            [] => {}
            [one] => self.terms.push(format!("{column} = {one}")),
            several => self.terms.push(format!("{column} IN ({})", several.join(", "))),
        }
    }

    pub fn between(&mut self, column: &'static str, orders: &RangeInclusive<u64>) {
        let (from, to) = (self.bind_order(*orders.start()), self.bind_order(*orders.end()));
        self.terms.push(format!("{column} BETWEEN {from} AND {to}"));
    }

    /// Any of these holds for any of the values, whose place in the texts is `{}`.
    pub fn any_text<V: Into<Value>>(&mut self, texts: &[&str], values: impl ExactSizeIterator<Item = V>) {
        if values.len() == 0 || values.len() > VALUES_MAX {
            return;
        }
        let places: Vec<String> = values.map(|value| self.bind(value.into())).collect();
        let terms = places.iter().flat_map(|place| texts.iter().map(move |text| text.replace("{}", place)));
        self.terms.push(format!("({})", terms.collect::<Vec<_>>().join(" OR ")));
    }

    /// Any of these holds, each a text of ours with a value of the caller's, whose place is `{}`.
    pub fn any_term(&mut self, terms: impl ExactSizeIterator<Item = (&'static str, Value)>) {
        if terms.len() == 0 || terms.len() > VALUES_MAX {
            return;
        }
        let terms: Vec<String> = terms
            .map(|(text, value)| {
                let place = self.bind(value);
                text.replace("{}", &place)
            })
            .collect();
        self.terms.push(format!("({})", terms.join(" OR ")));
    }

    /// How many hold together.
    pub fn len(&self) -> usize {
        self.terms.len()
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
    let mut low = window.from.map_or(0, first_order);
    let mut high = match window.to {
        Some(to) if to.millis() < 0 => return EMPTY,
        Some(to) => first_order(to.plus(Duration::from_millis(1))).saturating_sub(1),
        None => ORDER_MAX,
    };
    match (page.from, page.ascending) {
        (Some(from), true) => low = low.max(from.order()),
        (Some(from), false) => high = high.min(from.order()),
        (None, _) => {}
    }
    if low > high { EMPTY } else { low..=high }
}

/// What both have.
pub fn overlap(a: &RangeInclusive<u64>, b: &RangeInclusive<u64>) -> RangeInclusive<u64> {
    *a.start().max(b.start())..=*a.end().min(b.end())
}

/// Orders are rowids, which are signed.
const ORDER_MAX: u64 = i64::MAX.cast_unsigned();
#[expect(clippy::reversed_empty_ranges, reason = "a range without a member")]
const EMPTY: RangeInclusive<u64> = 1..=0;

/// The first order of the millisecond `at` falls into; the last of all for a time beyond what ids can say.
fn first_order(at: Timestamp) -> u64 {
    let last = Id::from_parts(ORDER_MAX, 0).time();
    if at.millis() >= last.millis() { ORDER_MAX } else { Id::floor_of(at).order() }
}
